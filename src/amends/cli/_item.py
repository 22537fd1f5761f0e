"""``amends item``: the record of one item, for whoever asks what became of it."""

from __future__ import annotations

import json
from pathlib import Path

from amends.client import ItemRecord

from ._connection import connect
from ._console import Words, local_time
from ._options import Common
from ._results import sentence
from ._tables import as_local_failure, replacing


def show_item(common: Common, run_id: str, custom_id: str, output: Path | None) -> None:
    """Show the record, or write it to ``output`` as JSON."""
    with connect(common) as connection:
        record = connection.client.batch_predictions.item(run_id, custom_id)
    document = record.model_dump(mode="json")
    if output is not None:
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        with as_local_failure(output), replacing(output) as file:
            file.write(text.encode())
        common.words.say(f"Record: {output}")
    elif common.json:
        common.words.document(document)
    else:
        _tell(record, common.words)


def _tell(record: ItemRecord, words: Words) -> None:
    words.data(f"{record.custom_id}  {record.status}  {local_time(record.ended_at)}".rstrip())
    words.data(f"  sent: {json.dumps(record.item, ensure_ascii=False)}")
    for attempt in record.attempts:
        words.data(f"  attempt {attempt.number}, {local_time(attempt.at)}: {sentence(attempt.error or {})}")
    if record.deaths:
        words.data(f"  in flight at {record.deaths} deaths of a worker")
    outcome = record.outcome or {}
    if outcome.get("error"):
        words.data(f"  ended: {sentence(outcome['error'])}")
        words.data(f"  What to do: {outcome['error'].get('remedy', {}).get('hint', '')}")
    elif outcome:
        words.data(f"  output: {json.dumps(outcome.get('output'), ensure_ascii=False)}")
