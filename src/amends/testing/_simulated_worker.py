"""Workers of a simulation: the real supervisor, over a child that only pretends to work."""

from __future__ import annotations

import json
import sys
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from amends.engine._composer import AnotherTry, Composer
from amends.engine._supervisor import ChildExited, Event, Exit, Hand, KillChild, StartChild, Supervisor, Tell, Tick
from amends.engine._wire import Begin, Chunk, Drop, Opened, Ready, Results, Rules, ToChild, raw
from amends.engine.processor import Failed, Job, Needs, Processor, Result, Session, Succeeded, Surroundings, Upstream
from amends.ledger import LeasedItem, ResultLines, unpack_items
from amends.problems import Problem, problem
from amends.testing._simulated_world import Line, World

ITEM_TIMEOUT_SECONDS: Final = 5.0
UPSTREAMS: Final = (Upstream("simulated/chat/0", "simulated", 3), Upstream("simulated/chat/1", "simulated", 2))
"""Where the items of a run of calls go to."""
_BLOATED_BYTES: Final = 1 << 40


class SimulatedProcessor:
    """Knows the items of a simulation. A payload says how its item behaves, see ``Behaviour`` below."""

    kind = "simulated"

    def validate(self, job: Job, payload: Any) -> Problem | None:
        return problem("unsupported_file_format", "No such behaviour") if payload["behaves"] == "bad" else None

    def needs(self, job: Job) -> Needs:
        return Needs(int(job.params["batch_size"]), ITEM_TIMEOUT_SECONDS, UPSTREAMS if job.params.get("calls") else ())

    def open(self, surroundings: Surroundings) -> Session:
        """Never called: sessions are opened in real children, and a simulated one answers for the items itself."""
        raise AssertionError("a simulated child opens no session")


def make_processor() -> Processor:
    return SimulatedProcessor()


class _CallsUnderWay:
    """A chunk of calls. unanswered: its items by seq."""

    def __init__(self, begin: Begin, unanswered: dict[int, LeasedItem]) -> None:
        self.begin = begin
        self.unanswered = unanswered


class SimulatedChild:
    """Works on chunks in turn, or all at once where they are calls; what an item does to it stands in the item's payload:

    ``ok``, ``slow``; ``flaky`` (fails twice, in a way that passes), ``wrong`` (fails for good), ``poison`` (the child dies),
    ``hang`` (it never returns), ``bloat`` (it eats memory until it is killed).
    """

    def __init__(self, world: World, deaths: Counter[tuple[str, int]], tell: Callable[[Event | None], None]) -> None:
        self._world = world
        self._deaths = deaths
        self._tell = tell
        self._begin: Begin | None = None
        self._chunks: deque[tuple[Begin, Chunk]] = deque()
        self._items: deque[LeasedItem] = deque()
        self._unsent: list[tuple[int, Any]] = []
        self._is_working = False
        self._calls: dict[int, _CallsUnderWay] = {}
        self.is_alive = True
        self.memory = 1

    def hand(self, message: ToChild) -> None:
        if isinstance(message, Begin):
            self._begin = message
            self._later(0.001, lambda: self._tell(Opened()))
        elif isinstance(message, Drop):
            self._calls.pop(message.chunk_no, None)
        elif isinstance(message, Chunk) and self._begin is not None and self._begin.upstream:
            self._note_late(self._begin, message)
            self._call(self._begin, message)
        elif isinstance(message, Chunk):
            assert self._begin is not None, "a chunk follows the beginning of its run"
            if not self._chunks:
                self._note_late(self._begin, message)
            self._chunks.append((self._begin, message))
            if not self._is_working:
                self._next_chunk()

    def _note_late(self, begin: Begin, chunk: Chunk) -> None:
        """What was on its way when the child died counts as in flight: nobody can tell whether it had begun with it."""
        if not self.is_alive:
            self._deaths.update((begin.run_id, item.seq) for item in unpack_items(chunk.packed))

    def die(self) -> None:
        """It exits or is killed; what it had begun was in flight."""
        if self.is_alive:
            self.is_alive = False
            for calls in self._calls.values():
                self._deaths.update((calls.begin.run_id, seq) for seq in calls.unanswered)
            if self._chunks:
                unsent = [seq for seq, _ in self._unsent]
                self._deaths.update((self._turn.run_id, seq) for seq in [*unsent, *(i.seq for i in self._items)])
            self._world.after(0.01, lambda: self._tell(None))

    def _call(self, begin: Begin, chunk: Chunk) -> None:
        """Every item of the chunk by itself, beside whatever else is under way."""
        items = {item.seq: item for item in unpack_items(chunk.packed)}
        self._calls[chunk.no] = _CallsUnderWay(begin, items)
        for item in items.values():
            behaves = json.loads(item.payload)["behaves"]
            seconds = self._seconds(behaves)
            if behaves == "poison":
                self._later(seconds, self.die)
            elif behaves == "bloat":
                self._later(seconds, self._bloat)
            elif behaves != "hang":
                self._later(seconds, lambda item=item, s=seconds: self._answer_call(chunk.no, item, s))  # type: ignore[misc]

    def _answer_call(self, chunk_no: int, item: LeasedItem, seconds: float) -> None:
        calls = self._calls.get(chunk_no)
        if calls is None:
            return  # dropped
        del calls.unanswered[item.seq]
        behaves = json.loads(item.payload)["behaves"]
        done = self._composer(calls.begin).compose(item, _result(item, behaves), int(seconds * 1000))
        is_last = not calls.unanswered
        if is_last:
            del self._calls[chunk_no]
        tries = [done] if isinstance(done, AnotherTry) else []
        outcomes = [] if tries else [done]
        deferred, attempts = [another.deferral for another in tries], [another.attempt for another in tries]
        self._tell(Results(chunk_no, [item.seq], raw(outcomes), deferred, attempts, seconds, is_last))

    def _seconds(self, behaves: str) -> float:
        return self._world.chance.uniform(1.0, 3.0) if behaves == "slow" else self._world.chance.uniform(0.001, 0.05)

    @property
    def _turn(self) -> Begin:
        """The run of the chunk that is worked on, of those that are worked on in turn."""
        return self._chunks[0][0]

    def _next_chunk(self) -> None:
        self._is_working = bool(self._chunks)
        if self._chunks:
            self._items = deque(unpack_items(self._chunks[0][1].packed))
            self._next_item()

    def _next_item(self) -> None:
        behaves = json.loads(self._items[0].payload)["behaves"]
        seconds = self._seconds(behaves)
        if behaves == "poison":
            self._later(seconds, self.die)
        elif behaves == "bloat":
            self._later(seconds, self._bloat)
        elif behaves != "hang":
            self._later(seconds, lambda: self._answer(behaves, seconds))

    def _bloat(self) -> None:
        self.memory = _BLOATED_BYTES
        self._tell(Tick(self.memory))

    def _answer(self, behaves: str, seconds: float) -> None:
        item = self._items.popleft()
        self._unsent.append(
            (item.seq, self._composer(self._turn).compose(item, _result(item, behaves), int(seconds * 1000)))
        )
        is_last = not self._items
        if is_last or self._world.happens(0.5):
            self._send(seconds * len(self._unsent), is_last=is_last)
        if is_last:
            self._chunks.popleft()
            self._next_chunk()
        else:
            self._next_item()

    def _send(self, seconds: float, *, is_last: bool) -> None:
        tries = [done for _, done in self._unsent if isinstance(done, AnotherTry)]
        outcomes = [done for _, done in self._unsent if not isinstance(done, AnotherTry)]
        seqs = [seq for seq, _ in self._unsent]
        deferred, attempts = [another.deferral for another in tries], [another.attempt for another in tries]
        self._unsent = []
        self._tell(Results(self._chunks[0][1].no, seqs, raw(outcomes), deferred, attempts, seconds, is_last))

    def _composer(self, begin: Begin) -> Composer:
        lines = ResultLines(begin.run_id, begin.request_id, begin.public_url)
        return Composer(
            lines,
            max_attempts=sys.maxsize if begin.is_probe else 5,
            draw=self._world.chance.random,
            clock=self._world.clock,
            keep=lambda line: "",
        )

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._world.after(seconds, lambda: call() if self.is_alive else None)


def _result(item: LeasedItem, behaves: str) -> Result:
    if behaves == "flaky" and item.attempts < 2:
        return Failed(item.seq, problem("upstream_failed", provider="simulated"))
    if behaves == "wrong":
        return Failed(item.seq, problem("prediction_failed", "The model's answer does not fit"))
    return Succeeded(item.seq, b'{"ok":true}')


class SimulatedWorker:
    """A supervisor between its owner's line and its child; it can be frozen, and killed."""

    def __init__(self, world: World, rules: Rules, deaths: Counter[tuple[str, int]], to_owner: Line) -> None:
        self._world = world
        self._deaths = deaths
        self._to_owner = to_owner
        self._supervisor = Supervisor(rules, clock=world.clock)
        self._child: SimulatedChild | None = None
        self._frozen_until = 0.0
        self._missed: deque[Callable[[], None]] = deque()
        self._timer = 0
        self.slowness = 0.001
        self.is_alive = True

    def start(self) -> None:
        self._carry_out(self._supervisor.start(self._world.monotonic()))

    def receive(self, message: Any) -> None:
        """From the owner."""
        self._feed(message)

    def freeze(self, seconds: float) -> None:
        """Do nothing for a while, then all at once: a stopped process, a stalled disk."""
        self._frozen_until = self._world.monotonic() + seconds
        self._world.after(seconds, self._thaw)

    def kill(self) -> None:
        """kill -9, which takes the child along."""
        self.is_alive = False
        if self._child is not None:
            self._child.is_alive = False

    def kill_child(self) -> None:
        """Somebody else kills the child."""
        if self._child is not None:
            self._child.die()

    def _feed(self, event: Event) -> None:
        self._when_awake(lambda: self._carry_out(self._supervisor.handle([event], self._world.monotonic())))

    def _when_awake(self, call: Callable[[], None]) -> None:
        if not self.is_alive:
            return
        if self._world.monotonic() < self._frozen_until or self._missed:
            self._missed.append(call)
        else:
            call()

    def _thaw(self) -> None:
        while self._missed and self.is_alive:
            self._missed.popleft()()

    def _carry_out(self, commands: list[Any]) -> None:
        for command in commands:
            match command:
                case Tell():
                    self._to_owner.send(command.message, self._world.chance.uniform(0.0001, self.slowness))
                case Hand():
                    assert self._child is not None
                    self._child.hand(command.message)
                case StartChild():
                    child = SimulatedChild(self._world, self._deaths, self._from_child)
                    self._child = child
                    self._world.after(0.05, lambda child=child: self._from(child, Ready()))  # type: ignore[misc]
                case KillChild():
                    assert self._child is not None
                    self._child.die()
                case Exit():
                    self.is_alive = False
        self._set_timer()

    def _from(self, child: SimulatedChild, event: Event) -> None:
        if child is self._child and child.is_alive:
            self._feed(event)

    def _from_child(self, event: Event | None) -> None:
        """None: it exited."""
        if event is None:
            self._when_awake(self._bury_child)
        else:
            self._feed(event)

    def _bury_child(self) -> None:
        self._child = None
        self._carry_out(self._supervisor.handle([ChildExited()], self._world.monotonic()))

    def _set_timer(self) -> None:
        """Only the newest timer counts."""
        self._timer += 1
        now, number = self._world.monotonic(), self._timer
        deadline = self._supervisor.deadline(now)
        if deadline is not None:
            self._world.at(max(deadline, now + 0.001), lambda: self._feed(Tick()) if number == self._timer else None)
