"""Documents become pages of text, and broken ones problems that say what is wrong."""

from __future__ import annotations

import csv
import dataclasses
import time

import pypdfium2
import pytest
from PIL import Image

from amends.models import kind_of
from amends.problems import ProblemError
from amends.processors.documents import Limits, load_image, read_pages
from tests import samples

TABLE = ["Item            Qty     Price", "Widget            2     10.00"]


def unused(image):
    raise AssertionError("OCR was asked though there is text")


def texts(path, kind, *, recognise=unused, **options):
    return [(page.number, page.text) for page in read_pages(path, kind, recognise=recognise, **options)]


def text_of(path, kind, **options):
    ((number, text),) = texts(path, kind, **options)
    assert number == 1
    return text


def refusal(path, kind, **options):
    with pytest.raises(ProblemError) as caught:
        texts(path, kind, recognise=lambda image: "", **options)
    return caught.value.problem


def written(path, data):
    path.write_bytes(data)
    return path


# PDF


def test_a_pdf_is_read_from_its_text_layer_page_by_page(tmp_path):
    path = samples.text_pdf(tmp_path / "two.pdf", [samples.INVOICE, TABLE])
    first, second = texts(path, "pdf")
    assert first == (1, "\n".join(line for line in samples.INVOICE if line))
    assert second == (2, "Item   Qty   Price\nWidget   2   10.00")


def test_one_page_of_a_pdf_keeps_its_number(tmp_path):
    path = samples.text_pdf(tmp_path / "two.pdf", [["One"], ["Two"]])
    assert texts(path, "pdf", page=2) == [(2, "Two")]
    assert refusal(path, "pdf", page=3).extensions == {"page": 3, "pages": 2}


def test_a_scanned_page_is_drawn_for_ocr(tmp_path):
    seen = []

    def recognise(image):
        seen.append(image.size)
        return "read"

    path = samples.scanned_pdf(tmp_path / "scan.pdf", [samples.INVOICE, samples.INVOICE])
    assert texts(path, "pdf", recognise=recognise) == [(1, "read"), (2, "read")]
    assert all(width > 1_200 for width, _ in seen)


def test_a_page_of_poster_size_is_drawn_smaller_and_not_refused(tmp_path):
    sizes = []
    path = samples.scanned_pdf(tmp_path / "scan.pdf", [samples.INVOICE])
    limits = dataclasses.replace(Limits(), render_pixels=10_000)
    list(read_pages(path, "pdf", recognise=lambda image: sizes.append(image.size) or "", limits=limits))
    ((width, height),) = sizes
    assert width * height <= 11_000


def test_an_empty_page_is_not_drawn(tmp_path):
    assert texts(samples.text_pdf(tmp_path / "empty.pdf", [[], ["Two"]]), "pdf") == [(1, ""), (2, "Two")]


def test_an_encrypted_pdf_says_so(tmp_path):
    path = samples.encrypted_pdf(tmp_path / "secret.pdf", [["Hidden"]], password="open")
    assert refusal(path, "pdf").error_code == "DOCUMENT_ENCRYPTED"
    document = pypdfium2.PdfDocument(path, password="open")  # it is a sound one, to whom knows the word
    assert document[0].get_textpage().get_text_range() == "Hidden"
    document.close()


@pytest.mark.parametrize("make", [samples.truncated_pdf, lambda path: written(path, b"not a pdf")])
def test_a_damaged_pdf_says_so(tmp_path, make):
    assert refusal(make(tmp_path / "bad.pdf"), "pdf").error_code == "DOCUMENT_CORRUPTED"


# Pictures


def test_a_picture_is_one_page_and_turned_upright(tmp_path):
    sizes = []
    path = samples.scan(tmp_path / "turned.jpg", rotation=90)
    assert texts(path, "image", recognise=lambda image: sizes.append(image.size) or "read") == [(1, "read")]
    ((width, height),) = sizes
    assert width > height


def test_the_frames_of_a_tiff_are_pages(tmp_path):
    path = tmp_path / "fax.tiff"
    frames = [Image.new("L", (20 + number, 10)) for number in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert texts(path, "image", recognise=lambda image: str(image.width)) == [(1, "20"), (2, "21"), (3, "22")]
    assert texts(path, "image", recognise=lambda image: str(image.width), page=2) == [(2, "21")]
    assert refusal(path, "image", page=4).slug == "unsupported_file_format"


def test_other_pictures_have_no_pages(tmp_path):
    problem = refusal(samples.scan(tmp_path / "one.png"), "image", page=1)
    assert (problem.slug, problem.detail) == ("unsupported_file_format", "Page 1 of a file without pages")


def test_a_truncated_jpeg_is_refused(tmp_path):
    assert refusal(samples.truncated_jpeg(tmp_path / "half.jpg"), "image").error_code == "IMAGE_CORRUPTED"


@pytest.mark.parametrize("side", [11_000, 60_000])
def test_a_pixel_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    problem = refusal(samples.pixel_bomb_png(tmp_path / "bomb.png", side=side), "image")
    assert problem.error_code == "IMAGE_TOO_LARGE"
    assert problem.extensions["limit"] == 100_000_000


@pytest.mark.parametrize(("mode", "color"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("P", 0), ("1", 1), ("CMYK", 0)])
def test_pictures_of_any_mode_become_rgb(tmp_path, mode, color):
    path = tmp_path / "picture.tiff"
    Image.new(mode, (4, 4), color).save(path)
    with load_image(path, limits=Limits()) as image:
        assert image.mode == "RGB"
        assert mode not in ("RGBA", "LA") or image.getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_a_pixel_are_not_clipped(tmp_path):
    path = tmp_path / "deep.png"
    deep = Image.new("I;16", (2, 1))
    deep.putpixel((0, 0), 1_000)
    deep.putpixel((1, 0), 60_000)
    deep.save(path)
    with load_image(path, limits=Limits()) as image:
        assert [image.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]


# Text, HTML, CSV, Word


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("naïve\r\ntext\r".encode(), "naïve\ntext\n"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("sixteen".encode("utf-16"), "sixteen"),
        ("thirty-two".encode("utf-32"), "thirty-two"),
        ("caf\xe9 \u20ac5".encode("cp1252"), "café €5"),
        (b"odd \x81 byte", "odd \x81 byte"),
    ],
)
def test_text_is_read_in_the_encoding_it_shows(tmp_path, data, expected):
    assert text_of(written(tmp_path / "a.txt", data), "text") == expected


@pytest.mark.parametrize("data", [bytes(range(256)), b"\x00\x01", b"\x01\x02\x03 \x04", b"\xff\xfea"])
def test_what_is_not_text_is_refused(tmp_path, data):
    assert refusal(written(tmp_path / "a.txt", data), "text").error_code == "TEXT_UNREADABLE"


@pytest.mark.parametrize("kind", ["text", "html", "csv", "docx", "pdf", "image"])
def test_an_empty_file_is_refused_whatever_it_is(tmp_path, kind):
    assert refusal(written(tmp_path / "empty", b""), kind).error_code == "FILE_EMPTY"


@pytest.mark.parametrize("kind", ["text", "html", "csv", "docx"])
def test_files_without_pages_have_no_page_one(tmp_path, kind):
    assert refusal(written(tmp_path / "a", b"text"), kind, page=1).slug == "unsupported_file_format"


@pytest.mark.parametrize("kind", ["text", "html", "csv"])
def test_text_beyond_the_limit_is_refused(tmp_path, kind):
    limits = dataclasses.replace(Limits(), text_bytes=10)
    problem = refusal(written(tmp_path / "long", b"0123456789+"), kind, limits=limits)
    assert (problem.error_code, problem.extensions["limit"]) == ("DOCUMENT_TOO_LARGE", 10)


def test_html_is_read_as_it_is_seen(tmp_path):
    text = text_of(samples.html_page(tmp_path / "order.html"), "html")
    assert text == (
        "Order confirmation\n\n"
        "Order number\tPO-7781\nOrder date\t2026-02-14\n\n"
        "Item\tQty\tPrice\nTeapot\t2\t€18.50\nCup\t6\t€4.25\n\n"
        "Grand total: €62.50"
    )


def test_html_names_its_own_encoding(tmp_path):
    page = '<meta charset="koi8-r"><p>Привет'.encode("koi8-r")
    assert text_of(written(tmp_path / "a.html", page), "html") == "Привет"


def test_deeply_nested_html_is_read(tmp_path):
    assert text_of(written(tmp_path / "deep.html", b"<div>" * 20_000 + b"bottom"), "html") == "bottom"


def test_a_csv_becomes_rows_with_tabs(tmp_path):
    assert (
        text_of(samples.csv_table(tmp_path / "a.csv"), "csv")
        == "name\tquantity\tprice\nBolt, M6\t100\t0.12\nNut\t250\t0.05"
    )
    semicolons = written(tmp_path / "b.csv", b"a;b\n1,5;2\n")
    assert text_of(semicolons, "csv") == "a\tb\n1,5\t2"
    csv.field_size_limit(131_072)  # its default, which reading a table for the CLI raises for the whole process
    huge_cell = written(tmp_path / "c.csv", b"a,b\n" + b"x" * 200_000)
    assert text_of(huge_cell, "csv").startswith("a,b\n")


def test_a_word_document_is_read_with_its_tables(tmp_path):
    path = samples.docx(tmp_path / "a.docx", ["Before"], [["Item", "Qty"], ["Nut", "5"]])
    assert text_of(path, "docx") == "Before\nItem\tQty\nNut\t5"


@pytest.mark.parametrize(
    ("data", "error_code"),
    [
        (b"PK\x03\x04 not really", "DOCUMENT_CORRUPTED"),
        (b"text", "DOCUMENT_CORRUPTED"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"sealed", "DOCUMENT_ENCRYPTED"),
    ],
)
def test_a_broken_or_sealed_word_document_says_so(tmp_path, data, error_code):
    assert refusal(written(tmp_path / "a.docx", data), "docx").error_code == error_code


def test_a_half_word_document_is_refused(tmp_path):
    path = samples.docx(tmp_path / "a.docx")
    data = path.read_bytes()
    assert refusal(written(path, data[: len(data) // 2]), "docx").error_code == "DOCUMENT_CORRUPTED"


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path):
    assert refusal(samples.zip_bomb_docx(tmp_path / "bomb.docx"), "docx").error_code == "DOCUMENT_TOO_LARGE"


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/pdf", "pdf"),
        ("image/jpeg", "image"),
        ("Text/HTML; charset=utf-8", "html"),
        ("text/markdown", "text"),
        ("application/json", "text"),
        ("application/ld+json", "text"),
        ("text/csv", "csv"),
        ("text/rtf", None),
        ("image/svg+xml", None),
        ("application/zip", None),
        ("", None),
    ],
)
def test_media_types_say_how_a_file_is_read(media_type, kind):
    assert kind_of(media_type) == kind


def test_a_recogniser_that_fails_is_not_blamed_on_the_picture(tmp_path):
    def broken(image):
        raise ModuleNotFoundError("No module named 'cv2'")

    with pytest.raises(ModuleNotFoundError):
        texts(samples.scan(tmp_path / "scan.png"), "image", recognise=broken)


@pytest.mark.parametrize("html", ["<p></p>", "<td></td>", "<i> </i>", "<td><p>"])
def test_a_long_run_of_empty_elements_is_read_in_time_that_grows_with_its_length_alone(tmp_path, html):
    started = time.monotonic()
    assert text_of(written(tmp_path / "long.html", (f"<table><tr>{html * 100_000}x").encode()), "html") == "x"
    assert time.monotonic() - started < 20, "a square of the length takes a minute"
