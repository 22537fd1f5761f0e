"""Finding processors by the kind of run they serve."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

from amends.engine.processor import Processor

GROUP: Final = "amends.processors"


class UnknownKind(LookupError):
    """No processor serves this kind of run."""


def installed_processors() -> dict[str, str]:
    """kind → ``module:factory`` of every installed processor."""
    from importlib.metadata import entry_points  # here: children are told, and need not load what reads the metadata

    return {entry.name: entry.value for entry in entry_points(group=GROUP)}


class Processors:
    """Loads each processor once, when it is first asked for."""

    def __init__(self, factories: Mapping[str, str], settings: Mapping[str, Any] | None = None) -> None:
        """settings: what the installation says to processors, see ``Job``."""
        self.factories = dict(factories)
        self.settings: Mapping[str, Any] = settings or {}
        self._loaded: dict[str, Processor] = {}

    def __getitem__(self, kind: str) -> Processor:
        """The processor of a kind. UnknownKind; whatever its module raises when it is imported."""
        if kind not in self._loaded:
            self._loaded[kind] = self._load(kind)
        return self._loaded[kind]

    def _load(self, kind: str) -> Processor:
        if kind not in self.factories:
            raise UnknownKind(kind)
        module, _, name = self.factories[kind].partition(":")
        processor: Processor = getattr(importlib.import_module(module), name)()
        return processor
