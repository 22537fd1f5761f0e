"""``local/ocr`` on drawn pages and a real one, and how found pieces become lines."""

from __future__ import annotations

import pytest
from PIL import Image

from amends.models import load_recogniser
from amends.models._layout import Piece, to_text
from tests import samples


@pytest.fixture(scope="module")
def recogniser():
    return load_recogniser(threads=1)


def test_a_clean_page_is_read_word_for_word(recogniser, tmp_path):
    with Image.open(samples.scan(tmp_path / "page.png")) as image:
        lines = [line for line in recogniser.read(image).split("\n") if line]
    assert lines == [line for line in samples.INVOICE if line]


def test_a_photographed_page_is_read(recogniser):
    with Image.open(samples.photo("page.png")) as image:
        assert "Region-based segmentation" in recogniser.read(image)


def test_nothing_is_read_where_nothing_is_written(recogniser):
    assert recogniser.read(Image.new("RGB", (200, 100), "white")) == ""
    assert recogniser.read(Image.new("RGB", (1, 1))) == ""


def test_pieces_side_by_side_make_a_line_and_wide_gaps_make_columns():
    pieces = [
        Piece("10.00", 400, 52, 440, 70),
        Piece("Widget", 10, 50, 70, 70),
        Piece("large", 76, 51, 120, 70),
        Piece("Item", 10, 20, 60, 40),
        Piece("Thanks", 10, 120, 80, 140),
    ]
    assert to_text(pieces) == "Item\nWidget large   10.00\n\nThanks"


def test_no_pieces_make_no_text():
    assert to_text([]) == ""
