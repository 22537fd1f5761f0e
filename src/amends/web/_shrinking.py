"""The child that makes one picture small: ``python _shrinking.py SOURCE TARGET``. It exits with 0 where it could.

A decoder meets hostile bytes here, within limits, and not in the owner of the database. It imports nothing of amends, so that it
starts in a moment.
"""

import resource
import sys
import warnings

from PIL import Image, ImageOps

SIDE = 320
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MOST_PIXELS = 64_000_000
_LIMITS = (
    (resource.RLIMIT_AS, 2 << 30),
    (resource.RLIMIT_CPU, 10),
    (resource.RLIMIT_FSIZE, 1 << 20),
    (resource.RLIMIT_NOFILE, 32),
    (resource.RLIMIT_CORE, 0),
)


def main(source: str, target: str) -> int:
    for what, most in _LIMITS:
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    warnings.simplefilter("ignore")
    try:
        with Image.open(source, formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                return 1
            picture.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded no larger than it must be
            small = ImageOps.exif_transpose(picture)
            small.thumbnail((SIDE, SIDE))
            is_clear = "A" in small.getbands() or "transparency" in small.info
            small.convert("RGBA" if is_clear else "RGB").save(target, "WEBP", quality=80, method=2)
    except Exception:  # whatever a broken file makes its decoder trip over
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
