"""The parts that the owner puts together from settings: engine and processors."""

from __future__ import annotations

from typing import Final

_GROUP: Final = "amends.processors"
_DAY_SECONDS: Final = 86_400.0
