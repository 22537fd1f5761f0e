"""The demo's inputs: real photographs and real package descriptions in six kinds of file, and ten ways to break one.

Photographs are those of scikit-image's wheel. The documents hold what installed packages say of themselves (name, version, summary),
as the packages' own text, and in the formats in which such things come: web page, Word document, PDF, scanned page.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests import samples

PHOTOS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
TEXTS = ("anyio", "apsw", "cyclopts", "fastapi", "httpx2", "magika", "numpy", "rich")
PAGES = ("bandit", "h11", "hypothesis", "idna", "mypy", "pytest", "ruff", "uvicorn")
LETTERS = ("attrs", "click", "msgspec", "packaging", "pillow", "scipy")
PRINTS = ("grimp", "mkdocs", "networkx", "onnx", "platformdirs", "starlette")
SCANS = ("lxml", "pluggy", "requests", "structlog", "tqdm")

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "summary": {"type": ["string", "null"]},
        "requires_python": {"type": ["string", "null"]},
    },
    "required": ["name", "version", "summary", "requires_python"],
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """truth: what the version of each sound document is, by custom_id. broken: the slug that each broken item must end with."""

    photos: Path
    manifest: Path
    truth: dict[str, str]
    broken: dict[str, str]
    missing: Path


def prepare(folder: Path) -> Prepared:
    """Write all inputs below ``folder``."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for name in PHOTOS:
        shutil.copy(samples.photo(name), photos / name)
    broken = dict(_broken_photos(photos))
    documents = folder / "documents"
    documents.mkdir()
    truth = dict(_documents(documents))
    rows = [(name, "") for name in truth]
    for name, page, slug in _broken_documents(documents):
        rows.append((name, page))
        broken[f"{name}#page={page}" if page else name] = slug
    manifest = documents / "manifest.csv"
    with manifest.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "page", "kind"))
        writer.writerows((name, page, Path(name).suffix[1:]) for name, page in rows)
    return Prepared(photos, manifest, truth, broken, documents / "late.txt")


def facts(package: str) -> list[tuple[str, str]]:
    """What a package says of itself."""
    about = metadata.metadata(package)
    pairs = [("Name", about["Name"]), ("Version", about["Version"]), ("Summary", about["Summary"])]
    return [*pairs, ("Requires-Python", about["Requires-Python"] or ">=3.8")]


def lines(package: str) -> list[str]:
    """The same as lines of key and value, under a heading."""
    return [f"About {package}", "", *(f"{name}: {value}"[:78] for name, value in facts(package))]


def _documents(folder: Path) -> Iterator[tuple[str, str]]:
    """Write the sound documents; yields the name and the version of each."""
    kinds: Sequence[tuple[Sequence[str], str, Callable[[Path, str], object]]] = (
        (TEXTS, "txt", _text),
        (PAGES, "html", _page),
        (LETTERS, "docx", lambda path, package: samples.docx(path, [f"About {package}"], facts(package))),
        (
            PRINTS,
            "pdf",
            lambda path, package: samples.text_pdf(path, [lines(package), ["Second page, without facts."]]),
        ),
        (SCANS[:2], "png", lambda path, package: samples.scan(path, lines(package))),
        (SCANS[2:], "scan.pdf", lambda path, package: samples.scanned_pdf(path, [lines(package)])),
    )
    for packages, suffix, write in kinds:
        for package in packages:
            name = f"{package}.{suffix}"
            write(folder / name, package)
            yield name, metadata.version(package)


def _text(path: Path, package: str) -> None:
    """The head of the package's own metadata, as it is."""
    head, _, _ = (metadata.distribution(package).read_text("METADATA") or "").partition("\n\n")
    path.write_text(head, "utf-8")


def _page(path: Path, package: str) -> None:
    rows = "".join(f"<tr><th>{name}</th><td>{value.replace('<', '&lt;')}</td></tr>" for name, value in facts(package))
    path.write_text(
        f"<!doctype html><html><head><title>{package}</title></head><body><table>{rows}</table></body></html>", "utf-8"
    )


def _broken_photos(folder: Path) -> Iterator[tuple[str, str]]:
    samples.truncated_jpeg(folder / "truncated.jpg")
    yield "truncated.jpg", "unprocessable_content"
    samples.pixel_bomb_png(folder / "pixel-bomb.png")
    yield "pixel-bomb.png", "unprocessable_content"
    (folder / "notes.jpg").write_text("These are notes, whatever the name says.\n")
    yield "notes.jpg", "unsupported_file_format"


def _broken_documents(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Write the broken documents; yields name, page and the slug each must end with."""
    (folder / "empty.pdf").write_bytes(b"")
    yield "empty.pdf", "", "unprocessable_content"
    samples.encrypted_pdf(folder / "locked.pdf", [lines("numpy")])
    yield "locked.pdf", "", "unprocessable_content"
    samples.truncated_pdf(folder / "truncated.pdf")
    yield "truncated.pdf", "", "unprocessable_content"
    samples.zip_bomb_docx(folder / "bomb.docx")
    yield "bomb.docx", "", "unprocessable_content"
    yield f"{PRINTS[0]}.pdf", "9", "unsupported_file_format"
    yield "late.txt", "", "file_not_found"
    (folder / "no-version.txt").write_text("Name: mystery\nSummary: it never says which version it is\n")
    yield "no-version.txt", "", "prediction_failed"
