"""Whether what was sent is what came back."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from ._context import Context, ReadOptions
from ._exchange import Call, exchange, within
from ._flow import Emit, Flow, Step
from ._models import BatchPrediction, Manifest, read
from ._streams import ResultStream


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a batch's results hold, against what they should.

    expected: ids that were to come: those given, else the batch's total. received: lines that came.
    missing, unexpected: in the order given and received; empty where no ids were given to compare with.
    doubled: ids with more than one line, or given more than once. by_status: item status → lines.
    is_manifest_right: whether count and SHA-256 of the lines are those of the manifest; None where the lineage was read,
    which no manifest covers.
    """

    batch_id: str
    expected: int
    received: int
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    unexpected: tuple[str, ...]
    by_status: dict[str, int]
    is_manifest_right: bool | None

    @property
    def is_complete(self) -> bool:
        """Whether exactly one line came for each id, and the lines are those of the manifest."""
        is_right = self.is_manifest_right is not False
        return is_right and self.expected == self.received and not (self.missing or self.doubled or self.unexpected)


def reconcile(
    context: Context, path: str, results: Call, custom_ids: Iterable[str] | None, options: ReadOptions
) -> Flow[Reconciliation]:
    """Read a finished batch's results and compare. Holds the ids in memory, some 100 bytes each.

    path: the batch's. results: the call for its first lines. Raises ConflictError while the batch is unfinished.
    """
    left = within(context, options)
    batch = read(BatchPrediction, (yield from exchange(context, Call("GET", path), left())))
    has_lineage = bool(results.query.get("lineage"))
    digest, seen, by_status = hashlib.sha256(), Counter[str](), Counter[str]()
    stream = ResultStream(context, lambda after: _after(results, after), left(), watch=digest.update)
    yield from _tally(stream, seen, by_status)
    received = seen.total()
    is_right: bool | None = None
    if not has_lineage:
        manifest = read(Manifest, (yield from exchange(context, Call("GET", f"{path}/manifest"), left())))
        is_right = (manifest.lines, manifest.sha256) == (received, digest.hexdigest())
    wanted = None if custom_ids is None else Counter(custom_ids)
    counts = batch.request_counts
    total = counts.total if counts is not None and counts.total is not None else received
    both = seen if wanted is None else seen | wanted
    return Reconciliation(
        batch_id=batch.id,
        expected=total if wanted is None else len(wanted),
        received=received,
        missing=() if wanted is None else tuple(custom_id for custom_id in wanted if custom_id not in seen),
        doubled=tuple(custom_id for custom_id, times in both.items() if times > 1),
        unexpected=() if wanted is None else tuple(custom_id for custom_id in seen if custom_id not in wanted),
        by_status=dict(by_status),
        is_manifest_right=is_right,
    )


def _tally(stream: ResultStream, seen: Counter[str], by_status: Counter[str]) -> Generator[Step, Any, None]:
    """Count the lines as they come; what the stream asks of the loop goes through."""
    lines = stream.lines()
    result: Any = None
    while True:
        try:
            step = lines.send(result)
        except StopIteration:
            return
        if isinstance(step, Emit):
            result = None
            seen.update(str(line.get("custom_id")) for line in step.values)
            by_status.update(str(line.get("status")) for line in step.values)
        else:
            result = yield step


def _after(results: Call, after: str | None) -> Call:
    return Call("GET", results.path, {**results.query, "after": after}, None, results.headers, True, True)
