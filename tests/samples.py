"""Sample files for tests and the demo: sound ones and broken ones, made on the spot and small.

Photographs come from scikit-image's wheel; everything else is generated here.
"""

from __future__ import annotations

import binascii
import hashlib
import importlib.util
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "INVOICE",
    "csv_table",
    "docx",
    "encrypted_pdf",
    "html_page",
    "photo",
    "pixel_bomb_png",
    "scan",
    "scanned_pdf",
    "text_pdf",
    "truncated_jpeg",
    "truncated_pdf",
    "zip_bomb_docx",
]

INVOICE = (
    "Acme Supplies Ltd",
    "",
    "Invoice number: INV-2026-0042",
    "Invoice date: 3 March 2026",
    "Customer: Jane Miller",
    "Email: billing@acme.example",
    "",
    "Total due: EUR 54.60",
)
"""Lines of a small invoice, which the documents below may hold."""


def photo(name: str) -> Path:
    """Return one of scikit-image's pictures that lie in its wheel: ``coffee.png``, ``chelsea.png``, ``rocket.jpg`` …"""
    spec = importlib.util.find_spec("skimage")  # not imported: that would take a second
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], "data", name)
    assert path.is_file(), f"scikit-image's wheel has no {name}"
    return path


# PDF -----------------------------------------------------------------------------------------------------------------


def text_pdf(path: Path, pages: Sequence[Sequence[str]]) -> Path:
    """Write a PDF with a text layer: for each page its lines; three spaces or more part columns."""
    return _write_pdf(path, _text_objects(pages))


def encrypted_pdf(path: Path, pages: Sequence[Sequence[str]], *, password: str = "secret") -> Path:
    """Write a PDF that only ``password`` opens (PDF 1.7, 7.6: standard security handler, revision 2, RC4 of 40 bits)."""
    file_id = b"amends-sample-id"
    owner = _rc4(hashlib.md5(_padded(password)).digest()[:5], _padded(password))
    permissions = struct.pack("<i", -4)
    key = hashlib.md5(_padded(password) + owner + permissions + file_id).digest()[:5]
    user = _rc4(key, _PADDING)
    handler = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%b> /U <%b> >>" % (_hex(owner), _hex(user))
    objects = [_encrypted(number, body, key) for number, body in enumerate(_text_objects(pages), start=1)]
    trailer = b"/Encrypt %d 0 R /ID [<%b> <%b>]" % (len(objects) + 1, _hex(file_id), _hex(file_id))
    return _write_pdf(path, [*objects, handler], trailer)


def truncated_pdf(path: Path) -> Path:
    """Write the beginning of a PDF: it has a header and no page."""
    whole = text_pdf(path, [INVOICE]).read_bytes()
    path.write_bytes(whole[:60])
    return path


def scanned_pdf(path: Path, pages: Sequence[Sequence[str]]) -> Path:
    """Write a PDF whose pages are pictures of text, without a text layer."""
    first, *rest = [_drawn(lines) for lines in pages]
    first.save(path, "PDF", save_all=True, append_images=rest, resolution=150)
    return path


def _text_objects(pages: Sequence[Sequence[str]]) -> list[bytes]:
    """Objects 1: catalogue, 2: page tree, 3: font, then a page and its content by turns."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        content = b"\n".join(_shown(lines))
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number),
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        ]
    return objects


def _shown(lines: Sequence[str]) -> list[bytes]:
    shown = []
    for row, line in enumerate(lines):
        for column, cell in enumerate(part.strip() for part in line.split("   ") if part.strip()):
            text = cell.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
            shown.append(b"BT /F1 11 Tf %d %d Td (%b) Tj ET" % (60 + 180 * column, 780 - 16 * row, text))
    return shown


def _write_pdf(path: Path, objects: Sequence[bytes], trailer: bytes = b"") -> Path:
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    path.write_bytes(out)
    return path


_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def _padded(password: str) -> bytes:
    return (password.encode("latin-1") + _PADDING)[:32]


def _hex(data: bytes) -> bytes:
    return binascii.hexlify(data)


def _encrypted(number: int, body: bytes, key: bytes) -> bytes:
    head, mark, rest = body.partition(b"\nstream\n")
    if not mark:
        return body
    data = rest.removesuffix(b"\nendstream")
    object_key = hashlib.md5(key + struct.pack("<I", number)[:3] + b"\x00\x00").digest()[: len(key) + 5]
    return head + mark + _rc4(object_key, data) + b"\nendstream"


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


# Pictures ------------------------------------------------------------------------------------------------------------


def scan(path: Path, lines: Sequence[str] = INVOICE, *, rotation: int = 0) -> Path:
    """Write a picture of text, as a scanner would; the suffix says the format. rotation: turned by, undone by EXIF."""
    image = _drawn(lines)
    exif = Image.Exif()
    if rotation:
        image = image.rotate(rotation, expand=True)
        exif[0x0112] = {90: 6, 180: 3, 270: 8}[rotation]
    image.save(path, exif=exif)
    return path


def _drawn(lines: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(26)
    image = Image.new("RGB", (1000, 120 + 48 * len(lines)), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        for column, cell in enumerate(part.strip() for part in line.split("   ") if part.strip()):
            draw.text((60 + 320 * column, 60 + 48 * row), cell, fill="black", font=font)
    return image


def truncated_jpeg(path: Path) -> Path:
    """Write the first half of a photograph."""
    with Image.open(photo("coffee.png")) as image:
        image.convert("RGB").save(path, "JPEG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def pixel_bomb_png(path: Path, *, side: int = 60_000) -> Path:
    """Write a PNG of a few kilobytes that says it is ``side`` by ``side`` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\x00" * 1_000_000, 9)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


# Office and text -----------------------------------------------------------------------------------------------------


def docx(path: Path, paragraphs: Sequence[str] = INVOICE, table: Sequence[Sequence[str]] = ()) -> Path:
    """Write a Word document: its paragraphs, then a table."""
    from docx import Document

    document = Document()
    for text in paragraphs:
        document.add_paragraph(text)
    if table:
        grid = document.add_table(rows=0, cols=len(table[0]))
        for row in table:
            for cell, text in zip(grid.add_row().cells, row, strict=True):
                cell.text = text
    document.save(str(path))
    return path


def zip_bomb_docx(path: Path, *, unpacked_bytes: int = 300 * 2**20) -> Path:
    """Write a Word document of some hundred kilobytes whose body unpacks to ``unpacked_bytes``."""
    docx(path)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("word/padding.xml", "w") as member,
    ):
        for _ in range(unpacked_bytes // 2**20):
            member.write(b" " * 2**20)
    return path


def html_page(path: Path) -> Path:
    """Write an HTML page with a table of facts, a table of items, and a script that nobody should see."""
    path.write_text(
        "<!doctype html><html><head><title>Order</title><style>p{color:red}</style></head><body>"
        "<h1>Order confirmation</h1><script>var total = 999;</script>"
        "<table><tr><th>Order number</th><td>PO-7781</td></tr><tr><th>Order date</th><td>2026-02-14</td></tr></table>"
        "<table><tr><th>Item</th><th>Qty</th><th>Price</th></tr>"
        "<tr><td>Teapot</td><td>2</td><td>&euro;18.50</td></tr><tr><td>Cup</td><td>6</td><td>&euro;4.25</td></tr></table>"
        "<p>Grand total: &euro;62.50</p></body></html>",
        "utf-8",
    )
    return path


def csv_table(path: Path) -> Path:
    """Write a small CSV with a quoted comma in it."""
    path.write_text('name,quantity,price\n"Bolt, M6",100,0.12\nNut,250,0.05\n', "utf-8")
    return path
