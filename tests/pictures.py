"""Small pictures by the thousand, each of its own content."""

from __future__ import annotations

import io
import random

from PIL import Image


def picture(number: int, kind: str = "JPEG", side: int = 32) -> bytes:
    """The picture of that number, of 1 KiB or so: always the same."""
    pixels = random.Random(number).randbytes(side * side * 3)
    made = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(made, kind)
    return made.getvalue()


def broken_picture(number: int) -> bytes:
    """One that ends too soon."""
    whole = picture(number)
    return whole[: len(whole) * 2 // 3]
