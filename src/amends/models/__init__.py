"""Models that come with Amends and need no network; those of providers are in ``amends.models.providers``.

Importing this is cheap: names, descriptions and the check of weight files. ``load_…`` loads weights, once a worker's
child; ``amends.models.extract`` holds ``local/extract``, which has none.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from . import _telemetry as _telemetry
from ._assets import Looked, look_at_asset, may_be_shown
from ._content import Content, identify, identify_head, load_identifier, media_type_of, type_named
from ._media import Kind, kind_of
from ._registry import MODELS, Model, describe, known
from ._weights import WEIGHTS, Weight, WeightCheck, WeightsUnusable, absent, verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._classify import Classifier
    from ._labels import ImageLabels
    from ._minilm import TextEmbedder
    from ._ocr import TextRecogniser
    from ._smollm2 import ChatModel

__all__ = [
    "MODELS",
    "WEIGHTS",
    "Content",
    "Kind",
    "Looked",
    "Model",
    "Weight",
    "WeightCheck",
    "WeightsUnusable",
    "absent",
    "describe",
    "has_chat",
    "identify",
    "identify_head",
    "kind_of",
    "known",
    "load_chat",
    "load_classifier",
    "load_embedder",
    "load_identifier",
    "load_labels",
    "load_recogniser",
    "look_at_asset",
    "may_be_shown",
    "media_type_of",
    "type_named",
    "verify",
]


def has_chat() -> bool:
    """Whether ``local/smollm2`` is installed. Quick: whether it is unharmed shows when it is loaded."""
    return importlib.util.find_spec("xllamacpp") is not None and not absent("local/smollm2")


def load_recogniser(*, threads: int = 1) -> TextRecogniser:
    """Load the model of ``local/ocr``. Raises WeightsUnusable."""
    from ._ocr import TextRecogniser

    return TextRecogniser(threads=threads)


def load_labels(*, threads: int = 1) -> ImageLabels:
    """Load the model of ``local/image-labels``. Raises WeightsUnusable."""
    from ._labels import ImageLabels

    return ImageLabels(threads=threads)


def load_embedder(*, threads: int = 1) -> TextEmbedder:
    """Load the model of ``local/minilm`` and ``local/classify``. Raises WeightsUnusable."""
    from ._minilm import TextEmbedder

    return TextEmbedder(threads=threads)


def load_classifier(embedder: TextEmbedder, schema: Mapping[str, Any], prompt: str | None = None) -> Classifier:
    """Return ``local/classify`` for one schema. Raises ValueError where the schema names no labels."""
    from ._classify import Classifier

    return Classifier(embedder, schema, prompt)


def load_chat(*, threads: int = 1) -> ChatModel:
    """Load the model of ``local/smollm2``. Raises WeightsUnusable."""
    from ._smollm2 import ChatModel

    return ChatModel(threads=threads)
