"""Real photographs for labelling: those of the wheels that the tests use anyway, and crops of them, which are others."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests import samples

# What each shows, and what the options of the order call it.
SUBJECTS = {
    "chelsea.png": "animal",
    "coffee.png": "thing",
    "rocket.jpg": "vehicle",
    "astronaut.png": "person",
    "camera.png": "person",
    "motorcycle_left.png": "vehicle",
    "hubble_deep_field.jpg": "sky",
    "moon.png": "sky",
}


def photos(folder: Path, count: int) -> dict[str, str]:
    """Write ``count`` photos into the folder: their names, with what they show. What the wheels lack is left out."""
    there = {name: what for name, what in SUBJECTS.items() if _is_there(name)}
    made: dict[str, str] = {}
    number = 0
    while len(made) < count:
        for source, what in there.items():
            if len(made) < count:
                name = f"{what}-{number}-{source.partition('.')[0]}.jpg"
                _crop(samples.photo(source), number).save(folder / name, quality=85)
                made[name] = what
        number += 1
    return made


def _is_there(name: str) -> bool:
    try:
        return samples.photo(name).is_file()
    except AssertionError:
        return False


def _crop(source: Path, number: int) -> Image.Image:
    """Four fifths of the photo, another four fifths for each number."""
    with Image.open(source) as photo:
        whole = photo.convert("RGB")
    width, height = whole.size
    left, top = (number % 5) * width // 25, (number // 5) * height // 25
    part = whole.crop((left, top, left + width * 4 // 5, top + height * 4 // 5))
    part.thumbnail((480, 480))
    return part
