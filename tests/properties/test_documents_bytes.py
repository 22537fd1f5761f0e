"""Any bytes into every reader: pages of text or a problem of the catalogue, never anything else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amends.problems import ProblemError
from amends.processors.documents import read_pages
from amends.processors.documents._text import decode, html_text
from tests import samples

KINDS = ("pdf", "image", "text", "html", "csv", "docx")
READABLE_CODES = {
    "DOCUMENT_CORRUPTED",
    "DOCUMENT_ENCRYPTED",
    "DOCUMENT_TOO_LARGE",
    "FILE_EMPTY",
    "IMAGE_CORRUPTED",
    "IMAGE_TOO_LARGE",
    "TEXT_UNREADABLE",
}


def sound_files():
    """A sound file of each kind, whose damaged copies reach deeper into a decoder than random bytes do."""
    with TemporaryDirectory() as folder:
        place = Path(folder, "sample")
        makers = {
            "pdf": lambda path: samples.text_pdf(path, [samples.INVOICE]),
            "html": samples.html_page,
            "csv": samples.csv_table,
            "docx": lambda path: samples.docx(path, table=[["a", "b"]]),
        }
        files = {kind: make(place).read_bytes() for kind, make in makers.items()}
        pictures = [
            samples.scan(place.with_suffix(end), ["Hi"]).read_bytes() for end in (".png", ".jpg", ".tiff", ".gif")
        ]
    return {**files, "text": b"plain text", "image": pictures}


SOUND = sound_files()


@st.composite
def damaged(draw):
    """A kind and the bytes of a sound file of it, cut off, overwritten in a place, or with bytes put in."""
    kind = draw(st.sampled_from(KINDS))
    data = draw(st.sampled_from(SOUND["image"])) if kind == "image" else SOUND[kind]
    at = draw(st.integers(0, len(data)))
    new = draw(st.binary(max_size=8))
    end = draw(st.sampled_from([at, min(len(data), at + len(new)), len(data)]))
    return kind, data[:at] + new + data[end:]


def check_read(path, kind, data, page):
    path.write_bytes(data)
    pages, refused = [], None
    try:
        pages = list(read_pages(path, kind, recognise=lambda image: "seen", page=page))
    except ProblemError as error:
        refused = error.problem
    if refused and refused.slug != "unsupported_file_format":
        assert refused.slug == "unprocessable_content"
        assert refused.error_code in READABLE_CODES
    for read in pages:
        assert read.number >= 1
        assert "\x00" not in read.text
        read.text.encode("utf-8")


HARD = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=300), page=st.sampled_from([None, 1, 2]))
@settings(HARD, max_examples=60)
def test_random_bytes_give_text_or_a_problem(tmp_path, kind, data, page):
    check_read(tmp_path / "file", kind, data, page)


@given(sample=damaged(), page=st.sampled_from([None, 1]))
@HARD
def test_damaged_files_give_text_or_a_problem(tmp_path, sample, page):
    kind, data = sample
    check_read(tmp_path / "file", kind, data, page)


@given(st.text(alphabet=st.sampled_from("<>/=\"' &;#!-abdiprtv\n\t\x00\ud800é")) | st.text())
@HARD
def test_any_html_has_a_text(tmp_path, html):
    source = html.encode("utf-8", "replace").decode()
    html_text(source).encode("utf-8")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
@HARD
def test_text_in_utf8_is_read_as_it_was_written(text):
    if not text.startswith("\ufeff"):
        assert decode(text.encode()) == text
