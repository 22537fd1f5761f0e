"""Real photographs for labelling, each of a subject of its own: those of ``tests/data/photos``, and some of a wheel that tests use."""

from __future__ import annotations

import shutil
from itertools import chain, groupby, zip_longest
from pathlib import Path

from PIL import Image

from tests import samples

FOLDER = Path(__file__).parents[1] / "data" / "photos"
KINDS = ("animal", "building", "fish", "person", "sky", "tool", "vehicle")
"""What a photo may show: the first word of its name."""

# Scikit-image's, of whose kinds the folder has few or none. One of its wheels that lacks one fails the tests that use it.
_IN_THE_WHEEL = {
    "animal-chelsea.jpg": "chelsea.png",
    "person-astronaut.jpg": "astronaut.png",
    "person-photographer.jpg": "camera.png",
    "sky-deep-field.jpg": "hubble_deep_field.jpg",
    "sky-moon.jpg": "moon.png",
    "vehicle-motorcycle.jpg": "motorcycle_left.png",
    "vehicle-rocket.jpg": "rocket.jpg",
}
_SIDE = 320


def photos(folder: Path, count: int) -> dict[str, str]:
    """Write ``count`` photos into the folder, of every kind by turns: their names, with what they show."""
    names = _by_turns(sorted([path.name for path in FOLDER.glob("*.jpg")] + list(_IN_THE_WHEEL)))[:count]
    assert len(names) == count
    for name in names:
        if name in _IN_THE_WHEEL:
            _shrink(samples.photo(_IN_THE_WHEEL[name])).save(folder / name, quality=80)
        else:
            shutil.copy(FOLDER / name, folder / name)
    return {name: kind_of(name) for name in names}


def kind_of(name: str) -> str:
    """What the photo of that name shows."""
    return name.partition("-")[0]


def _by_turns(names: list[str]) -> list[str]:
    rows = zip_longest(*(list(of_a_kind) for _, of_a_kind in groupby(names, kind_of)))
    return [name for name in chain.from_iterable(rows) if name is not None]


def _shrink(path: Path) -> Image.Image:
    with Image.open(path) as photo:
        small = photo.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    return small
