"""An order's results, as values and as tables."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from ._models import Record

if TYPE_CHECKING:
    import pandas

_COLUMNS: Final = (
    "datapoint_id", "state", "answer", "confidence", "agreement", "responses", "distribution", "assets", "group", "context",
    "private_metadata", "gold", "truth",
)  # fmt: skip


class OrderResult(Record):
    """What was said of one datapoint.

    answer: None without responses. confidence: how probable it is, from 0 to 1; for free_text and locate the share of weight behind
    it. agreement: of all pairs of responses, the share that says the same. distribution: every answer with its share. truth: of a
    gold task.
    """

    datapoint_id: str | None = None
    state: str | None = None
    answer: Any = None
    confidence: float | None = None
    agreement: float | None = None
    distribution: list[dict[str, Any]] = Field(default_factory=list)
    responses: list[dict[str, Any]] = Field(default_factory=list)
    skips: list[dict[str, Any]] = Field(default_factory=list)
    group: str | None = None
    context: str | None = None
    private_metadata: dict[str, Any] | None = None
    assets: list[str] = Field(default_factory=list)
    gold: bool | None = None
    truth: Any = None


class OrderResults(Record):
    """An order's results as they stood. annotators: each with its weight; ranking: of a compare order, the strongest asset first."""

    order_id: str | None = None
    status: str | None = None
    kind: str | None = None
    method: str | None = None
    tasks: int | None = None
    tasks_done: int | None = None
    responses: int | None = None
    agreement: dict[str, float | None] | None = None
    labels: list[Any] = Field(default_factory=list)
    annotators: list[dict[str, Any]] = Field(default_factory=list)
    ranking: list[dict[str, Any]] = Field(default_factory=list)
    data: list[OrderResult] = Field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a datapoint, ``responses`` being their number."""
        return [
            {name: len(line.responses) if name == "responses" else getattr(line, name) for name in _COLUMNS}
            for line in self.data
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a datapoint, under its id; needs pandas."""
        import pandas

        return pandas.DataFrame(self.rows(), columns=list(_COLUMNS)).set_index("datapoint_id")

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All of it as JSON, written to ``path``, too, if one is given."""
        return _written(json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1), path)

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """One line a datapoint, what is no text or number as JSON, written to ``path``, too, if one is given."""
        with io.StringIO(newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in self.rows())
            return _written(file.getvalue(), path)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        Path(path).write_text(text, "utf-8", newline="")
    return text
