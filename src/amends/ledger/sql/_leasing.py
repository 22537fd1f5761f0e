"""Claiming items, committing what became of them, and returning what was not done.

    pending ──claim──► lease ──commit──► outcome
       ▲                │  └──commit──► deferred ──claim, when due──► lease
       └──return────────┘

A commit first matches its lease: that row is the fence. Nothing else decides who may write.
"""

from __future__ import annotations

import json
import random
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from amends.database import Duplicate, Transaction, load_queries
from amends.ledger._credits import with_costs
from amends.ledger._types import ClaimRequest, Commit, Lease, Outcome, RunState
from amends.ledger.sql import _credits
from amends.ledger.sql._keys import contiguous, first_key, gaps, key_of, seq_of
from amends.ledger.sql._runs import RUNS, note_references

LEASING = load_queries("amends.ledger.sql", "leasing.sql")

_ALONE_AFTER_LAPSES = 3
_FLAT_WIDTH = 7
_ATTEMPTS_KEPT = 20


class Held(NamedTuple):
    """A lease as it stands. lo and hi are None when it holds deferred items.

    ended: outcomes that its run has so far. has_deferred: whether items of its span are deferred. price: an item's.
    """

    run_no: int
    lo: int | None
    hi: int | None
    lapses: int
    remaining: int
    state: RunState
    ended: int
    has_deferred: int
    price: int

    @property
    def credit(self) -> int:
        """What it holds."""
        return self.remaining * self.price


def held(tx: Transaction, lease_id: str) -> Held | None:
    tx.lock(LEASING.lock_lease, (lease_id,))
    row = tx.one(LEASING.lease, (lease_id,))
    return None if row is None else Held(*row)


def claim(
    tx: Transaction,
    request: ClaimRequest,
    now_ms: int,
    draw: random.Random,
    on_pause: Callable[[int], None] = lambda run_no: None,
) -> Lease | None:
    """on_pause: told of a run that was paused because it could not pay."""
    rows: list[tuple[Any, ...]] = list(tx.execute(LEASING.ready_runs, {"now_ms": now_ms}))
    if request.shares:
        rows = [_shared_row(row, request) for row in rows]
    ready = [row for row in rows if (row[4] or row[5]) and (not request.kinds or row[3] in request.kinds)]
    while ready:
        run = _draw_run(ready, draw)
        run_no, has_due, price = run[0], run[4], run[6]
        items = request.most(run_no, are_retries=bool(has_due))
        if price:
            items = _credits.affordable(tx, run_no, items, on_pause)
        if items:
            claim_of = _claim_deferred if has_due else _claim_span
            asked = request if items == request.max_items else replace(request, max_items=items)
            lease = claim_of(tx, run_no, asked, now_ms)
            if lease is not None:
                if price:
                    _credits.lease(tx, run_no, lease.count * price)
                return lease
        ready.remove(run)  # it may begin nothing now, cannot pay for an item, or others took all of it meanwhile
    return None


def _shared_row(row: tuple[Any, ...], request: ClaimRequest) -> tuple[Any, ...]:
    """A ready run as it is to the claim: what it may take none of is not there."""
    has_due = row[4] and request.most(row[0], are_retries=True) > 0
    has_span = row[5] and request.most(row[0], are_retries=False) > 0
    return (*row[:4], has_due, has_span, *row[6:])


def _draw_run(ready: list[tuple[Any, ...]], draw: random.Random) -> tuple[Any, ...]:
    """A workspace at random, then one of its runs by weight 2 ** priority: fair in expectation, no hot row."""
    if len(ready) == 1:
        return ready[0]
    workspace = draw.choice(sorted({row[1] for row in ready}))
    mine = [row for row in ready if row[1] == workspace]
    return draw.choices(mine, weights=[2.0 ** row[2] for row in mine])[0]


def _claim_span(tx: Transaction, run_no: int, request: ClaimRequest, now_ms: int) -> Lease | None:
    """Cut the head off the span whose turn it is; None where, on PostgreSQL, others took the last one meanwhile."""
    span = tx.one(LEASING.next_span, {"run_no": run_no})
    if span is None:
        tx.lock(LEASING.lock_span, {"run_no": run_no})
        span = tx.one(LEASING.next_span, {"run_no": run_no})
        if span is None:
            return None
    lo, hi, lapses, has_suspects, *head = span
    most = 1 if lapses >= _ALONE_AFTER_LAPSES else request.max_items
    end = _fitting_end(tx, run_no, lo, min(hi, lo + most - 1), request.max_bytes)
    if end < hi:
        tx.execute(LEASING.shorten_span, {"run_no": run_no, "lo": lo, "next": end + 1})
    else:
        tx.execute(LEASING.drop_span, {"run_no": run_no, "lo": lo})
    keys = {"lo": key_of(run_no, lo), "hi": key_of(run_no, end)}
    packed = tx.value(LEASING.pack_suspects if has_suspects else LEASING.pack, keys)
    members = {"id": secrets.token_hex(16), "run_no": run_no, "lo": lo, "hi": end, "lapses": lapses}
    return _lease(tx, {**members, "remaining": end - lo + 1}, head, request, now_ms, packed)


def _fitting_end(tx: Transaction, run_no: int, lo: int, hi: int, max_bytes: int) -> int:
    keys = {"lo": key_of(run_no, lo), "hi": key_of(run_no, hi)}
    if lo == hi or tx.value(LEASING.payload_bytes, keys) <= max_bytes:
        return hi
    return lo + int(tx.value(LEASING.within_bytes, {**keys, "max_bytes": max_bytes})) - 1


def _claim_deferred(tx: Transaction, run_no: int, request: ClaimRequest, now_ms: int) -> Lease | None:
    lease_id = secrets.token_hex(16)
    bounds = {"now_ms": now_ms, "limit": request.max_items, "max_bytes": request.max_bytes}
    tx.execute(LEASING.lease_due, {"lease_id": lease_id, "run_no": run_no, **bounds})
    items = tx.changes
    if not items:
        return None
    packed = tx.value(LEASING.pack_deferred, {"lease_id": lease_id})
    head = tx.one(LEASING.lease_head, (run_no,))
    assert head is not None
    members = {"id": lease_id, "run_no": run_no, "lo": None, "hi": None, "lapses": 0, "remaining": items}
    return _lease(tx, members, head, request, now_ms, packed)


def _lease(
    tx: Transaction,
    members: Mapping[str, Any],
    head: Sequence[Any],
    request: ClaimRequest,
    now_ms: int,
    packed: bytes,
) -> Lease:
    """Write the lease. head: see ``lease_head``."""
    expires_ms = now_ms + int(request.ttl_seconds * 1000)
    tx.execute(LEASING.insert_lease, {**members, "owner": request.owner, "expires_ms": expires_ms})
    run_id, kind, mode, params, request_id, public_url, deadline = head
    return Lease(
        id=members["id"],
        run_id=run_id,
        run_no=members["run_no"],
        kind=kind,
        mode=mode,
        params=params,
        request_id=request_id,
        public_url=public_url,
        deadline=deadline,
        packed=packed,
        count=members["remaining"],
        ttl_seconds=request.ttl_seconds,
        alone=members["lapses"] >= _ALONE_AFTER_LAPSES,
    )


def commit(tx: Transaction, report: Commit, now: float, now_ms: int) -> bool:
    """Write what the worker reports if its lease holds; False otherwise, and nothing is written."""
    lease = held(tx, report.lease_id)
    if lease is None:
        return False
    seqs = sorted(map(itemgetter(0), report.outcomes))
    deferred_seqs = [deferral.seq for deferral in report.deferred]
    _check_covered(tx, report.lease_id, lease, seqs, deferred_seqs)
    outcomes = with_costs(report.outcomes, lease.price) if lease.price else report.outcomes
    if outcomes:
        write_outcomes(tx, lease.run_no, outcomes, seqs, now, start=lease.ended)
        if lease.lo is None:
            drop_deferred(tx, lease.run_no, seqs)
    _defer(tx, lease.run_no, report, now_ms)
    _record_attempts(tx, lease.run_no, report)
    if report.deaths:
        tx.execute(LEASING.add_deaths, {"keys": _keys_text(lease.run_no, report.deaths)})
    reported = len(seqs) + len(deferred_seqs)
    if lease.price and reported:
        _credits.settle(tx, lease.run_no, reported * lease.price, outcomes)
    if report.final or reported == lease.remaining:
        left = lease.remaining - reported
        give_back(tx, report.lease_id, lease._replace(remaining=left), now_ms, lapses=0)
    elif reported:
        tx.execute(LEASING.reduce_lease, {"id": report.lease_id, "items": reported})
    return True


def _check_covered(tx: Transaction, lease_id: str, lease: Held, ended: list[int], deferred: list[int]) -> None:
    """ValueError unless the lease holds every reported item, each once and none reported before."""
    seqs = sorted(ended + deferred) if deferred else ended
    if not seqs:
        return
    if len(set(seqs)) != len(seqs):
        raise ValueError("an item is reported twice in one commit")
    if lease.lo is None or lease.hi is None:
        if not set(seqs) <= {row[0] for row in tx.execute(LEASING.deferred_of, (lease_id,))}:
            raise ValueError("an item is reported that the lease does not hold")
        return
    if seqs[0] < lease.lo or seqs[-1] > lease.hi or len(seqs) > lease.remaining:
        raise ValueError("an item is reported that the lease does not hold")
    keys = {"lo": key_of(lease.run_no, seqs[0]), "hi": key_of(lease.run_no, seqs[-1])}
    if lease.has_deferred:
        waiting = {row[0] for row in tx.execute(LEASING.deferred_in, keys)}
        if waiting.intersection(seqs):
            raise ValueError("an item is reported that waits for another try")
    if deferred and _already_ended(tx, keys["lo"], keys["hi"]).intersection(deferred):
        raise ValueError("an item is deferred that has an outcome")


def _already_ended(tx: Transaction, lo: int, hi: int) -> set[int]:
    return set(json.loads(tx.value(LEASING.reported, {"lo": lo, "hi": hi}) or "[]"))


def write_outcomes(
    tx: Transaction, run_no: int, outcomes: Sequence[Outcome], seqs: list[int], now: float, *, start: int
) -> None:
    """Append outcomes, note the order of completion, add to the run's counts. ValueError: one stands already.

    start: outcomes that the run has so far.
    """
    try:
        tx.insert_rows(
            LEASING.insert_outcomes, (first_key(run_no), now), _FLAT_WIDTH, list(chain.from_iterable(outcomes))
        )
    except Duplicate as error:
        raise ValueError("an item that has an outcome is reported again") from error
    for lo, hi in contiguous(seqs):
        tx.execute(LEASING.insert_completion, {"run_no": run_no, "start": start, "lo": lo, "hi": hi})
        start += hi - lo + 1
    note_references(tx, run_no, "line", [outcome.line for outcome in outcomes if outcome.line[:1] == b"@"])
    by_status = Counter(map(itemgetter(1), outcomes))
    tx.execute(
        RUNS.count_outcomes,
        {"run_no": run_no, **{name: by_status[name] for name in ("succeeded", "errored", "canceled", "expired")}},
    )


def drop_deferred(tx: Transaction, run_no: int, seqs: list[int]) -> None:
    tx.execute(LEASING.drop_deferred, {"keys": _keys_text(run_no, seqs)})


def _defer(tx: Transaction, run_no: int, report: Commit, now_ms: int) -> None:
    flat = [
        value
        for seq, attempts, delay_seconds in report.deferred
        for value in (seq, attempts, now_ms + int(delay_seconds * 1000))
    ]
    tx.insert_rows(LEASING.defer, (first_key(run_no), run_no), 3, flat)


def _record_attempts(tx: Transaction, run_no: int, report: Commit) -> None:
    tx.insert_rows(LEASING.insert_attempts, (first_key(run_no),), 4, list(chain.from_iterable(report.attempts)))
    for attempt in report.attempts:
        if attempt.number > _ATTEMPTS_KEPT:  # tries are numbered from 1: before that there cannot be more
            tx.execute(LEASING.trim_attempts, {"key": key_of(run_no, attempt.seq), "kept": _ATTEMPTS_KEPT})


def _keys_text(run_no: int, seqs: Sequence[int]) -> str:
    return json.dumps([key_of(run_no, seq) for seq in seqs])


def give_back(tx: Transaction, lease_id: str, lease: Held, now_ms: int, *, lapses: int) -> None:
    """End a lease; what it held and nobody reported can be claimed again."""
    tx.execute(LEASING.drop_lease, (lease_id,))
    if lease.remaining == 0:
        return
    if lease.price:
        _credits.lease(tx, lease.run_no, -lease.credit)
    if lease.lo is None or lease.hi is None:
        tx.execute(LEASING.return_deferred, {"lease_id": lease_id, "now_ms": now_ms})
        return
    keys = {"lo": key_of(lease.run_no, lease.lo), "hi": key_of(lease.run_no, lease.hi)}
    reported = json.loads(tx.value(LEASING.reported, keys) or "[]")
    for lo, hi in gaps(lease.lo, lease.hi, reported):
        _insert_span(tx, lease.run_no, lo, hi, lease.lapses + lapses)


def give_back_all(tx: Transaction, lease_ids: Sequence[str], now_ms: int, *, lapses: int = 0) -> int:
    for lease_id in lease_ids:
        lease = held(tx, lease_id)
        assert lease is not None, "whoever found it has locked it"
        give_back(tx, lease_id, lease, now_ms, lapses=lapses)
    return len(lease_ids)


def _insert_span(tx: Transaction, run_no: int, lo: int, hi: int, lapses: int) -> None:
    tx.execute(LEASING.insert_span, {"run_no": run_no, "lo": lo, "hi": hi, "lapses": lapses})


def sweepable(tx: Transaction, run_no: int, limit: int) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """Unleased items to end, lowest first: inclusive ranges, each within one span, and attempts by deferred seq."""
    ranges = []
    for lo, hi in tx.execute(LEASING.sweepable_spans, {"run_no": run_no}):
        if limit <= 0:
            break
        end = min(hi, lo + limit - 1)
        ranges.append((lo, end))
        limit -= end - lo + 1
    rows = tx.execute(LEASING.sweepable_deferred, {"run_no": run_no, "limit": limit}) if limit > 0 else ()
    return ranges, {seq_of(key): attempts for key, attempts in rows}


def carve(tx: Transaction, run_no: int, lo: int, hi: int) -> None:
    """Take lo … hi out of the unleased spans they lie in. ValueError: not all of them lie in one."""
    while lo <= hi:
        row = tx.one(LEASING.pending_spans_with, {"run_no": run_no, "seq": lo})
        if row is None:
            raise ValueError("the items are in no unleased span")
        end = min(hi, row[1])
        _carve_span(tx, run_no, row, lo, end)
        lo = end + 1


def _carve_span(tx: Transaction, run_no: int, span: tuple[Any, ...], lo: int, hi: int) -> None:
    span_lo, span_hi, lapses, is_held = span
    tx.execute(LEASING.drop_span, {"run_no": run_no, "lo": span_lo})
    for left_lo, left_hi in ((span_lo, lo - 1), (hi + 1, span_hi)):
        if left_lo <= left_hi:
            tx.execute(
                LEASING.insert_piece,
                {"run_no": run_no, "lo": left_lo, "hi": left_hi, "lapses": lapses, "held": is_held},
            )
    if is_held:
        tx.execute(RUNS.reduce_held, {"run_no": run_no, "items": hi - lo + 1})
