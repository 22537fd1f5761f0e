"""A whole installation in one process on a simulated clock, with faults drawn from a seed.

The supervisors, the owner's side of them and the maintenance are the real ones; the ledger is the in-memory model or any
other. After every step the promises are checked, and a broken one is raised with the seed that replays it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NoReturn

from amends.engine._calls import Calls
from amends.engine._desk import Desk, NeedsOfRuns
from amends.engine._gate import Gate
from amends.engine._loading import Processors
from amends.engine._maintenance import Maintenance
from amends.engine._settings import EngineSettings
from amends.engine._signal import WorkSignal
from amends.engine._wire import Leased, Rules, StandingOf
from amends.ledger import (
    CreditEntry,
    CreditExceeded,
    InvalidTransition,
    Ledger,
    MemoryLedger,
    NewItem,
    NewRun,
    Sample,
    Step,
    line_members,
)
from amends.testing._simulated_worker import SimulatedWorker
from amends.testing._simulated_world import Line, World

MakeLedger = Callable[[Callable[[], float], Callable[[], float], Random], Ledger]
"""From the wall clock, the monotonic clock and a source of randomness."""

WORKERS: Final = 3
WORKSPACES: Final = ("ws_a", "ws_b")
FAULTY_SECONDS: Final = 60.0
"""Faults happen so long; after that every run must end."""
_TTL_SECONDS: Final = 4.0
_DAY_SECONDS: Final = 86_400.0
_PROCESSORS: Final = {"simulated": "amends.testing._simulated_worker:make_processor"}
_BEHAVIOURS: Final = {"ok": 60, "slow": 4, "flaky": 6, "wrong": 3, "bad": 2, "poison": 2, "hang": 1, "bloat": 1}
_BY_DEATH: Final = frozenset({"WORKER_CRASHED", "ITEM_TIMED_OUT", "ITEM_OUT_OF_MEMORY"})


class PromiseBroken(AssertionError):
    """A simulation came to a state that must not be. Replay it with ``simulate(seed)``."""

    def __init__(self, seed: int, step: int, what: str) -> None:
        super().__init__(f"seed {seed}, step {step}: {what}")
        self.seed = seed
        self.step = step
        self.what = what


@dataclass(frozen=True, slots=True)
class Report:
    """What a simulation went through. states: by run. faults: how often each kind happened. seconds: simulated ones.

    digest: of every result line, so that two simulations of one seed can be compared.
    """

    seed: int
    steps: int
    seconds: float
    states: Mapping[str, str]
    outcomes: int
    faults: Mapping[str, int]
    digest: str


def simulate(seed: int, *, steps: int = 100_000, ledger: MakeLedger | None = None) -> Report:
    """Run the installation that ``seed`` draws until every run has ended.

    steps: more than so many events are taken for a run that never ends. ledger: None takes the in-memory model.
    Raises PromiseBroken.
    """
    return Simulation(seed, ledger or _memory_ledger).run(steps)


def _memory_ledger(clock: Callable[[], float], monotonic: Callable[[], float], random: Random) -> Ledger:
    return MemoryLedger(clock=clock, monotonic=monotonic, draw=random)


@dataclass(slots=True)
class _Station:
    """A worker, the owner's side of it, and the line between them."""

    worker: SimulatedWorker
    desk: Desk
    to_owner: Line
    to_worker: Line


class Simulation:
    """One installation; see ``simulate``."""

    def __init__(self, seed: int, make_ledger: MakeLedger) -> None:
        self.seed = seed
        self.world = World(seed)
        self.faults: Counter[str] = Counter()
        self.deaths: Counter[tuple[str, int]] = Counter()
        self.ledger = make_ledger(self.world.clock, self.world.monotonic, Random(seed + 1))
        self._settings = EngineSettings(
            ttl_seconds=_TTL_SECONDS,
            max_lease_items=self.world.chance.choice([1, 4, 16]),
            flush_items=5,
            lease_seconds=1.0,
            chunk_seconds=self.world.chance.choice([0.15, 1.5]),
        )
        self._processors = Processors(_PROCESSORS)
        self._stations: dict[str, _Station] = {}
        self._started = 0
        self._topped_up = 0
        self._runs: list[str] = []
        self._step = 0
        self._is_owner_up = True
        self._watch = Watch(self)

    def run(self, steps: int) -> Report:
        self._open_owner()
        for _ in range(WORKERS):
            self._start_worker()
        for number in range(self.world.chance.randint(2, 4)):
            self._submit(number)
        self._plan_faults()
        for self._step in range(steps):
            self.world.step()
            self._watch.check(self._runs)
            if self.world.monotonic() > FAULTY_SECONDS and self._all_ended():
                return self._report()
        self.broken(f"not every run ended: {[(run.id, run.state) for run in self.ledger.unfinished()]}")

    def broken(self, what: str) -> NoReturn:
        raise PromiseBroken(self.seed, self._step, what)

    # Setting up

    def _submit(self, number: int) -> None:
        chance = self.world.chance
        run_id = f"bpred_{number}"
        total = chance.randint(1, 60)
        workspace_id = chance.choice(WORKSPACES)
        self._top_up(workspace_id, chance.randint(7, total * 5 + 7))
        self.ledger.open_run(
            NewRun(
                run_id,
                workspace_id,
                "simulated",
                "local/simulated",
                json.dumps({"batch_size": chance.choice([1, 1, 4]), "calls": chance.random() < 0.4}).encode(),
                self.world.clock(),
                validation=chance.choice(["per_item", "per_item", "strict"]),
                failure_tolerance=chance.choice([1.0, 1.0, 0.1]),
                deadline=chance.choice([None, None, self.world.clock() + chance.uniform(5.0, 50.0)]),
                limit_items=chance.choice([None, None, chance.randint(1, total)]),
                sample=chance.choice([None, None, None, Sample(chance.randint(1, total), number)]),
                price=(price := chance.choice([0, 0, 3, 7])),
                max_cost=chance.choice([None, None, chance.randint(1, total * 7)]),
                on_credit_exhausted="fail" if price and chance.random() < 0.2 else "pause",
            )
        )
        names = list(_BEHAVIOURS)
        drawn = chance.choices(names, [_BEHAVIOURS[name] for name in names], k=total)
        items = [NewItem(f"item-{n}", json.dumps({"behaves": name}).encode(), b"") for n, name in enumerate(drawn)]
        self._watch.expect(run_id, drawn)
        self.ledger.append(run_id, items)
        validate = chance.random() < 0.5
        try:
            self.ledger.seal(run_id, validate=validate)
        except CreditExceeded as lacking:
            self._top_up(workspace_id, lacking.required - lacking.remaining)
            self.ledger.seal(run_id, validate=validate)
        self._runs.append(run_id)
        self._wake()

    def _open_owner(self) -> None:
        self._signal = WorkSignal(self.world.monotonic)
        self._needs = NeedsOfRuns(self._processors)
        self._calls = Calls(Gate(), self.world.monotonic, keep_calm=self.ledger.calm)
        self._calls.remember(self.ledger.cool_downs())
        self._maintenance = Maintenance(
            self.ledger,
            self._processors,
            self._settings,
            read_blob=lambda sha256: b"",
            monotonic=self.world.monotonic,
            clock=self.world.clock,
            on_stop=self._stop_run,
            on_lapse=self._kill_lapsed,
            on_work=self._wake,
            calls=self._calls,
            needs=self._needs,
        )
        self._maintain(self._maintenance)

    def _maintain(self, maintenance: Maintenance) -> None:
        """Tick as the engine's thread does, until another owner takes over."""
        if maintenance is not self._maintenance or not self._is_owner_up:
            return
        has_more = maintenance.tick()
        for station in list(self._stations.values()):
            self._offer(station)
        self.world.after(0.001 if has_more else self._settings.tick_seconds, lambda: self._maintain(maintenance))

    def _start_worker(self) -> None:
        self._started += 1
        worker_id = f"worker_{self._started}"
        rules = Rules(**{name: getattr(self._settings, name) for name in Rules.__struct_fields__})
        desk = Desk(
            worker_id,
            self._needs,
            self._signal,
            ttl_seconds=_TTL_SECONDS,
            longest_item_seconds=60.0,
            calls=self._calls,
        )
        to_owner = Line(self.world, lambda message: self._at_desk(worker_id, message))
        worker = SimulatedWorker(self.world, rules, self.deaths, to_owner)
        to_worker = Line(self.world, worker.receive)
        self._stations[worker_id] = _Station(worker, desk, to_owner, to_worker)
        worker.start()

    # The owner's threads

    def _at_desk(self, worker_id: str, message: Any) -> None:
        station = self._stations.get(worker_id)
        if station is not None and self._is_owner_up:
            station.desk.hear(message)
            self._serve(station, station.desk.steps())

    def _offer(self, station: _Station) -> None:
        """Claims that wait are tried again, as long as that finds something."""
        while self._serve(station, station.desk.steps(may_find_work=True)):
            pass

    def _serve(self, station: _Station, steps: Sequence[Step]) -> bool:
        """Whether it brought a lease."""
        replies = station.desk.answered(steps, self.ledger.perform(steps))
        self._reply(station, replies)
        return any(isinstance(reply, Leased) for reply in replies)

    def _wake(self) -> None:
        for station in list(self._stations.values()):
            self.world.after(0.0, lambda station=station: self._offer_if_here(station))  # type: ignore[misc]

    def _offer_if_here(self, station: _Station) -> None:
        if self._is_owner_up and self._stations.get(station.desk.worker_id) is station:
            self._offer(station)

    def _reply(self, station: _Station, messages: list[Any]) -> None:
        for message in messages:
            station.to_worker.send(message, self.world.chance.uniform(0.0001, station.worker.slowness))

    def _stop_run(self, run_id: str) -> None:
        for station in self._stations.values():
            for lease_id, of_run in list(station.desk.leases.items()):
                if of_run == run_id and self.world.happens(0.7):
                    self._reply(station, [StandingOf(lease_id, "stopping")])

    def _kill_lapsed(self, lease_ids: Any) -> None:
        """The executor cannot always reach a worker that froze: that is when late commits come."""
        for station in list(self._stations.values()):
            if station.desk.leases.keys() & set(lease_ids) and self.world.happens(0.3):
                self._lose_worker(station, is_noticed=True)

    # Faults

    def _plan_faults(self) -> None:
        faults: list[Callable[[], None]] = [
            self._fault_crash,
            self._fault_freeze,
            self._fault_delay,
            self._fault_owner_restart,
            self._fault_child_death,
            self._fault_clock_jump,
            self._fault_cancel,
            self._fault_pause,
            self._fault_top_up,
        ]
        for _ in range(self.world.chance.randint(3, 14)):
            self.world.at(self.world.chance.uniform(0.0, FAULTY_SECONDS), self.world.chance.choice(faults))
        self.world.at(FAULTY_SECONDS, self._resume_all)

    def _any_station(self) -> _Station | None:
        return self.world.chance.choice(list(self._stations.values())) if self._stations else None

    def _fault_crash(self) -> None:
        if (station := self._any_station()) is not None:
            self.faults["crash"] += 1
            self._lose_worker(station, is_noticed=self.world.happens(0.6))

    def _lose_worker(self, station: _Station, *, is_noticed: bool) -> None:
        """Messages it sent still arrive; then the owner notices the end, or only that the lease lapses."""
        station.worker.kill()

        def notice() -> None:
            if self._stations.pop(station.desk.worker_id, None) is not None:
                station.to_worker.is_cut = station.to_owner.is_cut = True
                if is_noticed and self._is_owner_up:
                    self.ledger.release_owner(station.desk.worker_id, lapsed=True)
                self._start_worker()

        self.world.after(self.world.chance.uniform(0.01, 1.0) if is_noticed else 8.0, notice)

    def _fault_freeze(self) -> None:
        if (station := self._any_station()) is not None:
            self.faults["freeze"] += 1
            station.worker.freeze(self.world.chance.uniform(0.5, 4.0) * _TTL_SECONDS)

    def _fault_delay(self) -> None:
        if (station := self._any_station()) is not None:
            self.faults["delay"] += 1
            station.worker.slowness = self.world.chance.choice([0.5, 3.0, 2.0 * _TTL_SECONDS])
            self.world.after(10.0, lambda: setattr(station.worker, "slowness", 0.001))

    def _fault_owner_restart(self) -> None:
        if not self._is_owner_up:
            return
        self.faults["owner_restart"] += 1
        self._is_owner_up = False
        for station in self._stations.values():
            station.worker.kill()
            station.to_owner.is_cut = station.to_worker.is_cut = True
        self._stations.clear()
        self.world.after(self.world.chance.uniform(0.1, 20.0), self._restart_owner)

    def _restart_owner(self) -> None:
        self._is_owner_up = True
        self.ledger.abandon_receiving()
        self.ledger.release_all()
        self._open_owner()
        for _ in range(WORKERS):
            self._start_worker()

    def _fault_child_death(self) -> None:
        if (station := self._any_station()) is not None:
            self.faults["child_death"] += 1
            station.worker.kill_child()

    def _fault_clock_jump(self) -> None:
        self.faults["clock_jump"] += 1
        self.world.jump(self.world.chance.choice([-3_600.0, 30.0, 3_600.0]))

    def _fault_cancel(self) -> None:
        self.faults["cancel"] += 1
        self._try(self.ledger.cancel, self.world.chance.choice(self._runs))

    def _fault_pause(self) -> None:
        self.faults["pause"] += 1
        run_id = self.world.chance.choice(self._runs)
        self._try(lambda run_id: self.ledger.pause(run_id, "operator"), run_id)
        self.world.after(self.world.chance.uniform(1.0, 5.0), lambda: self._try(self.ledger.resume, run_id))

    def _fault_top_up(self) -> None:
        self.faults["top_up"] += 1
        self._top_up(self.world.chance.choice(WORKSPACES), self.world.chance.randint(1, 50))

    def _top_up(self, workspace_id: str, amount: int) -> None:
        self._topped_up += 1
        number, now = f"topup_{self._topped_up:04d}", self.world.clock()
        self.ledger.top_up(CreditEntry(number, workspace_id, "top_up", amount, None, None, None, now))

    def _resume_all(self) -> None:
        """What waits for a person goes on: credit comes, and partial runs are extended, again once their parts are done."""
        for workspace_id in WORKSPACES:
            self._top_up(workspace_id, 500)
        for run in self.ledger.unfinished():
            self._try(self.ledger.extend, run.id)
        self._wake()
        self.world.after(5.0, self._resume_all)

    def _try(self, call: Callable[[str], object], run_id: str) -> None:
        try:
            call(run_id)
        except InvalidTransition:
            pass  # it has ended: then there is nothing to disturb

    # The end

    def _all_ended(self) -> bool:
        return self._is_owner_up and not self.ledger.unfinished()

    def _report(self) -> Report:
        self._watch.check_end(self._runs)
        states = {run_id: self._watch.run(run_id).state for run_id in self._runs}
        digest = hashlib.sha256()
        for line in self._watch.lines():
            digest.update(line)
        return Report(
            self.seed,
            self._step,
            self.world.monotonic(),
            states,
            len(list(self._watch.lines())),
            dict(self.faults),
            digest.hexdigest(),
        )


class Watch:
    """Looks at the ledger from outside after every step, and holds it to the promises."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._behaviours: dict[str, list[str]] = {}
        self._seen: dict[str, dict[int, bytes]] = {}
        self._ended: dict[str, int] = {}

    def expect(self, run_id: str, behaviours: list[str]) -> None:
        self._behaviours[run_id] = behaviours
        self._seen[run_id] = {}
        self._ended[run_id] = 0

    def run(self, run_id: str) -> Any:
        return self._simulation.ledger.get(run_id)

    def lines(self) -> list[bytes]:
        return [self._seen[run_id][seq] for run_id in sorted(self._seen) for seq in sorted(self._seen[run_id])]

    def check(self, run_ids: list[str]) -> None:
        self._check_credit()
        for run_id in run_ids:
            place = self._simulation.ledger.conservation(run_id)
            if not place.holds:
                self._simulation.broken(f"{run_id}: items are lost or doubled: {place}")
            if place.outcomes < self._ended[run_id]:
                self._simulation.broken(f"{run_id}: an outcome vanished")
            if place.outcomes != self._ended[run_id]:
                self._note_outcomes(run_id)
                self._ended[run_id] = place.outcomes

    def _check_credit(self) -> None:
        for workspace_id in WORKSPACES:
            credit = self._simulation.ledger.credit(workspace_id)
            if not credit.holds or credit.balance < 0 or credit.held < 0:
                self._simulation.broken(f"{workspace_id}: credit is lost or came from nowhere: {credit}")

    def _check_charges(self, run_ids: list[str]) -> None:
        """Each run was charged once, for what succeeded."""
        ledger = self._simulation.ledger
        entries = [entry for workspace_id in WORKSPACES for entry in ledger.credit_entries(workspace_id, limit=1_000)]
        charges = Counter({entry.run_id: -entry.amount for entry in entries if entry.kind == "charge"})
        for run_id in run_ids:
            run = self.run(run_id)
            if charges[run_id] != run.counts.succeeded * run.price:
                self._simulation.broken(f"{run_id}: {run.counts.succeeded} successes were charged {charges[run_id]}")
        if any(ledger.credit(workspace_id).held for workspace_id in WORKSPACES):
            self._simulation.broken("credit is held though no run is left")

    def check_end(self, run_ids: list[str]) -> None:
        self._check_charges(run_ids)
        for run_id in run_ids:
            run, manifest = self.run(run_id), self._simulation.ledger.manifest(run_id)
            total = len(self._behaviours[run_id])
            self._note_outcomes(run_id)
            if run.counts.ended != total or len(self._seen[run_id]) != total:
                self._simulation.broken(f"{run_id} ended as {run.state} with {run.counts.ended} outcomes of {total}")
            if manifest is None or manifest.lines != total:
                self._simulation.broken(f"{run_id} ended without a right manifest")
            for seq in range(total):
                self._check_item(run_id, run.state, seq)

    def _note_outcomes(self, run_id: str) -> None:
        """Read every line: none has changed, and there is one for each outcome."""
        chunk = self._simulation.ledger.results(run_id)
        seen = self._seen[run_id]
        lines = chunk.lines.splitlines()
        for line in lines:
            seq = int(line_members(line)["custom_id"].removeprefix("item-"))
            if seen.setdefault(seq, line) != line:
                self._simulation.broken(f"{run_id}: the outcome of item {seq} changed")
        if len(seen) != len(lines):
            self._simulation.broken(f"{run_id}: {len(seen)} items have had an outcome, {len(lines)} have one")

    def _check_item(self, run_id: str, state: str, seq: int) -> None:
        """An item that was never in flight at a death is not set aside, and one that is well succeeds if its run completes."""
        record = self._simulation.ledger.item(run_id, f"item-{seq}")
        assert record is not None
        assert record.line is not None
        members = line_members(record.line)
        behaves, real_deaths = self._behaviours[run_id][seq], self._simulation.deaths[run_id, seq]
        if record.deaths > real_deaths:
            self._simulation.broken(f"{run_id}: item {seq} has {record.deaths} deaths, {real_deaths} happened")
        if members["attempts"] > 5 + 3:
            self._simulation.broken(f"{run_id}: item {seq} was tried {members['attempts']} times")
        error = members["error"] or {}
        if error.get("error_code") in _BY_DEATH and real_deaths < 3:
            self._simulation.broken(f"{run_id}: item {seq} was set aside after {real_deaths} deaths")
        is_well = behaves in ("ok", "slow", "flaky") and real_deaths < 3
        if state == "completed" and is_well and members["status"] != "succeeded":
            self._simulation.broken(f"{run_id}: item {seq} ({behaves}) ended as {members['status']}: {error}")
