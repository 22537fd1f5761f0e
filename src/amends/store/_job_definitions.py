"""Job definitions: what annotators are asked about the datapoints of a dataset, and how often."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from amends.database import Database, Transaction, load_queries

QUERIES = load_queries(__package__, "job_definitions.sql")

JobKind = Literal["classification", "compare", "free_text", "locate"]


@dataclass(frozen=True, slots=True)
class LabellingSettings:
    """How an order is worked on.

    responses_per_datapoint: answers that a task needs. confidence_threshold: a task is done earlier once its likeliest answer is this
    probable; None: never. time_limit_seconds: how long a task is an annotator's; None takes ``DEFAULT_LEASE_SECONDS``.
    gold: datapoint → what is right; gold_every: each of so many tasks that an annotator is handed is one of these, as long as there are.
    """

    responses_per_datapoint: int = 3
    confidence_threshold: float | None = None
    shuffle_answers: bool = False
    time_limit_seconds: float | None = None
    gold: Mapping[str, Any] = field(default_factory=dict)
    gold_every: int = 10

    @property
    def lease_seconds(self) -> float:
        return self.time_limit_seconds or DEFAULT_LEASE_SECONDS

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


DEFAULT_LEASE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """answer_options: what a classification chooses among; None for other kinds, or where each datapoint has its own."""

    id: str
    workspace_id: str
    dataset_id: str
    kind: JobKind
    name: str
    instruction: str
    answer_options: tuple[str, ...] | None
    settings: LabellingSettings
    created_by: str | None
    created_at: float


class JobDefinitions:
    """Every question is bound to a workspace. A definition never changes."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(self, tx: Transaction, definition: JobDefinition) -> None:
        names = ("id", "workspace_id", "dataset_id", "kind", "name", "instruction", "created_by", "created_at")
        options = definition.answer_options
        values = {
            **{name: getattr(definition, name) for name in names},
            "answer_options": None if options is None else to_text(list(options)),
            "settings": to_text(definition.settings.to_dict()),
        }
        tx.execute(QUERIES.insert_definition, values)

    def get(self, workspace_id: str, definition_id: str) -> JobDefinition | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_definition, {"id": definition_id, "workspace_id": workspace_id})
        return None if row is None else _definition(row)

    def find(
        self, workspace_id: str, *, limit: int, after: str | None = None, name: str | None = None
    ) -> list[JobDefinition]:
        """The workspace's definitions, newest first, those older than ``after``. name: what their name holds, in any case."""
        values = {"workspace_id": workspace_id, "limit": limit, "after": after, "name": literally(name)}
        with self._database.read() as tx:
            return [_definition(row) for row in tx.execute(QUERIES.list_definitions, values)]


def settings_of(text: str) -> LabellingSettings:
    """Settings as they are stored."""
    return LabellingSettings(**json.loads(text))


def to_text(value: Any) -> str:
    """JSON as it is stored."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def literally(name: str | None) -> str | None:
    """The text with what a pattern of SQL would take for more than itself escaped."""
    return None if name is None else name.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _definition(row: Sequence[Any]) -> JobDefinition:
    members = list(row)
    members[6] = None if row[6] is None else tuple(json.loads(row[6]))
    members[7] = settings_of(row[7])
    return JobDefinition(*members)
