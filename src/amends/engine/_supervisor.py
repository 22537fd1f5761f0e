"""The supervisor: what a worker does with its leases, as a state machine without I/O.

::

          ┌──────── Claim ────────┐
          ▼                       │ (with the final report)
       claiming ──Leased──► working ──everything answered, time up, stopping──► final Report
                              │ ▲
              Chunk, Chunk …  ▼ │ Results
                            child ──exit──► deaths reported, suspects run alone

Events go in with the time (monotonic, of whoever drives it), commands come out. At most one report a lease is under way, so
that a slow ledger makes reports larger and not more. Two chunks of a lease are in the child's hands, so that it need not
wait; it works on them in turn, hence only the first is in flight. Of leases that may hold only a moment's work there are
several, worked on in turn; one that is not begun in time goes back untouched.

Calls to an upstream mostly wait, so all of a lease are handed at once. Beside a lease of which only calls under way are left
another is claimed: one slow call holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from amends.engine._work import Unreported, Work

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


Event = Leased | Committed | StandingOf | Stop | Ready | Opened | Results | ChildExited | Tick
Command = Tell | Hand | StartChild | KillChild | Exit


class Supervisor:
    """Drives one child through leases. clock: wall time, for the record of failed tries."""

    def __init__(self, rules: Rules, *, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._pace = Pace(rules.lease_seconds, rules.chunk_seconds, rules.max_lease_items)
        self._commands: list[Command] = []
        self._works: dict[str, Work] = {}
        self._begin: Begin | None = None
        self._last_run: tuple[str, int] | None = None
        self._child: Literal["none", "starting", "ready", "dying"] = "none"
        self._cause: Cause | None = None
        self._child_since = 0.0
        self._barren_starts = 0
        self._prepared_for: Begin | None = None
        self._is_open = False
        self._progress_at = 0.0
        self._chunk_no = 0
        self._claims = 0
        self._reports = 0
        self._drain_until: float | None = None
        self._has_exited = False

    @property
    def is_watching(self) -> bool:
        """Whether the child has items in hand, so that its memory is worth a look."""
        return any(work.in_hand for work in self._works.values())

    @property
    def has_leases_ahead(self) -> bool:
        """Whether the child has items of more than one lease in hand, to work on in turn."""
        return sum(bool(work.in_hand) and not work.makes_calls for work in self._works.values()) > 1

    def start(self, now: float) -> list[Command]:
        self._start_child(now)
        self._tell(self._claim())
        return self._taken()

    def handle(self, events: Iterable[Event], now: float) -> list[Command]:
        """What to do next, in order, after what has happened in this order."""
        if self._has_exited:
            return []
        for event in events:
            self._note(event, now)
        self._advance(now)
        return self._taken()

    def _note(self, event: Event, now: float) -> None:
        match event:
            case Leased():
                self._begin_work(event, now)
            case Results():
                self._note_results(event, now)
            case Committed():
                self._note_committed(event)
            case StandingOf():
                self._note_standing(event, now)
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

    def deadline(self, now: float) -> float | None:
        """When to send a ``Tick`` at the latest; None: whenever something happens."""
        times = []
        if self._child == "none":
            times.append(self._child_since)
        if self._child == "starting":
            times.append(self._child_since + START_SECONDS)
        if self._drain_until is not None:
            times.append(max(self._drain_until, now + 0.05))
        for work in self._works.values():
            times.append(work.renewed_at + self._rules.ttl_seconds / RENEWALS_PER_TTL)
            if work.in_hand:
                times.append(self._late_at(work))
            elif not work.is_reporting:
                times.append(self._over_at(work))
            if work.unreported.since is not None and not work.is_reporting:
                times.append(work.unreported.since + self._rules.flush_seconds)
        return min(times, default=None)

    # Events

    def _begin_work(self, leased: Leased, now: float) -> None:
        self._claims -= 1
        self._begin = begin = leased.begin or self._begin
        assert begin is not None, "the first lease tells its run"
        self._works[leased.lease_id] = work = Work(leased, begin, now)
        self._last_run = (begin.run_id, begin.batch_size)
        self._pace.leased(begin.run_id, work.count)

    def _note_results(self, results: Results, now: float) -> None:
        work = next((work for work in self._works.values() if work.answer(results, now)), None)
        if work is None:
            return
        self._progress_at = now
        if results.seqs:
            self._barren_starts = 0
            if not work.makes_calls:
                self._pace.worked(work.run_id, len(results.seqs), results.busy_seconds)

    def _note_committed(self, committed: Committed) -> None:
        self._reports -= 1
        work = self._works.get(committed.lease_id)
        if work is None:
            return
        work.is_reporting = work.has_deaths_under_way = False
        if not committed.ok:
            self._lose(work)

    def _note_standing(self, news: StandingOf, now: float) -> None:
        work = self._works.get(news.lease_id)
        if work is None:
            return
        if news.standing == "fenced":
            self._lose(work)
        elif news.standing == "stopping":
            work.is_stopping = True
            work.note_stopped(now, self._clock)
            self._discard(work)

    def _note_exit(self, now: float) -> None:
        cause, self._cause = self._cause or "WORKER_CRASHED", None
        self._child = "none"
        self._prepared_for = None
        self._barren_starts += 1
        self._child_since = now + _pause(self._barren_starts)
        in_turn = self._in_flight()
        for work in self._works.values():
            if work.in_hand and cause != "DISCARDED" and (work.makes_calls or work is in_turn):
                work.note_death(cause, now, self._clock)
            else:
                work.take_back()

    def _watch_memory(self, tick: Tick) -> None:
        if tick.child_memory is not None and tick.child_memory > self._rules.item_memory_bytes:
            self._kill("ITEM_OUT_OF_MEMORY")

    # What follows

    def _advance(self, now: float) -> None:
        self._enforce(now)
        for work in list(self._works.values()):
            if now >= work.renewed_at + self._rules.ttl_seconds / RENEWALS_PER_TTL:
                work.renewed_at = now
                self._tell(Renew(work.lease_id))
            if not work.in_hand and (not work.is_waiting or self._is_over(work, now)):
                self._finish(work, now)
            else:
                self._report_if_due(work, now)
        self._hand_out(now)
        while self._is_short_of_leases(now):
            self._tell(self._claim())
        if self._child == "none" and now >= self._child_since and self._drain_until is None:
            self._start_child(now)
        if self._drain_until is not None and not self._works and not self._reports:
            self._has_exited = True
            self._commands.append(Exit())

    def _enforce(self, now: float) -> None:
        if self._child == "starting" and now >= self._child_since + START_SECONDS:
            self._kill("DISCARDED")
        for work in self._works.values():
            if work.in_hand and self._child == "ready" and now >= self._late_at(work):
                self._kill("ITEM_TIMED_OUT")
            if self._drain_until is not None and now >= self._drain_until:
                self._discard(work)

    def _report_if_due(self, work: Work, now: float) -> None:
        news = work.unreported
        if work.is_reporting or news.since is None:
            return
        is_due = (
            bool(news.deaths)
            or work.makes_calls  # what one of them met, all others are to know
            or news.items >= self._rules.flush_items
            or news.size >= self._rules.flush_bytes
            or now >= news.since + self._rules.flush_seconds
        )
        if is_due:
            self._report(work)

    def _finish(self, work: Work, now: float) -> None:
        """Report the rest and claim the next lease in one message, as soon as the report before is through."""
        if work.is_reporting:
            return
        del self._works[work.lease_id]
        self._report(work, claim=self._claim() if self._is_short_of_leases(now) else None, final=True)

    def _report(self, work: Work, *, claim: Claim | None = None, final: bool = False) -> None:
        news, work.unreported = work.unreported, Unreported()
        work.is_reporting = True
        work.has_deaths_under_way = bool(news.deaths)
        self._reports += 1
        self._tell(Report(work.lease_id, news.batches, news.deferred, news.attempts, news.deaths, final, claim))

    def _is_short_of_leases(self, now: float) -> bool:
        """Leases of which only calls under way are left do not count, and what would only wait for a slow item is not claimed."""
        if self._drain_until is not None or self._calls() >= CALLS_IN_HAND:
            return False
        works = self._works.values()
        if any(work.is_aside and work.is_alone_in_hand for work in works):
            return False
        first = next((work for work in works if not work.is_aside), None)
        held = sum(not work.is_aside for work in works) + self._claims
        if held == 0:
            return True
        run_id, _ = self._last_run or (None, 1)
        return held < self._pace.leases(run_id) and (first is None or now < self._over_at(first))

    def _hand_out(self, now: float) -> None:
        """Lease after lease: of the next nothing is handed before all of this one is."""
        for work in self._works.values():
            while self._child == "ready" and self._may_hand(work, now):
                self._hand(work, now)
            if work.is_waiting:
                return

    def _hand(self, work: Work, now: float) -> None:
        begin = work.begin
        if not self._is_prepared_for(begin):
            self._prepared_for, self._is_open = begin, False
            self._commands.append(Hand(begin))
        if self._in_flight() is None:
            self._progress_at = now
        self._chunk_no += 1
        items = work.count if work.makes_calls else self._pace.chunk_items(work.run_id, begin.batch_size)
        handed = work.take(self._chunk_no, items, now)
        self._commands.append(Hand(Chunk(handed.no, b"\n".join(handed.lines))))

    def _may_hand(self, work: Work, now: float) -> bool:
        """Deaths are durable before their suspects run again; a run waits until no item of another is in flight."""
        if work.makes_calls:
            is_somebody_alone = any(other.is_alone_in_hand for other in self._works.values())
            if is_somebody_alone or (work.waits_alone and self._calls()):
                return False
        return (
            work.is_waiting
            and (work.makes_calls or len(work.in_hand) < CHUNKS_IN_HAND)
            and (self._in_flight() is None or self._is_prepared_for(work.begin))
            and not self._is_over(work, now)
            and not work.unreported.deaths
            and not work.has_deaths_under_way
            and sum(each.unreported.size for each in self._works.values()) < MAX_UNREPORTED_BYTES
        )

    def _is_prepared_for(self, begin: Begin) -> bool:
        return begin is self._prepared_for or begin == self._prepared_for

    def _is_over(self, work: Work, now: float) -> bool:
        """Whether nothing more of the lease is to be begun."""
        return work.is_stopping or self._drain_until is not None or now >= self._over_at(work)

    def _over_at(self, work: Work) -> float:
        return work.started_at + OVERTIME * self._rules.lease_seconds

    def _in_flight(self) -> Work | None:
        """The lease whose item the child works on, calls apart: they are handed, and answered, in turn."""
        return next((work for work in self._works.values() if work.in_hand and not work.makes_calls), None)

    def _calls(self) -> int:
        """Calls under way."""
        return sum(work.unanswered for work in self._works.values() if work.makes_calls)

    def _late_at(self, work: Work) -> float:
        """When its child is taken for hung. Calls are each bounded by their session, and one is no sign of life of another."""
        begun = work.in_hand[0].since if work.makes_calls else self._progress_at
        return begun + self._time_limit(work)

    def _time_limit(self, work: Work) -> float:
        limit = work.leased.item_timeout_seconds
        return limit if self._is_open else max(limit, OPEN_SECONDS)

    def _lose(self, work: Work) -> None:
        """Fenced: somebody else has the items, throw the work away."""
        self._discard(work)
        del self._works[work.lease_id]

    def _discard(self, work: Work) -> None:
        """Stop what is running at once. What else a killed child had in hand waits again."""
        if not work.in_hand:
            return
        if work.makes_calls and self._child == "ready":
            self._commands += [Hand(Drop(handed.no)) for handed in work.in_hand]
        else:
            self._kill("DISCARDED")
        work.drop_in_hand()

    def _kill(self, cause: Cause) -> None:
        if self._child in ("starting", "ready"):
            self._child, self._cause = "dying", cause
            self._commands.append(KillChild())

    def _start_child(self, now: float) -> None:
        self._child, self._child_since = "starting", now
        self._commands.append(StartChild())

    def _claim(self) -> Claim:
        self._claims += 1
        run_id, batch_size = self._last_run or (None, 1)
        calls = min(CALLS_PER_CLAIM, CALLS_IN_HAND - self._calls())
        return Claim(self._pace.lease_items(run_id, batch_size), self._rules.max_lease_bytes, calls)

    def _tell(self, message: ToOwner) -> None:
        self._commands.append(Tell(message))

    def _taken(self) -> list[Command]:
        commands, self._commands = self._commands, []
        return commands


def _pause(barren_starts: int) -> float:
    """Seconds before the next start: none at first, since a poison item takes three children; growing when nothing comes of it."""
    doublings = barren_starts - _FREE_RESTARTS
    return 0.0 if doublings < 0 else min(_MAX_RESTART_SECONDS, _RESTART_SECONDS * 2.0 ** min(doublings, 10))
