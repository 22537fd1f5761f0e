"""The supervisor: what a worker does with its leases, as a state machine without I/O.

::

          ┌──────── Claim ────────┐
          ▼                       │ (with the final report)
       claiming ──Leased──► working ──everything answered, time up, stopping──► final Report
                              │ ▲
              Chunk, Chunk …  ▼ │ Results
                            child ──exit──► deaths reported, suspects run alone

Events go in with the time (monotonic, of whoever drives it), commands come out. At most one report is under way, so that
a slow ledger makes reports larger and not more. Two chunks are in the child's hands, so that it need not wait; it works on
them in turn, hence only the first is in flight.

Calls to an upstream mostly wait, so all of a lease are handed at once. A lease of which only calls under way are left is set
aside, and another one claimed beside it: one slow call holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, assert_never

from amends.engine._pace import Pace
from amends.engine._wire import (
    Begin,
    Chunk,
    Claim,
    Committed,
    Drop,
    Leased,
    NoWork,
    Opened,
    Ready,
    Renew,
    Report,
    Results,
    Rules,
    StandingOf,
    Stop,
    ToChild,
    ToOwner,
)
from amends.engine._work import Work

Cause = Literal["WORKER_CRASHED", "ITEM_TIMED_OUT", "ITEM_OUT_OF_MEMORY", "DISCARDED"]
"""Why a child ends. DISCARDED: nobody wants its work any more, which is no death."""

CHUNKS_IN_HAND: Final = 2
START_SECONDS: Final = 60.0
"""How long a child may take to come up."""
OPEN_SECONDS: Final = 300.0
"""How long a processor may take to open: models are loaded then."""
RENEWALS_PER_TTL: Final = 3
OVERTIME: Final = 2.0
"""A lease worked on for so many times the seconds it should hold is ended, and the rest goes back."""
MAX_UNREPORTED_BYTES: Final = 16 * 1024 * 1024
CALLS_IN_HAND: Final = 256
"""A child has at most so many calls under way."""
CALLS_PER_CLAIM: Final = 16
"""… and takes on so many at a time, so that other workers get theirs."""
_CLAIM_AGAIN_SECONDS: Final = 0.05
"""How long after a claim that found nothing another is made while calls are under way."""
_FREE_RESTARTS: Final = 4
_RESTART_SECONDS: Final = 0.1
_MAX_RESTART_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ChildExited:
    """The child is gone, and all it sent has been handed in."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. child_memory: the child's resident bytes, None where unknown."""

    child_memory: int | None = None


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this to the owner."""

    message: ToOwner


@dataclass(frozen=True, slots=True)
class Hand:
    """Send this to the child."""

    message: ToChild


@dataclass(frozen=True, slots=True)
class StartChild:
    pass


@dataclass(frozen=True, slots=True)
class KillChild:
    """ChildExited follows."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The supervisor is done."""


Event = Leased | NoWork | Committed | StandingOf | Stop | Ready | Opened | Results | ChildExited | Tick
Command = Tell | Hand | StartChild | KillChild | Exit


class Supervisor:
    """Drives one child through leases. clock: wall time, for the record of failed tries."""

    def __init__(self, rules: Rules, *, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._pace = Pace(rules.lease_seconds, rules.chunk_seconds, rules.max_lease_items)
        self._commands: list[Command] = []
        self._work: Work | None = None
        self._aside: list[Work] = []
        self._is_claiming = False
        self._claim_at = 0.0
        self._last_run: tuple[str, int] | None = None
        self._child: Literal["none", "starting", "ready", "dying"] = "none"
        self._cause: Cause | None = None
        self._child_since = 0.0
        self._barren_starts = 0
        self._prepared_for: Begin | None = None
        self._is_open = False
        self._progress_at = 0.0
        self._chunk_no = 0
        self._is_reporting = False
        self._deaths_under_way = False
        self._drain_until: float | None = None
        self._has_exited = False

    @property
    def is_watching(self) -> bool:
        """Whether the child has items in hand, so that its memory is worth a look."""
        return any(work.in_hand for work in self._works())

    def start(self, now: float) -> list[Command]:
        self._start_child(now)
        self._tell(self._claim())
        return self._taken()

    def handle(self, event: Event, now: float) -> list[Command]:
        """What to do next, in order."""
        if self._has_exited:
            return []
        match event:
            case Leased():
                self._begin(event, now)
            case NoWork():
                self._is_claiming, self._claim_at = False, now + _CLAIM_AGAIN_SECONDS
            case Results():
                self._note_results(event, now)
            case Committed():
                self._note_committed(event)
            case StandingOf():
                self._note_standing(event)
            case Ready():
                self._child = "ready" if self._child == "starting" else self._child
            case Opened():
                self._is_open, self._progress_at = True, now
            case ChildExited():
                self._note_exit(now)
            case Stop():
                self._drain_until = now + event.grace_seconds
            case Tick():
                self._watch_memory(event)
            case _:
                assert_never(event)
        self._advance(now)
        return self._taken()

    def deadline(self, now: float) -> float | None:
        """When to send a ``Tick`` at the latest; None: whenever something happens."""
        times = []
        if self._child == "none":
            times.append(self._child_since)
        if self._child == "starting":
            times.append(self._child_since + START_SECONDS)
        if self._drain_until is not None:
            times.append(max(self._drain_until, now + 0.05))
        if self._may_claim():
            times.append(self._claim_at)
        for work in self._works():
            times.append(work.renewed_at + self._rules.ttl_seconds / RENEWALS_PER_TTL)
            if work.in_hand:
                times.append(self._late_at(work))
            elif self._child != "ready":
                times.append(work.started_at + OVERTIME * self._rules.lease_seconds)
            if work.unreported.since is not None and not self._is_reporting:
                times.append(work.unreported.since + self._rules.flush_seconds)
        return min(times, default=None)

    # Events

    def _begin(self, leased: Leased, now: float) -> None:
        self._is_claiming = False
        self._work = Work(leased, now)
        self._last_run = (leased.begin.run_id, leased.begin.batch_size)
        self._pace.leased(leased.begin.run_id, self._work.count)

    def _note_results(self, results: Results, now: float) -> None:
        work = next((work for work in self._works() if work.answer(results, now)), None)
        if work is None:
            return
        self._progress_at = now
        if results.seqs:
            self._barren_starts = 0
            if not work.makes_calls:
                self._pace.worked(work.run_id, len(results.seqs), results.busy_seconds)

    def _note_committed(self, committed: Committed) -> None:
        self._is_reporting = self._deaths_under_way = False
        work = self._work_of(committed.lease_id)
        if not committed.ok and work is not None:
            self._lose(work)

    def _note_standing(self, news: StandingOf) -> None:
        work = self._work_of(news.lease_id)
        if work is None:
            return
        if news.standing == "fenced":
            self._lose(work)
        elif news.standing == "stopping":
            work.is_stopping = True
            self._discard(work)

    def _note_exit(self, now: float) -> None:
        cause, self._cause = self._cause or "WORKER_CRASHED", None
        self._child = "none"
        self._prepared_for = None
        self._barren_starts += 1
        self._child_since = now + _pause(self._barren_starts)
        for work in self._works():
            if work.in_hand and cause == "DISCARDED":
                work.take_back()
            elif work.in_hand:
                work.note_death(cause, now, self._clock)

    def _watch_memory(self, tick: Tick) -> None:
        if tick.child_memory is not None and tick.child_memory > self._rules.item_memory_bytes:
            self._kill("ITEM_OUT_OF_MEMORY")

    # What follows

    def _advance(self, now: float) -> None:
        self._enforce(now)
        for work in self._works():
            if now >= work.renewed_at + self._rules.ttl_seconds / RENEWALS_PER_TTL:
                work.renewed_at = now
                self._tell(Renew(work.lease_id))
            if not work.in_hand and (not work.is_waiting or self._is_over(work, now)):
                self._finish(work)
            else:
                self._report_if_due(work, now)
                self._hand_out(work, now)
        self._set_aside(now)
        if self._child == "none" and now >= self._child_since and self._drain_until is None:
            self._start_child(now)
        if self._drain_until is not None and not self._works() and not self._is_reporting:
            self._has_exited = True
            self._commands.append(Exit())

    def _enforce(self, now: float) -> None:
        if self._child == "starting" and now >= self._child_since + START_SECONDS:
            self._kill("DISCARDED")
        for work in self._works():
            if work.in_hand and self._child == "ready" and now >= self._late_at(work):
                self._kill("ITEM_TIMED_OUT")
            if self._drain_until is not None and now >= self._drain_until:
                self._discard(work)

    def _set_aside(self, now: float) -> None:
        """Where only calls under way are left of a lease, claim another beside it."""
        work = self._work
        if work is not None and work.makes_calls and work.in_hand and not work.is_waiting:
            self._aside.append(work)
            self._work = None
        if self._may_claim() and now >= self._claim_at:
            self._tell(self._claim())

    def _may_claim(self) -> bool:
        return (
            self._work is None
            and not self._is_claiming
            and self._drain_until is None
            and self._calls() < CALLS_IN_HAND
            and not any(work.is_alone_in_hand for work in self._aside)
        )

    def _report_if_due(self, work: Work, now: float) -> None:
        news = work.unreported
        if self._is_reporting or news.since is None:
            return
        is_due = (
            bool(news.deaths)
            or work.makes_calls  # what one of them met, all others are to know
            or news.items >= self._rules.flush_items
            or news.size >= self._rules.flush_bytes
            or now >= news.since + self._rules.flush_seconds
        )
        if is_due:
            self._report(work, claim=None)

    def _finish(self, work: Work) -> None:
        """Report the rest and claim the next lease in one message, as soon as the report before is through."""
        if self._is_reporting:
            return
        self._forget(work)
        claim = self._claim() if self._may_claim() else None
        self._report(work, claim=claim, final=True)

    def _report(self, work: Work, *, claim: Claim | None, final: bool = False) -> None:
        news, work.unreported = work.unreported, type(work.unreported)()
        self._is_reporting = True
        self._deaths_under_way = bool(news.deaths)
        self._tell(Report(work.lease_id, news.batches, news.deferred, news.attempts, news.deaths, final, claim))

    def _hand_out(self, work: Work, now: float) -> None:
        while self._child == "ready" and self._may_hand(work, now):
            begin = work.leased.begin
            if begin != self._prepared_for:
                self._prepared_for, self._is_open = begin, False
                self._commands.append(Hand(begin))
            if not work.in_hand:
                self._progress_at = now
            self._chunk_no += 1
            items = work.count if work.makes_calls else self._pace.chunk_items(work.run_id, begin.batch_size)
            handed = work.take(self._chunk_no, items, now)
            self._commands.append(Hand(Chunk(handed.no, b"\n".join(handed.lines))))

    def _may_hand(self, work: Work, now: float) -> bool:
        """Deaths are durable before their suspects run again."""
        is_somebody_alone = any(other.is_alone_in_hand for other in self._works())
        if work.makes_calls and (is_somebody_alone or (work.waits_alone and self._calls())):
            return False
        return (
            work.is_waiting
            and (work.makes_calls or len(work.in_hand) < CHUNKS_IN_HAND)
            and not self._is_over(work, now)
            and not work.unreported.deaths
            and not self._deaths_under_way
            and work.unreported.size < MAX_UNREPORTED_BYTES
        )

    def _is_over(self, work: Work, now: float) -> bool:
        """Whether nothing more of the lease is to be begun."""
        if work.is_stopping or self._drain_until is not None:
            return True
        return now >= work.started_at + OVERTIME * self._rules.lease_seconds

    def _time_limit(self, work: Work) -> float:
        limit = work.leased.item_timeout_seconds
        return limit if self._is_open else max(limit, OPEN_SECONDS)

    def _late_at(self, work: Work) -> float:
        """When its child is taken for hung. Calls are each bounded by their session, and one is no sign of life of another."""
        begun = work.in_hand[0].since if work.makes_calls else self._progress_at
        return begun + self._time_limit(work)

    def _lose(self, work: Work) -> None:
        """Fenced: somebody else has the items, throw the work away."""
        self._discard(work)
        self._forget(work)
        if self._may_claim():
            self._tell(self._claim())

    def _discard(self, work: Work) -> None:
        """Stop what is running at once."""
        if not work.in_hand:
            return
        if work.makes_calls and self._child == "ready":
            self._commands += [Hand(Drop(handed.no)) for handed in work.in_hand]
            work.drop_in_hand()
        else:
            work.drop_in_hand()
            self._kill("DISCARDED")

    def _kill(self, cause: Cause) -> None:
        if self._child in ("starting", "ready"):
            self._child, self._cause = "dying", cause
            self._commands.append(KillChild())

    def _start_child(self, now: float) -> None:
        self._child, self._child_since = "starting", now
        self._commands.append(StartChild())

    def _claim(self) -> Claim:
        """While calls are under way a claim must not wait: their leases are renewed and reported on the same line."""
        self._is_claiming = True
        run_id, batch_size = self._last_run or (None, 1)
        calls = min(CALLS_PER_CLAIM, CALLS_IN_HAND - self._calls())
        items = self._pace.lease_items(run_id, batch_size)
        return Claim(items, self._rules.max_lease_bytes, calls, is_waiting=not self._works())

    def _calls(self) -> int:
        """Calls under way."""
        return sum(work.unanswered for work in self._works() if work.makes_calls)

    def _works(self) -> list[Work]:
        """The leases, the one that is handed out last."""
        return self._aside if self._work is None else [*self._aside, self._work]

    def _work_of(self, lease_id: str) -> Work | None:
        return next((work for work in self._works() if work.lease_id == lease_id), None)

    def _forget(self, work: Work) -> None:
        if work is self._work:
            self._work = None
        else:
            self._aside = [other for other in self._aside if other is not work]

    def _tell(self, message: ToOwner) -> None:
        self._commands.append(Tell(message))

    def _taken(self) -> list[Command]:
        commands, self._commands = self._commands, []
        return commands


def _pause(barren_starts: int) -> float:
    """Seconds before the next start: none at first, since a poison item takes three children; growing when nothing comes of it."""
    doublings = barren_starts - _FREE_RESTARTS
    return 0.0 if doublings < 0 else min(_MAX_RESTART_SECONDS, _RESTART_SECONDS * 2.0 ** min(doublings, 10))
