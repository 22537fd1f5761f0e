"""``amends retry``: the failed items again, their files read afresh from where they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amends.client import BatchPrediction, Replacement
from amends.exceptions import ConflictError

from ._connection import Connection, connect
from ._console import progress
from ._exits import BadUsage
from ._options import Common
from ._results import slug_of, write_results
from ._run import TERMINAL, follow, report
from ._sources import Source
from ._tables import check_output
from ._uploads import upload


@dataclass(frozen=True, slots=True)
class WantedRetry:
    """What ``amends retry`` was asked for. types: slugs; empty is every type. replace: ``CUSTOM_ID=PATH`` or ``CUSTOM_ID=URL``."""

    run_id: str
    types: tuple[str, ...]
    custom_ids: tuple[str, ...]
    replace: tuple[str, ...]
    prompt: str | None
    output: Path | None


def retry(wanted: WantedRetry, common: Common) -> int:
    """Retry, wait, and write the merged results; a retry that is under way already is followed instead."""
    if wanted.output is not None:
        check_output(wanted.output)
    with connect(common, is_run=True) as connection:
        batch = _start(connection, wanted, common)
        batch = follow(connection, batch, common.words)
        if wanted.output is not None:
            write_results(connection.client, wanted.run_id, wanted.output, common.words)
        return report(connection.client, batch, common)


def _start(connection: Connection, wanted: WantedRetry, common: Common) -> BatchPrediction:
    source = connection.sources.recall(wanted.run_id)
    failed = _failed(connection, wanted)
    given, urls = _replacements(wanted.replace, failed)
    paths = _paths(failed, source, given, urls)
    with progress(common.words, "Uploading") as bar:
        file_ids = upload(connection.client, list(paths.values()), print_=wanted.run_id, show=bar.update)
    replace: list[Replacement] = [
        {"custom_id": custom_id, "file_id": file_ids[path]} for custom_id, path in paths.items()
    ]
    replace += [{"custom_id": custom_id, "url": url} for custom_id, url in urls.items()]
    options: dict[str, Any] = {"types": list(wanted.types) or None, "custom_ids": list(wanted.custom_ids) or None}
    try:
        batch = connection.client.batch_predictions.retry_failed(
            wanted.run_id, **options, replace=replace or None, prompt=wanted.prompt
        )
    except ConflictError:
        under_way = _under_way(connection, wanted.run_id)
        if under_way is None:
            raise
        common.words.say(f"Retry {under_way.id} is under way")
        return under_way
    connection.sources.remember(batch.id, Source({**source.paths, **paths}, source.manifest))
    common.words.say(f"Retry {batch.id}: {len(failed):,} item{'' if len(failed) == 1 else 's'} of {wanted.run_id}")
    return batch


def _failed(connection: Connection, wanted: WantedRetry) -> Sequence[str]:
    """custom_ids of what will be retried: what did not succeed in the end, narrowed by the flags."""
    batches = connection.client.batch_predictions
    # Of a first run, what its retries left; of a retry, its own items, for the merged lines are those of its root.
    is_root = batches.get(wanted.run_id).parent_id is None
    lines = batches.results(wanted.run_id, lineage=is_root)
    types, chosen = set(wanted.types), set(wanted.custom_ids)
    return [
        line["custom_id"]
        for line in lines
        if line["status"] != "succeeded"
        and (not types or slug_of(line["error"] or {}) in types)
        and (not chosen or line["custom_id"] in chosen)
    ]


def _replacements(given: Sequence[str], failed: Sequence[str]) -> tuple[Mapping[str, Path], Mapping[str, str]]:
    """``CUSTOM_ID=PATH`` and ``CUSTOM_ID=URL``; either side may hold an equals sign, so the side that names a failed item decides."""
    known = set(failed)
    paths: dict[str, Path] = {}
    urls: dict[str, str] = {}
    for entry in given:
        splits = [(entry[:at], entry[at + 1 :]) for at, character in enumerate(entry) if character == "="]
        if not splits:
            raise BadUsage(f"--replace {entry}: expected CUSTOM_ID=PATH or CUSTOM_ID=URL")
        custom_id, with_what = next((split for split in splits if split[0] in known), splits[0])
        if custom_id not in known:
            raise BadUsage(f"--replace {entry}: no item {custom_id!r} is among what would be retried")
        if with_what.startswith(("https://", "http://")):
            urls[custom_id] = with_what
        elif Path(with_what).is_file():
            paths[custom_id] = Path(with_what)
        else:
            raise BadUsage(f"--replace {entry}: No such file: {with_what}")
    return paths, urls


def _paths(
    failed: Sequence[str], source: Source, replacements: Mapping[str, Path], elsewhere: Mapping[str, str]
) -> Mapping[str, Path]:
    """The file to send again for each item that was one of this machine's, and is not to come from elsewhere."""
    here = {name: source.paths[name] for name in failed if name in source.paths and name not in elsewhere}
    return {**here, **replacements}


def _under_way(connection: Connection, run_id: str) -> BatchPrediction | None:
    """The unfinished child that holds what was to be retried: a retry killed here goes on there."""
    for batch in connection.client.batch_predictions.list(limit=100):
        if batch.parent_id == run_id and batch.status not in TERMINAL:
            return batch
    return None
