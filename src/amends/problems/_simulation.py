"""Problems on demand: what test mode asks for in ``Amends-Simulate`` and in items, read and acted on.

One grammar for the header, for ``"simulate"`` in an item's input and for ``[[simulate: …]]`` in its text::

    simulation = ( slug / "drop" / "ok" ) *( ";" name "=" value )
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ._catalogue import CATALOGUE
from ._row import Row
from ._sentences import problem
from ._value import Problem

DROP: Final = "drop"
OK: Final = "ok"

MAX_DELAY_SECONDS: Final = 300.0
_HIGHEST: Final = {"delay": MAX_DELAY_SECONDS, "retry_after": 86_400.0, "p": 1.0}
_MAX_AFTER: Final = 1_000_000
_MAX_CHARS: Final = 500

_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_WORD: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
_MARKER: Final = re.compile(r"\[\[simulate:([^\[\]]{0,500})\]\]")


class BadSimulation(ValueError):
    """What was asked for cannot be simulated; the sentence says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is to happen instead of, or before, the real thing.

    outcome: a slug of the catalogue, ``drop`` or ``ok``. after: good answers before it. delay_seconds: waited first.
    retry_after: seconds, None leaves the row's. p: how likely it is, drawn from ``seed`` where that is not None.
    error_code: None takes that of the row's example. members: of the row, as given.
    """

    outcome: str
    after: int = 0
    delay_seconds: float = 0.0
    retry_after: float | None = None
    p: float = 1.0
    seed: int | None = None
    error_code: str | None = None
    members: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def happens(self, occasion: str | int, draw: Callable[[], float] = random.random) -> bool:
        """Whether it happens on this occasion: with a seed, the same each time it is asked."""
        if self.p >= 1.0:
            return True
        return (draw() if self.seed is None else random.Random(f"{self.seed}:{occasion}").random()) < self.p

    def problem(self) -> Problem | None:
        """The problem to answer with, its members as in the row's example; None for ``drop`` and ``ok``."""
        row = CATALOGUE.get(self.outcome)
        if row is None:
            return None
        shown = dict(row.example)
        if self.error_code not in (None, shown.get("error_code", row.default_error_code)):
            shown.pop("detail", None)
            shown["error_code"] = self.error_code
        if self.retry_after is not None:
            shown["retry_after"] = self.retry_after
        return problem(row.slug, **shown | dict(self.members))


def parse_simulation(text: str, where: Literal["E", "L"]) -> Simulation:
    """Read what is asked of an endpoint (E) or of an item (L). Raises BadSimulation, and nothing else, for any text."""
    if len(text) > _MAX_CHARS:
        raise BadSimulation(f"A simulation has at most {_MAX_CHARS} characters, and this one has {len(text)}")
    outcome, *parts = (part.strip(" \t") for part in text.split(";"))
    _check_outcome(outcome, where)
    row = CATALOGUE.get(outcome)
    given = _parameters(parts, _names(row, where))
    fields = {_FIELDS[name]: _read(name, value, row) for name, value in given.items() if name in _FIELDS}
    members = {name: _member(name, value, row) for name, value in given.items() if name not in _FIELDS}
    return Simulation(outcome, members=members, **fields)


def _parameters(parts: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip(" \t") for piece in part.partition("="))
        if not equals:
            raise BadSimulation(f"'{_shown(part)}' is no parameter: parameters are name=value, after semicolons")
        if name in given:
            raise BadSimulation(f"'{name}' is given twice")
        if name not in names:
            raise BadSimulation(f"There is no parameter '{_shown(name)}' here, only {', '.join(names)}")
        given[name] = value
    return given


def _check_outcome(outcome: str, where: Literal["E", "L"]) -> None:
    if outcome == OK or (outcome == DROP and where == "E"):
        return
    row = CATALOGUE.get(outcome)
    if row is None:
        raise BadSimulation(f"There is no problem '{_shown(outcome)}' to simulate; /errors lists those that there are")
    if where not in row.where:
        what = "no endpoint answers with it: simulate it in an item" if where == "E" else "no item ends in it"
        raise BadSimulation(f"'{outcome}' cannot be simulated here, since {what}")


def _names(row: Row | None, where: Literal["E", "L"]) -> list[str]:
    common = ["delay", "p", "seed"] + (["after"] if where == "E" else [])
    if row is None:
        return common
    own = [name for name in row.members if name != "retry_after" and "{" not in name]
    return [*common, "retry_after", "error_code", *own]


_FIELDS: Final = {
    "after": "after",
    "delay": "delay_seconds",
    "retry_after": "retry_after",
    "p": "p",
    "seed": "seed",
    "error_code": "error_code",
}
"""Every parameter that is no member of a row, and its field."""


def _read(name: str, value: str, row: Row | None) -> Any:
    match name:
        case "after":
            if not _WHOLE.fullmatch(value) or not 0 <= int(value) <= _MAX_AFTER:
                raise BadSimulation(f"after must be a whole number from 0 to {_MAX_AFTER}, not '{_shown(value)}'")
            return int(value)
        case "seed":
            if not _WHOLE.fullmatch(value):
                raise BadSimulation(f"seed must be a whole number, not '{_shown(value)}'")
            return int(value)
        case "error_code":
            if row is None or not row.admits(value):
                raise BadSimulation(f"'{_shown(value)}' is no error_code of this problem")
            return value
    highest = _HIGHEST[name]
    if not _NUMBER.fullmatch(value) or float(value) > highest:
        raise BadSimulation(f"{name} must be a number from 0 to {highest:g}, not '{_shown(value)}'")
    return float(value)


def _member(name: str, value: str, row: Row | None) -> Any:
    if name == "stage" and row is not None and value not in row.stages:
        raise BadSimulation(f"'{_shown(value)}' is no stage: {', '.join(row.stages)}")
    if _WHOLE.fullmatch(value):
        return int(value)
    if not _WORD.fullmatch(value):
        raise BadSimulation(f"{name} must be a word or a whole number, not '{_shown(value)}'")
    return value


def _shown(text: str) -> str:
    """At most so much of it that a sentence stays one, and nothing that does not print."""
    short = text if len(text) <= 40 else text[:39] + "…"
    return "".join(character if character.isprintable() else "�" for character in short)


# Items


def take_simulation(value: Any, prompt: str | None) -> tuple[str | None, Any, str | None]:
    """Take what an item asks for out of its input and prompt: (what it asks for, None without; input; prompt).

    value: JSON. ``"simulate"`` of an object counts before a marker in the prompt, and that before one in a string of
    the input; all of them are taken out. Of an object, ``delay`` and the like may stand beside ``"simulate"``.
    """
    asked: list[str] = []
    if isinstance(value, dict) and isinstance(value.get("simulate"), str):
        asked.append("; ".join(_of_object(value)))
        value = {name: inner for name, inner in value.items() if name not in ("simulate", *_FIELDS)}
    if prompt is not None:
        prompt = _without_markers(prompt, asked)
    value = _walked(value, asked)
    return (asked[0] if asked else None), value, prompt


def _of_object(value: Mapping[str, Any]) -> Iterator[str]:
    yield value["simulate"]
    for name in _FIELDS:
        if name in value:
            yield f"{name}={value[name]}"


def _without_markers(text: str, asked: list[str]) -> str:
    if "[[simulate:" not in text:
        return text
    asked += (found.strip() for found in _MARKER.findall(text))
    return _MARKER.sub("", text).strip()


def _walked(value: Any, asked: list[str]) -> Any:
    """A copy without markers. How deep it goes is bounded where a body is taken in."""
    if isinstance(value, str):
        return _without_markers(value, asked)
    if isinstance(value, list):
        return [_walked(inner, asked) for inner in value]
    if isinstance(value, dict):
        return {name: _walked(inner, asked) for name, inner in value.items()}
    return value
