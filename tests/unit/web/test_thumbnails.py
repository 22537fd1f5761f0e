"""Thumbnails: small, kept, and harmless whatever the file holds."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from amends.web.thumbnails import NoThumbnail, thumbnail
from tests import samples


def test_a_photo_becomes_a_small_picture_that_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    source.write_bytes(samples.photo("coffee.png").read_bytes())
    made = asyncio.run(thumbnail(source, tmp_path / "cache", "a" * 64))
    with Image.open(io.BytesIO(made)) as picture:
        assert (picture.format, max(picture.size)) == ("WEBP", 320)
    source.unlink()
    assert asyncio.run(thumbnail(source, tmp_path / "cache", "a" * 64)) == made


def test_a_turned_photo_is_shown_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (400, 200), "white")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    picture.save(tmp_path / "turned.jpg", exif=exif)
    made = asyncio.run(thumbnail(tmp_path / "turned.jpg", tmp_path / "cache", "b" * 64))
    with Image.open(io.BytesIO(made)) as small:
        assert small.size == (160, 320)


@pytest.mark.parametrize("broken", ["bomb", "truncated", "text", "missing"])
def test_what_is_no_sound_picture_has_none(tmp_path: Path, broken: str) -> None:
    source = tmp_path / "file"
    if broken == "bomb":
        samples.pixel_bomb_png(source)
    elif broken == "truncated":
        samples.truncated_jpeg(source)
    elif broken == "text":
        source.write_text("<svg onload='alert(1)'/>")
    with pytest.raises(NoThumbnail):
        asyncio.run(thumbnail(source, tmp_path / "cache", "c" * 64))
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands where the folder would")
    source = samples.photo("coffee.png")
    with pytest.raises(NotADirectoryError):
        (tmp_path / "cache" / "x").mkdir()
    assert asyncio.run(thumbnail(source, tmp_path / "cache", "d" * 64))
