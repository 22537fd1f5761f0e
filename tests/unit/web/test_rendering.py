"""What templates make of values: filters, plots, and addresses to go on to."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from amends.ledger import Counts
from amends.web import plots
from amends.web.rendering import counts_bar, duration, number, percent, render, size, with_code
from amends.web.visits import own_path


def drawn(markup: str) -> ElementTree.Element:
    """The markup as a tree: what is no XML is no plot."""
    return ElementTree.fromstring(markup)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (-1, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("part", "shown"), [(0, "0 %"), (1, "100 %"), (0.5, "50.0 %"), (0.99999, "99.9 %"), (None, "–")]
)
def test_only_all_of_it_is_a_hundred_percent(part: float | None, shown: str) -> None:
    assert percent(part) == shown


def test_numbers_keep_their_thousands_apart_and_their_fractions_short() -> None:
    assert (number(1_234_567), number(0.25), number(-1_000.5), number(None)) == ("1,234,567", "0.25", "-1,000.5", "–")
    assert (size(999), size(1_000), size(2_500_000), size(50_000_000_000)) == (
        "999 bytes",
        "1.0 kB",
        "2.5 MB",
        "50.0 GB",
    )


def test_a_bar_says_in_words_what_it_shows_and_shows_what_is_little() -> None:
    bar = drawn(counts_bar(Counts(total=1_000_000, succeeded=999_000, errored=1)))
    assert bar.get("aria-label") == "999,000 succeeded, 1 errored, of 1,000,000"
    widths = [float((part.get("width") or "").removesuffix("%")) for part in bar]
    assert widths == [99.9, 0.8]


def test_a_bar_of_nothing_is_empty() -> None:
    assert list(drawn(counts_bar(Counts()))) == []


def test_plots_escape_what_somebody_called_an_answer() -> None:
    nasty = '</text><script>alert("x")</script>&'
    chart = drawn(plots.bars([plots.Slice(nasty, 3, nasty)], title=nasty))
    assert not [part for part in chart.iter() if part.tag == "script"]
    table = drawn(plots.matrix([nasty, "b"], [[None, 0.5], [1.0, None]], title=nasty))
    assert not [part for part in table.iter() if part.tag == "script"]


@pytest.mark.parametrize("points", [[], [(5.0, 1.0)], [(0.0, 0.0), (10.0, 5.0), (10.0, 60.0)]])
def test_a_curve_is_drawn_of_any_number_of_points(points: list[tuple[float, float]]) -> None:
    figure = drawn(plots.line(points, title="Answers", most=60, first="begin", last="end"))
    curve = figure.find(".//path[@class='curve']")
    assert curve is not None
    assert re.fullmatch(r"(M[0-9.]+ [0-9.]+(H[0-9.]+V[0-9.]+)*)?", curve.get("d") or "")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/ui/runs/bpred_1?lines=all", "/ui/runs/bpred_1?lines=all"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: b=c", "/"),
        (None, "/"),
        ("", "/"),
    ],
)
def test_nobody_is_sent_on_to_another_site(given: str | None, path: str) -> None:
    assert own_path(given) == path


def test_a_template_escapes_and_knows_every_value_that_it_shows() -> None:
    shared = {
        "path": "/",
        "nav": (),
        "who": None,
        "has_session": False,
        "public_url": "",
        "now": 0.0,
        "unit": "credits",
    }
    page = bytes(render("sign_in.html", {**shared, "next": '/"><script>', "wrong": "", "email": ""}).body).decode()
    assert '"/"><script>' not in page
    assert "&lt;script&gt;" in page


def test_code_in_a_sentence_stands_out_and_nothing_else_is_markup() -> None:
    assert str(with_code("Say `amends retry <RUN>` & wait")) == "Say <code>amends retry &lt;RUN&gt;</code> &amp; wait"
    assert str(with_code("<b>nothing</b>")) == "&lt;b&gt;nothing&lt;/b&gt;"
