"""What the catalogue says of one problem type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ._value import Remedy

Where = Literal["E", "B", "L"]
"""Where a client meets a type: on an endpoint, on a batch object, in a result line."""

REFUSED: Final = 4
ITEMS_FAILED: Final = 3

_KIND: Final = "{KIND}"


@dataclass(frozen=True, slots=True)
class Row:
    """One problem type.

    ``error_codes``: the first is the default; ``{KIND}`` stands for any upper snake word. ``exception``: the SDK's
    class, "" where the type reaches the SDK as an item's problem only. ``detail``: the sentence used where none is
    given, ``{retry_after}`` and extensions filled in. ``remedies``: verdicts of single error codes that differ from
    ``remedy``. ``stages``: verdicts by the member ``stage``, where the type has one. ``members``: extensions the type defines. ``example``: keyword arguments of ``problem()``.
    ``provoke``: how it arises for real.
    """

    slug: str
    status: int
    title: str
    where: frozenset[Where]
    error_codes: tuple[str, ...]
    exception: str
    meaning: str
    cause: str
    detail: str
    remedy: Remedy
    provoke: str
    remedies: Mapping[str, Remedy] = field(default_factory=dict, hash=False)
    stages: Mapping[str, Remedy] = field(default_factory=dict, hash=False)
    members: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def default_error_code(self) -> str:
        """The code of a problem made without one."""
        return self.error_codes[0].replace(_KIND, "RESOURCE")

    @property
    def exit_code(self) -> int:
        """The CLI's: 4 for what refuses a request, 3 for what only ends an item or a batch."""
        return REFUSED if "E" in self.where else ITEMS_FAILED

    @property
    def simulations(self) -> tuple[str, ...]:
        """How test mode gives it on demand: the header of a request (E), the marker in an item (L)."""
        header = (f"Amends-Simulate: {self.slug}",) if "E" in self.where else ()
        return (*header, f"[[simulate: {self.slug}]]") if "L" in self.where else header

    def admits(self, error_code: str) -> bool:
        """Whether ``error_code`` is one of this row's, ``{KIND}`` patterns included."""
        return any(_matches(pattern, error_code) for pattern in self.error_codes)

    def remedy_for(self, error_code: str, stage: str | None = None) -> Remedy:
        """The verdict on a problem with this code, which came to be at this stage."""
        if stage is not None and stage in self.stages:
            return self.stages[stage]
        for pattern, remedy in self.remedies.items():
            if _matches(pattern, error_code):
                return remedy
        return self.remedy

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON. Without its example, whose body depends on the address that serves it."""
        return {
            "slug": self.slug,
            "status": self.status,
            "title": self.title,
            "where": sorted(self.where),
            "error_codes": list(self.error_codes),
            "exception": self.exception or None,
            "meaning": self.meaning,
            "cause": self.cause,
            "remedy": self.remedy.to_dict(),
            "remedies": {code: remedy.to_dict() for code, remedy in self.remedies.items()},
            "stages": {stage: remedy.to_dict() for stage, remedy in self.stages.items()},
            "members": list(self.members),
            "provoke": self.provoke,
            "simulate": list(self.simulations),
        }


def _matches(pattern: str, error_code: str) -> bool:
    if _KIND not in pattern:
        return pattern == error_code
    return re.fullmatch(pattern.replace(_KIND, "[A-Z][A-Z0-9_]*"), error_code) is not None
