"""Decodes pictures: turned upright, checked for size before a pixel is decoded."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps

from amends.problems import ProblemError

from ._shape import Limits, Page, Recognise, unprocessable, unsupported_page

__all__ = ["draw_image", "load_image", "read_image"]

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def load_image(path: Path, *, page: int | None = None, side: int | None = None, limits: Limits) -> Image.Image:
    """Return a picture in RGB, upright, what is transparent on white.

    page: the frame of a TIFF, from 1; None is the first. side: decode a JPEG no larger than needed for this many pixels on the shorter side. Raises ProblemError:
    IMAGE_TOO_LARGE, IMAGE_CORRUPTED, and for a page that is not there.
    """
    with _decoding(limits), Image.open(path, formats=_FORMATS) as image:
        if page is not None:
            image.seek(_frame(image, page))
        _check_size(image, limits)
        if side is not None:
            image.draft("RGB", (side, side))
        return _upright_rgb(image)


def read_image(path: Path, page: int | None, recognise: Recognise, limits: Limits) -> Iterator[Page]:
    """Yield the text of each frame of a TIFF, of the one picture of any other file.

    page: only this frame. Raises ProblemError as ``load_image`` does, and for a page that is not there.
    """
    for number, picture in _pictures(path, page, limits):
        yield Page(
            number + 1, recognise(picture)
        )  # outside of ``_decoding``: what fails here is not the picture's fault


def draw_image(path: Path, page: int | None, limits: Limits) -> Iterator[Image.Image]:
    """Yield each frame of a TIFF, the one picture of any other file; see ``read_image``."""
    for _, picture in _pictures(path, page, limits):
        yield picture


def _pictures(path: Path, page: int | None, limits: Limits) -> Iterator[tuple[int, Image.Image]]:
    with _decoding(limits), Image.open(path, formats=_FORMATS) as image:
        wanted = range(_frames(image)) if page is None else (_frame(image, page),)
        for number in wanted:
            image.seek(number)
            _check_size(image, limits)
            yield number, _upright_rgb(image)


def _frames(image: Image.Image) -> int:
    """A TIFF's frames are pages; those of a GIF or WebP are a film, of which the first is looked at."""
    frames: int = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    return frames


def _frame(image: Image.Image, page: int) -> int:
    frames = _frames(image)
    if image.format != "TIFF":
        raise unsupported_page(page, None)
    if page > frames:
        raise unsupported_page(page, frames)
    return page - 1


@contextmanager
def _decoding(limits: Limits) -> Iterator[None]:
    """Turn whatever a decoder says of a bad picture into a problem. Decoders raise nearly anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes below our own limit, and of odd metadata
            yield
    except (ProblemError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(None, limits) from error
    except Exception as error:
        raise unprocessable("IMAGE_CORRUPTED", "The image is damaged or ends too soon") from error


def _check_size(image: Image.Image, limits: Limits) -> None:
    if image.width * image.height > limits.image_pixels:
        raise _too_large(image.size, limits)


def _too_large(size: tuple[int, int] | None, limits: Limits) -> Exception:
    found = f"{size[0]} by {size[1]}" if size else "far too many"  # Pillow refuses the worst without saying
    detail = f"The image would have {found} pixels; the limit is {limits.image_pixels}"
    return unprocessable("IMAGE_TOO_LARGE", detail, limit=limits.image_pixels, unit="pixels")


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 16 and 32 bits a pixel: Pillow would clip them to white
        return ImageOps.autocontrast(_to_eight_bits(image)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    wide = image.convert("F")
    low, high = wide.getextrema()
    if not isinstance(low, float) or not isinstance(high, float) or not high > low:
        return image.convert("L")
    return wide.point(lambda value: value * (255.0 / (high - low)) - low * 255.0 / (high - low)).convert("L")
