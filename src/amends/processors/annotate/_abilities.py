"""Which model can answer tasks of which kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from amends.models import MODELS, Model
from amends.models.providers import describe_model, find_provider, operation_of, read_providers

__all__ = ["ABILITIES", "described", "refusal"]

ABILITIES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "local/image-labels": frozenset({"classification"}),
        "local/classify": frozenset({"classification"}),
        "local/smollm2": frozenset({"classification", "compare", "free_text"}),
        "local/ocr": frozenset({"free_text"}),
    }
)
"""Embedded model → kinds of job definition whose tasks it answers."""


def described(model: str, settings: Mapping[str, Any]) -> Model | None:
    """What there is to know of a model; None where there is none. settings: what the installation says to processors."""
    found = find_provider(model, read_providers(settings.get("providers", {})))
    return MODELS.get(model) if found is None else describe_model(*found)


def refusal(model: str, kind: str, settings: Mapping[str, Any]) -> str | None:
    """Why the model cannot answer tasks of the kind, None where it can."""
    found = find_provider(model, read_providers(settings.get("providers", {})))
    if found is None:
        able = ABILITIES.get(model, frozenset())
        others = [name for name, kinds in ABILITIES.items() if kind in kinds]
        if kind in able:
            return None
        does = f"it answers {' and '.join(sorted(able))}" if able else "it answers no tasks"
        hint = (
            f"{', '.join(others)} and providers' chat models do"
            if others
            else "providers' chat models that take images do"
        )
        return f"{model} cannot answer tasks of kind {kind}: {does}; {hint}"
    provider, name = found
    if operation_of(provider, name) == "embeddings":
        return f"{model} answers with vectors, and a task asks for an answer"
    if kind == "locate" and not provider.takes_images:
        return f"{model} is not known to take images (takes_images), and points are in pictures"
    return None
