"""What may be asked for in ``Amends-Simulate`` and in items, and what comes of anything else."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.problems import CATALOGUE, BadSimulation, Simulation, parse_simulation, take_simulation

WORDS = st.sampled_from(
    ["ok", "drop", *CATALOGUE, "after", "delay", "p", "seed", "retry_after", "error_code", "stage", "=", ";", " ", "1"]
)


@given(st.text() | st.lists(WORDS, max_size=12).map("".join), st.sampled_from(["E", "L"]))
def test_any_text_is_read_or_refused_with_a_short_sentence(text: str, where: Literal["E", "L"]) -> None:
    try:
        simulation = parse_simulation(text, where)
    except BadSimulation as error:
        said = str(error)
    else:
        said = ""
    assert len(said) < 1_000
    assert said.isprintable()
    if said:
        return
    made = simulation.problem()
    assert (made is None) == (simulation.outcome in ("ok", "drop"))
    assert made is None or where in CATALOGUE[made.slug].where


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("drop", Simulation("drop")),
        (" conflict ", Simulation("conflict")),
        (
            "rate_limit_exceeded; after=2; delay=1.5; retry_after=3",
            Simulation("rate_limit_exceeded", after=2, delay_seconds=1.5, retry_after=3.0),
        ),
        ("service_unavailable;p=0.5;seed=-7", Simulation("service_unavailable", p=0.5, seed=-7)),
        ("conflict; error_code=VERSION_CONFLICT", Simulation("conflict", error_code="VERSION_CONFLICT")),
        ("credit_exceeded; required=7", Simulation("credit_exceeded", members={"required": 7})),
        ("ok; delay=2", Simulation("ok", delay_seconds=2.0)),
    ],
)
def test_what_can_be_asked_of_an_endpoint(text: str, read: Simulation) -> None:
    assert parse_simulation(text, "E") == read


@pytest.mark.parametrize(
    ("text", "where", "named"),
    [
        ("", "E", "''"),
        ("no_such_thing", "E", "no_such_thing"),
        ("Conflict", "E", "Conflict"),
        ("upstream_failed", "E", "no endpoint"),
        ("rate_limit_exceeded", "L", "no item"),
        ("drop", "L", "'drop'"),
        ("conflict; after", "E", "'after'"),
        ("conflict; after=-1", "E", "after"),
        ("conflict; after=two", "E", "'two'"),
        ("conflict; after=1; after=2", "E", "twice"),
        ("conflict; delay=301", "E", "300"),
        ("conflict; delay=nan", "E", "delay"),
        ("conflict; delay=1e3", "E", "delay"),
        ("conflict; delay=٣", "E", "delay"),
        ("conflict; p=1.1", "E", "p must be"),
        ("conflict; p=", "E", "p must be"),
        ("conflict; seed=1.5", "E", "seed"),
        ("conflict; retry_after=-3", "E", "retry_after"),
        ("conflict; error_code=INTERNAL_ERROR", "E", "INTERNAL_ERROR"),
        ("conflict; colour=red", "E", "'colour'"),
        ("drop; retry_after=3", "E", "retry_after"),
        ("ok; error_code=CONFLICT", "E", "error_code"),
        ("file_not_found; after=2", "L", "'after'"),
        ("file_not_found; file_id=\x00", "L", "file_id"),
        ("conflict" + " " * 600, "E", "500"),
    ],
)
def test_what_is_wrong_is_named(text: str, where: Literal["E", "L"], named: str) -> None:
    with pytest.raises(BadSimulation) as refused:
        parse_simulation(text, where)
    assert named in str(refused.value)


def test_a_simulated_problem_has_the_members_of_its_row_and_what_was_asked_for() -> None:
    credit = parse_simulation("credit_exceeded; required=7", "E").problem()
    limited = parse_simulation("rate_limit_exceeded; retry_after=3", "E").problem()
    timed_out = parse_simulation("upstream_failed; error_code=UPSTREAM_TIMEOUT; provider=acme", "L").problem()

    assert credit is not None
    assert credit.extensions["required"] == 7
    assert credit.extensions["unit"] == "credits"
    assert limited is not None
    assert (limited.retry_after, limited.detail) == (3.0, "Rate limit exceeded. Try again in 3 seconds.")
    assert timed_out is not None
    assert (timed_out.error_code, timed_out.extensions["provider"]) == ("UPSTREAM_TIMEOUT", "acme")
    assert "429" not in timed_out.detail


def test_a_seed_draws_the_same_for_the_same_occasion_and_about_as_often_as_p() -> None:
    simulation = parse_simulation("conflict; p=0.3; seed=7", "E")
    happened = [simulation.happens(occasion) for occasion in range(1_000)]
    assert happened == [simulation.happens(occasion) for occasion in range(1_000)]
    assert 240 < sum(happened) < 360
    assert parse_simulation("conflict; p=0.3", "E").happens(0, lambda: 0.29)
    assert not parse_simulation("conflict; p=0.3", "E").happens(0, lambda: 0.3)


@pytest.mark.parametrize(
    ("value", "prompt", "asked", "cleaned", "cleaned_prompt"),
    [
        ("text", "Read it.", None, "text", "Read it."),
        ("a [[simulate: ok; delay=5]]", None, "ok; delay=5", "a", None),
        ({"simulate": "file_not_found", "a": 1}, None, "file_not_found", {"a": 1}, None),
        ({"simulate": "ok", "delay": 2, "a": 1}, None, "ok; delay=2", {"a": 1}, None),
        ({"simulate": 7}, None, None, {"simulate": 7}, None),
        (
            {"messages": [{"role": "user", "content": "Hello [[simulate:upstream_failed]] there"}]},
            None,
            "upstream_failed",
            {"messages": [{"role": "user", "content": "Hello  there"}]},
            None,
        ),
        ("[[simulate: a]]", "Do. [[simulate: b]]", "b", "", "Do."),
        ({"simulate": "c", "text": "[[simulate: a]]"}, "[[simulate: b]]", "c", {"text": ""}, ""),
        ("[[simulate: unclosed", None, None, "[[simulate: unclosed", None),
    ],
)
def test_what_an_item_asks_for_is_taken_out_of_it(
    value: Any, prompt: str | None, asked: str | None, cleaned: Any, cleaned_prompt: str | None
) -> None:
    assert take_simulation(value, prompt) == (asked, cleaned, cleaned_prompt)
