"""``amends run``: from files to results, resumed where it was killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amends.client import BatchPrediction, Client, Run
from amends.exceptions import ValidationError

from ._connection import Connection, connect
from ._console import Words, counts_line, progress
from ._exits import ITEMS_FAILED, SUCCEEDED, BadUsage
from ._failures import show_failures
from ._inputs import Inputs, read_inputs, read_schema
from ._models import check_installed
from ._options import Common
from ._results import write_joined, write_results
from ._sources import Source, fingerprint
from ._tables import check_output
from ._uploads import as_items, upload

TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})
FIRST_POLL_SECONDS = 0.05
LAST_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``amends run`` was asked for."""

    sources: tuple[Path, ...]
    model: str
    prompt: str | None
    schema: str | None
    output: Path | None
    join: bool
    limit: int | None
    dry_run: bool
    new: bool
    test: bool


def run(wanted: Wanted, common: Common) -> int:
    """Read the inputs, submit them once, wait, write the results, and say how to mend what failed."""
    _check(wanted)
    schema = read_schema(wanted.schema)
    inputs = read_inputs(wanted.sources, leave_out=[place for place in (wanted.output, common.data) if place])
    if wanted.join and inputs.table is None:
        raise BadUsage("--join needs a manifest (.csv, .parquet, .jsonl) to join to")
    with connect(common, is_run=True, is_test=wanted.test) as connection:
        parameters = _parameters(wanted, schema)
        if connection.is_embedded:
            check_installed(wanted.model)
        _check_accepted(connection, parameters)
        if wanted.dry_run:
            return _dry_run(connection, inputs, parameters, common.words)
        batch = _start(connection, wanted, inputs, parameters, common.words)
        batch = follow(connection, batch, common.words)
        _write(connection, wanted, inputs, batch, common)
        return report(connection.client, batch, common)


def _check(wanted: Wanted) -> None:
    if wanted.output is not None:
        check_output(wanted.output)
    if wanted.join and wanted.output is None:
        raise BadUsage("--join writes a table: name it with -o table.csv, .parquet or .jsonl")
    if wanted.limit is not None and wanted.limit < 1:
        raise BadUsage("--limit is a number of items from 1")


def _parameters(wanted: Wanted, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    given = {"model": wanted.model, "prompt": wanted.prompt, "output_schema": schema}
    return {name: value for name, value in given.items() if value is not None}


def _check_accepted(connection: Connection, parameters: Mapping[str, Any]) -> None:
    """Have model and schema judged before anything is uploaded. Without --server a refusal is bad usage."""
    try:
        connection.client.batch_predictions.dry_run(items=[{"custom_id": "check", "input": ""}], **parameters)
    except ValidationError as error:
        if connection.is_remote:
            raise
        raise BadUsage(refusal(error)) from error


def refusal(error: ValidationError) -> str:
    """What is wrong with a request, its fields named, without the advice for programs."""
    return error.problem.detail or str(error)


def _dry_run(connection: Connection, inputs: Inputs, parameters: Mapping[str, Any], words: Words) -> int:
    """Say what would be done; nothing is uploaded, so only what needs no look into a file is judged."""
    here = [item for item in inputs.items if item.path is not None]
    missing = [item.custom_id for item in here if item.path is not None and not item.path.is_file()]
    if words.is_json:
        words.document(
            {"object": "run.dry_run", "items": len(inputs.items), "files": len(here), "missing": missing, **parameters}
        )
    else:
        words.data(
            f"{len(inputs.items):,} items with {parameters['model']}, {len(here):,} of them files; nothing was sent"
        )
        for custom_id in missing:
            words.data(f"  would fail: {custom_id}: file_not_found")
    return ITEMS_FAILED if missing else SUCCEEDED


def _start(
    connection: Connection, wanted: Wanted, inputs: Inputs, parameters: Mapping[str, Any], words: Words
) -> BatchPrediction:
    """The run of these inputs: the one that stands, or a new one."""
    print_ = fingerprint(
        inputs, model=wanted.model, prompt=wanted.prompt, schema=parameters.get("output_schema"), is_test=wanted.test
    )
    key = connection.sources.creation_key(print_, is_new=wanted.new)
    standing = next(iter(connection.client.batch_predictions.list(idempotency_key=key).data), None)
    if standing is None:
        batch = _create(connection, inputs, key, print_, {**parameters, **_extras(wanted)}, words)
        words.say(f"Run {batch.id}: {len(inputs.items):,} items with {wanted.model}")
    else:
        batch = _resume(connection, standing, wanted, words)
    # Also of a run that stands: it may have been killed just after it was created.
    paths = {item.custom_id: item.path for item in inputs.items if item.path is not None}
    connection.sources.remember(batch.id, Source(paths, inputs.manifest))
    return batch


def _extras(wanted: Wanted) -> dict[str, Any]:
    return {"limit_items": wanted.limit} if wanted.limit is not None else {}


def _resume(connection: Connection, batch: BatchPrediction, wanted: Wanted, words: Words) -> BatchPrediction:
    if batch.status in TERMINAL:
        words.say(f"Run {batch.id} of the same inputs ended before; --new starts afresh")
        return batch
    counts = counts_of(batch)
    part = counts["total"] - counts["processing"]
    if batch.paused_reason == "limit" and part < min(wanted.limit or 0, counts["total"]):
        raise BadUsage(
            f"Run {batch.id} was begun with its first {part:,} items: without --limit it goes on with all the rest, "
            "--new starts afresh"
        )
    words.say(f"Run {batch.id} goes on: {counts_line(counts)}")
    if batch.paused_reason == "limit" and wanted.limit is None:
        return connection.client.batch_predictions.extend(batch.id)
    return batch


def _create(
    connection: Connection, inputs: Inputs, key: str, print_: str, parameters: Mapping[str, Any], words: Words
) -> BatchPrediction:
    client = connection.client
    paths = [item.path for item in inputs.items if item.path is not None]
    with progress(words, "Uploading") as bar:
        file_ids = upload(client, paths, print_=print_, show=bar.update)
    return client.batch_predictions.create(items=as_items(inputs.items, file_ids), idempotency_key=key, **parameters)


def follow(connection: Connection, batch: BatchPrediction, words: Words) -> BatchPrediction:
    """Wait until a run has ended or holds until it is extended, showing how far it is."""
    pause, is_told = FIRST_POLL_SECONDS, False
    with progress(words, "Running") as bar:
        while True:
            counts = counts_of(batch)
            done = counts["total"] - counts["processing"]
            bar.update(done, done - counts["succeeded"], counts["total"])
            if batch.status in TERMINAL or batch.paused_reason in ("limit", "cost_cap"):
                return batch
            if batch.paused_reason == "credit" and not is_told:
                words.say("Credit is used up: `amends credits top-up` adds some, and the run goes on by itself")
                is_told = True
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_POLL_SECONDS)
            batch = connection.client.batch_predictions.get(batch.id)


def counts_of(batch: Run) -> dict[str, int]:
    """The counts of a batch as a mapping, zero where the server says nothing."""
    names = ("total", "processing", "succeeded", "errored", "canceled", "expired")
    return {name: getattr(batch.request_counts, name, None) or 0 for name in names}


def _write(connection: Connection, wanted: Wanted, inputs: Inputs, batch: BatchPrediction, common: Common) -> None:
    if wanted.join and wanted.output is not None and inputs.table is not None:
        write_joined(connection.client, batch.id, inputs, inputs.table, wanted.output, common.words)
    elif wanted.output is not None or not common.json:
        write_results(connection.client, batch.id, wanted.output, common.words)


def report(client: Client, batch: BatchPrediction, common: Common) -> int:
    """Say how a run ended and how to mend what failed; returns the exit code."""
    words, counts = common.words, counts_of(batch)
    if words.is_json:
        words.document(batch.model_dump(mode="json"))
    words.say(f"Run {batch.id} {batch.status}: {counts_line(counts)}")
    if batch.paused_reason == "limit":
        words.say("The rest waits: the same command without --limit goes on with it")
    if batch.paused_reason == "cost_cap":
        words.say("The rest waits: the run cost what it may")
    bad = counts["errored"] + counts["canceled"] + counts["expired"]
    if bad and not words.is_quiet:
        show_failures(client, batch.id, words.say, common)
    return ended_code(batch)


def ended_code(batch: BatchPrediction) -> int:
    """The exit code of a command that a run's end is the end of."""
    counts = counts_of(batch)
    bad = counts["errored"] + counts["canceled"] + counts["expired"]
    return ITEMS_FAILED if bad or batch.status in TERMINAL - {"completed"} else SUCCEEDED
