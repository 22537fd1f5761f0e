"""``amends watch``: a run as it happens, from its event stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from amends.client import RunEvent

from ._connection import Connection, connect
from ._console import Progressing, Words, progress
from ._options import Common
from ._results import sentence
from ._run import counts_of, ended_code, report


def watch(common: Common, run_id: str) -> int:
    """Follow a run to its end and report it; returns the exit code. An owner of its own moves the run meanwhile."""
    words = common.words
    with connect(common, moves_runs=True) as connection:
        if words.is_json:
            _stream(connection, run_id, words)
        else:
            _show(connection, run_id, words)
        batch = connection.client.batch_predictions.get(run_id)
        return ended_code(batch) if words.is_json else report(connection.client, batch, common)


def _events(connection: Connection, run_id: str) -> Iterator[RunEvent]:
    """To the end. With an owner of its own only to a pause, since nobody else could end that."""
    with closing(connection.client.runs.events(run_id)) as events:  # type: ignore[type-var]
        for event in events:
            yield event
            if connection.is_embedded and event.run is not None and event.run.paused_reason:
                return


def _stream(connection: Connection, run_id: str, words: Words) -> None:
    """One event a line, as it comes."""
    for event in _events(connection, run_id):
        words.data(json.dumps(_document(event), ensure_ascii=False))
        words.out.flush()


def _document(event: RunEvent) -> dict[str, Any]:
    what = {"failure": event.line} if event.run is None else {"run": event.run.model_dump(mode="json")}
    return {"event": event.type, "id": event.id, **what}


def _show(connection: Connection, run_id: str, words: Words) -> None:
    with progress(words, "Running") as bar:
        for event in _events(connection, run_id):
            _tell(event, bar)


def _tell(event: RunEvent, bar: Progressing) -> None:
    if event.line is not None:
        bar.note(f"{event.line.get('custom_id')}: {sentence(event.line.get('error') or {})}")
    elif event.run is not None:
        counts = counts_of(event.run)
        bar.update(counts["total"] - counts["processing"], counts["errored"], counts["total"])
        if event.run.paused_reason:
            bar.note(f"Paused: {event.run.paused_reason}")
