"""Models that come with Amends and need no network; those of providers are in ``amends.models.providers``.

Importing this is cheap: names, descriptions and the check of weight files. ``load_recogniser`` and ``load_labels`` load
weights, once a worker's child; ``amends.models.extract`` holds ``local/extract``, which has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _telemetry as _telemetry
from ._content import Content, identify, identify_head, load_identifier, media_type_of, type_named
from ._media import Kind, kind_of
from ._registry import MODELS, Model, describe, known
from ._weights import WEIGHTS, Weight, WeightCheck, WeightsUnusable, verify

if TYPE_CHECKING:
    from ._labels import ImageLabels
    from ._ocr import TextRecogniser

__all__ = [
    "MODELS",
    "WEIGHTS",
    "Content",
    "Kind",
    "Model",
    "Weight",
    "WeightCheck",
    "WeightsUnusable",
    "describe",
    "identify",
    "identify_head",
    "kind_of",
    "known",
    "load_identifier",
    "load_labels",
    "load_recogniser",
    "media_type_of",
    "type_named",
    "verify",
]


def load_recogniser(*, threads: int = 1) -> TextRecogniser:
    """Load the model of ``local/ocr``. Raises WeightsUnusable."""
    from ._ocr import TextRecogniser

    return TextRecogniser(threads=threads)


def load_labels(*, threads: int = 1) -> ImageLabels:
    """Load the model of ``local/image-labels``. Raises WeightsUnusable."""
    from ._labels import ImageLabels

    return ImageLabels(threads=threads)
