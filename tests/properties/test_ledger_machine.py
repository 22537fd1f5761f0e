"""A state machine drives a SQL ledger and the in-memory model side by side and compares all there is to see.

Each run has a kind of its own, so that a claim is determined: which run is drawn is chance, and the contract's matter.
``AMENDS_SOAK=1`` (``make soak``) runs many more and longer examples.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amends.database import Database
from amends.ledger import (
    ClaimRequest,
    Commit,
    CreditEntry,
    CreditExceeded,
    Deferral,
    DuplicateCustomIds,
    InvalidTransition,
    ItemStatus,
    Lease,
    LeasedItem,
    Ledger,
    MemoryLedger,
    NewItem,
    NewRun,
    PostgresLedger,
    Renewal,
    Run,
    RunNotFound,
    Sample,
    SqliteLedger,
)
from amends.problems import problem
from tests.ledgers import HandClock, attempt, failure, leased, manifest_of, new_run, success
from tests.postgres import postgres_url

MAX_RUNS = 4
PAGES: tuple[dict[str, Any], ...] = ({}, {"partial": True}, {"limit": 2}, {"after": 1}, {"partial": True, "after": 0})
STATUSES: tuple[ItemStatus | None, ...] = (None, "succeeded", "errored", "canceled", "expired")
SLUGS = ("prediction_failed", "file_not_found")

chance = st.integers(0, 10_000)
owners = st.sampled_from(["worker-1", "worker-2"])
seconds = st.sampled_from([0.0, 0.25, 1.0, 5.0, 30.0])
limits = st.sampled_from([1, 2, 3, 10_000])


@dataclass
class Twin:
    """One lease, as each of the ledgers names it. left: seqs nobody reported yet."""

    model: Lease
    real: Lease
    left: list[int] = field(default_factory=list)


@dataclass
class Report:
    """What a worker says about some of its lease's items, whatever the lease is called."""

    outcomes: list[tuple[int, str | None]] = field(default_factory=list)
    deferred: list[Deferral] = field(default_factory=list)
    tried: list[int] = field(default_factory=list)
    deaths: list[int] = field(default_factory=list)
    final: bool = False


def outcome_of(call: Callable[[], Any]) -> Any:
    """What the call returned, or how it refused."""
    try:
        return call()
    except InvalidTransition as refused:
        return ("refused in", refused.state)
    except RunNotFound:
        return "no such run"
    except CreditExceeded as lacking:
        return ("no credit", lacking.required, lacking.remaining)
    except DuplicateCustomIds as found:
        return ("duplicates", list(found.duplicates), found.total)
    except ValueError:
        return "wrong"


def plain_answer(answer: Any) -> Any:
    return "wrong" if isinstance(answer, ValueError) else answer


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.stack = ExitStack()
        self.folder = tempfile.TemporaryDirectory(prefix="amends-ledger-")
        self.model: Ledger = MemoryLedger(clock=self.clock.wall, monotonic=self.clock.monotonic, draw=Random(1))
        self.database, self.real = self.open()
        self.runs: list[NewRun] = []
        self.receiving: list[str] = []
        self.twins: list[Twin] = []
        self.numbers = self.turn = 0
        self.seen: dict[tuple[str, str], bytes] = {}

    def open(self) -> tuple[Database, Ledger]:
        """What there is of the ledger under test: made by the first call, found again by the others."""
        database = Database.open(Path(self.folder.name) / "amends.db")
        clock = self.clock
        return database, SqliteLedger(
            database, clock=clock.wall, monotonic=clock.monotonic, draw=Random(1), boot="boot"
        )

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()
        self.stack.close()

    # How both are asked

    def both(self, ask: Callable[[Ledger], Any]) -> Any:
        """Ask both ledgers the same; they answer the same."""
        expected, found = outcome_of(lambda: ask(self.model)), outcome_of(lambda: ask(self.real))
        assert plain(found) == plain(expected)
        return expected

    def some_run(self, number: int) -> str:
        return self.runs[number % len(self.runs)].id

    def known(self) -> list[Run]:
        return [run for statement in self.runs if (run := self.model.get(statement.id))]

    # Creating

    @initialize(count=st.integers(1, 8))
    def create_first(self, count: int) -> None:
        self.top_up(0, 20)
        self.create(count, False, None, 0, 0, 3, None, False)

    @precondition(lambda self: len(self.runs) < MAX_RUNS)
    @rule(
        count=st.integers(0, 9),
        validate=st.booleans(),
        part=st.none() | st.integers(0, 5) | st.builds(Sample, st.integers(0, 6), st.integers(0, 3)),
        workspace=st.integers(0, 1),
        repeated=st.sampled_from([0, 0, 0, 1, 3]),
        price=st.sampled_from([0, 0, 1, 3]),
        max_cost=st.none() | st.integers(0, 12),
        is_strict=st.booleans(),
    )
    def create(
        self,
        count: int,
        validate: bool,
        part: int | Sample | None,
        workspace: int,
        repeated: int,
        price: int,
        max_cost: int | None,
        is_strict: bool,
    ) -> None:
        held = {"sample": part} if isinstance(part, Sample) else {"limit_items": part}
        bound = {"price": price, "max_cost": max_cost, "on_credit_exhausted": "fail" if is_strict else "pause"}
        statement = self.statement(workspace_id=f"ws_{workspace}", **held, **bound)
        items = [NewItem(f"item-{n}", b'{"input":"%b"}' % (b"x" * (n % 4)), b"%d" % n) for n in range(count)]
        self.receive(statement, [*items, *items[:repeated]], validate)

    def statement(self, **changes: Any) -> NewRun:
        self.numbers += 1
        run = new_run(f"bpred_{self.numbers:04d}", kind=f"kind-{self.numbers}", created_at=self.clock.wall())
        return replace(run, **changes)

    def receive(self, statement: NewRun, items: list[NewItem], validate: bool) -> None:
        self.both(lambda ledger: ledger.open_run(statement))
        half = len(items) // 2
        for part in (items[:half], items[half:]):
            self.both(lambda ledger, part=part: ledger.append(statement.id, part))  # type: ignore[misc]
        sealed = self.both(lambda ledger: ledger.seal(statement.id, validate=validate))
        if isinstance(sealed, Run):
            self.runs.append(statement)
        else:
            self.receiving.append(statement.id)

    @precondition(lambda self: self.receiving)
    @rule()
    def abandon(self) -> None:
        run_id = self.receiving.pop()
        self.both(lambda ledger: ledger.abandon(run_id))
        assert self.both(lambda ledger: ledger.append(run_id, [])) == "no such run"

    @rule(number=chance, validate=st.booleans(), keep=st.integers(1, 3))
    def retry(self, number: int, validate: bool, keep: int) -> None:
        parent = self.model.get(self.some_run(number))
        if parent is None or len(self.runs) >= MAX_RUNS:
            return
        failed = self.both(lambda ledger: ledger.failed_items(parent.id))[:keep]
        if failed:
            items = [NewItem(custom_id, payload, b"again", origin) for origin, custom_id, payload in failed]
            self.receive(self.statement(workspace_id=parent.workspace_id, parent_id=parent.id), items, validate)

    @rule(workspace=st.integers(0, 1), amount=st.integers(0, 9))
    def top_up(self, workspace: int, amount: int) -> None:
        self.numbers += 1
        entry = CreditEntry(
            f"topup_{self.numbers}", f"ws_{workspace}", "top_up", amount, None, None, "user_1", self.clock.wall()
        )
        self.both(lambda ledger: ledger.top_up(entry))

    # Moving items

    @rule(
        number=chance,
        owner=owners,
        max_items=limits,
        max_bytes=st.sampled_from([0, 30, 1_000_000]),
        ttl=seconds,
        times=st.integers(1, 3),
    )
    def claim(self, number: int, owner: str, max_items: int, max_bytes: int, ttl: float, times: int) -> None:
        request = self.request(number, owner, max_items, max_bytes, ttl)
        for _ in range(times):
            self.keep(self.model.claim(request), self.real.claim(request))

    @rule(number=chance, max_items=limits, times=st.integers(1, 4))
    def lapse(self, number: int, max_items: int, times: int) -> None:
        """A span whose workers vanish one after the other."""
        request = self.request(number, "worker-1", max_items, ttl=0.0)
        for _ in range(times):
            self.keep(self.model.claim(request), self.real.claim(request))
            self.advance_and_reap(0.0)

    def request(
        self, number: int, owner: str, max_items: int, max_bytes: int = 1_000_000, ttl: float = 5.0
    ) -> ClaimRequest:
        kind = self.runs[number % len(self.runs)].kind
        return ClaimRequest(owner, max_items, max_bytes, ttl, frozenset({kind}))

    def keep(self, model: Lease | None, real: Lease | None) -> None:
        assert (model is None) == (real is None)
        if model is not None and real is not None:
            assert replace(real, id="") == replace(model, id="")
            assert real.id not in {twin.real.id for twin in self.twins}
            self.twins.append(Twin(model, real, [item.seq for item in leased(model)]))

    @precondition(lambda self: self.twins)
    @rule(number=chance, plan=st.lists(chance, min_size=1, max_size=9), final=st.booleans(), stray=st.integers(0, 19))
    def commit(self, number: int, plan: list[int], final: bool, stray: int) -> None:
        twin = self.some_twin(number)
        report = self.plan(twin, plan, final, is_stray=stray == 0)
        expected = outcome_of(lambda: self.model.commit(commit_of(twin.model, report)))
        found = outcome_of(lambda: self.real.commit(commit_of(twin.real, report)))
        assert found == expected
        self.note(twin, report, expected)

    @precondition(lambda self: self.twins)
    @rule(number=chance, plan=st.lists(chance, min_size=1, max_size=9), owner=owners, max_items=limits)
    def perform(self, number: int, plan: list[int], owner: str, max_items: int) -> None:
        """Reports of several workers at once, some of them wrong or fenced, each with a renewal, and then claims."""
        chosen = [self.some_twin(number + place) for place in range(plan[0] % 3 + 1)]
        twins = list({twin.real.id: twin for twin in chosen}.values())
        reports = [self.plan(twin, plan, True, is_stray=(number + place) % 7 == 0) for place, twin in enumerate(twins)]
        request = self.request(number, owner, max_items)

        def ask(ledger: Ledger, leases: list[Lease]) -> list[Any]:
            commits = [commit_of(lease, report) for lease, report in zip(leases, reports, strict=True)]
            renewals = [Renewal(lease.id, 5.0) for lease in leases]
            return list(ledger.perform([*renewals, *commits, request, request]))

        expected = ask(self.model, [twin.model for twin in twins])
        found = ask(self.real, [twin.real for twin in twins])
        assert [plain_answer(answer) for answer in found[:-2]] == [plain_answer(answer) for answer in expected[:-2]]
        for twin, report, answer in zip(twins, reports, expected[len(twins) : -2], strict=True):
            self.note(twin, report, answer)
        for model, real in zip(expected[-2:], found[-2:], strict=True):
            self.keep(model, real)

    def plan(self, twin: Twin, plan: list[int], final: bool, *, is_stray: bool = False) -> Report:
        """Decide from the numbers what becomes of each item. is_stray: speak of one that the lease does not hold."""
        report = Report(final=final)
        for place, seq in enumerate(list(twin.left)):
            number = plan[place % len(plan)] + place
            choice = number % 5
            if choice in (0, 1):
                report.outcomes.append((seq, (None, SLUGS[number % 2])[choice]))
            elif choice == 2:
                report.deferred.append(Deferral(seq, number % 4 + 1, (number % 4 // 3) * 1.0))
            elif choice == 3:
                report.tried.append(seq)
                report.deaths += [seq] * (number % 3)
        if is_stray:
            report.outcomes.append((max(twin.left, default=0) + 50, None))
        return report

    def note(self, twin: Twin, report: Report, answer: Any) -> None:
        if answer is not True:
            return
        reported = {seq for seq, _ in report.outcomes} | {deferral.seq for deferral in report.deferred}
        twin.left = [] if report.final else [seq for seq in twin.left if seq not in reported]

    def some_twin(self, number: int) -> Twin:
        """Often the newest lease, sometimes one that was fenced long ago."""
        return self.twins[-1 - (number % len(self.twins) if number % 2 else 0)]

    @precondition(lambda self: self.twins)
    @rule(number=chance, ttl=seconds)
    def renew(self, number: int, ttl: float) -> None:
        twin = self.some_twin(number)
        assert self.real.renew(twin.real.id, ttl) == self.model.renew(twin.model.id, ttl)

    @rule(by=seconds, reaps=st.booleans())
    def advance(self, by: float, reaps: bool) -> None:
        if reaps:
            self.advance_and_reap(by)
        else:
            self.clock.advance(by)

    def advance_and_reap(self, by: float) -> None:
        self.clock.advance(by)
        lapsed, found = set(self.model.reap()), set(self.real.reap())
        assert found == {twin.real.id for twin in self.twins if twin.model.id in lapsed}

    @rule(how=st.sampled_from(["release", "lose", "lose", "crash", "crash", "start"]), owner=owners)
    def interrupt(self, how: str, owner: str) -> None:
        """A worker leaves, or the owning process ends between two steps, and may start by returning every lease."""
        if how in ("release", "lose"):
            self.both(lambda ledger: ledger.release_owner(owner, lapsed=how == "lose"))
            return
        self.database.close()
        self.database, self.real = self.open()
        if how == "start":
            self.both(lambda ledger: ledger.release_all())
            self.both(lambda ledger: ledger.abandon_receiving())
            self.receiving.clear()

    # Moving runs

    @rule(
        number=chance,
        step=st.sampled_from(
            ["start", "start", "extend", "extend", "pause", "pause", "resume", "settle", "fund", "bound"]
        ),
    )
    def steer(self, number: int, step: str) -> None:
        run_id = self.some_run(number)
        if step == "settle":
            self.settle(run_id)
        elif step == "pause":
            self.both(lambda ledger: ledger.pause(run_id, "operator"))
        elif step == "bound":
            self.both(lambda ledger: ledger.extend(run_id, max_cost=number % 20))
        else:
            self.both(lambda ledger: getattr(ledger, step)(run_id))

    def settle(self, run_id: str) -> None:
        """Every third item, and the one after it, is found unfit."""
        items = outcome_of(lambda: self.model.items(run_id))
        chosen = [LeasedItem(*item) for item in items if item[0] % 3 != 1] if isinstance(items, list) else []
        self.both(lambda ledger: ledger.settle(run_id, [failure(run_id, item, SLUGS[1]) for item in chosen]))

    @rule(number=chance, step=st.sampled_from(["cancel", "failed", "expired", "fence", "fence"]))
    def stop(self, number: int, step: Any) -> None:
        run_id = self.some_run(number)
        if step in ("cancel", "fence"):
            self.both(lambda ledger: getattr(ledger, step)(run_id))
        else:
            error = problem("validation_failed", "Too many failed.") if step == "failed" else None
            self.both(lambda ledger: ledger.end(run_id, step, error))

    @rule(number=chance, limit=limits)
    def sweep(self, number: int, limit: int) -> None:
        cancelled = problem("batch_cancelled")
        self.both(lambda ledger: ledger.sweep(self.some_run(number), "canceled", cancelled, limit))

    @rule(number=chance)
    def finalize_and_finish(self, number: int) -> None:
        run_id = self.some_run(number)
        self.both(lambda ledger: ledger.finalize(run_id))
        run = self.model.get(run_id)
        if run is not None:
            self.both(lambda ledger: ledger.finish(run_id, manifest_of(run)))

    @rule(number=chance, plan=chance)
    def work_off(self, number: int, plan: int) -> None:
        """A worker that goes through a run in one go: some items fail."""
        request = self.request(number, "worker-3", 3)
        while True:  # both are asked to the last: a claim that finds nothing may find that a run has to pause
            model, real = self.model.claim(request), self.real.claim(request)
            self.keep(model, real)
            if model is None:
                return
            twin = self.twins[-1]
            report = Report([(seq, SLUGS[0] if (seq + plan) % 3 == 0 else None) for seq in twin.left])
            assert self.model.commit(commit_of(twin.model, report))
            assert self.real.commit(commit_of(twin.real, report))
            twin.left = []

    @rule(number=chance, step=st.sampled_from(["lines", "run", "clean", "clean"]), limit=limits)
    def forget(self, number: int, step: str, limit: int) -> None:
        """Only a run without retries is deleted whole: a lineage is kept until its newest run expires."""
        run = self.model.get(self.some_run(number))
        if step == "clean":  # what a row is each ledger decides for itself
            self.model.clean(limit)
            self.real.clean(limit)
        elif step == "lines":
            self.both(lambda ledger: ledger.delete_lines(self.some_run(number)))
        elif run is not None and run.root_id == run.id and not self.model.children(run.id):
            self.both(lambda ledger: ledger.delete_run(run.id))

    # What must always hold

    @invariant()
    def everything_accounted_for(self) -> None:
        for run in self.known():
            told = self.real.conservation(run.id)
            assert told.holds, told
            assert told == self.model.conservation(run.id)
            assert told.outcomes == run.counts.ended

    @invariant()
    def no_credit_is_lost_or_made(self) -> None:
        for workspace_id in ("ws_0", "ws_1"):
            credit = self.both(lambda ledger, w=workspace_id: ledger.credit(w))  # type: ignore[misc]
            assert credit.holds, credit
            assert min(credit.balance, credit.held, credit.charged) >= 0
            history = self.both(lambda ledger, w=workspace_id: ledger.credit_entries(w, limit=100))  # type: ignore[misc]
            assert sum(entry.amount for entry in history) == credit.recorded

    @invariant()
    def what_succeeded_was_charged(self) -> None:
        charges = {
            entry.run_id: -entry.amount for n in (0, 1) for entry in self.real.credit_entries(f"ws_{n}", limit=100)
        }
        for run in self.known():
            if run.is_terminal:
                assert charges.get(run.id, 0) == run.counts.succeeded * run.price

    @invariant()
    def runs_agree(self) -> None:
        for statement in self.runs:
            self.both(lambda ledger, run_id=statement.id: ledger.get(run_id))  # type: ignore[misc]
            self.both(lambda ledger, run_id=statement.id: ledger.children(run_id))  # type: ignore[misc]
            self.both(lambda ledger, run_id=statement.id: ledger.manifest(run_id))  # type: ignore[misc]
        self.both(lambda ledger: ledger.unfinished())
        self.both(lambda ledger: ledger.find("ws_0"))
        self.both(lambda ledger: ledger.backlog())

    @invariant()
    def results_agree(self) -> None:
        """In turn under one of the filters each, so that a step stays quick."""
        self.turn += 1
        page = PAGES[self.turn % len(PAGES)]
        status = STATUSES[self.turn % len(STATUSES)]
        for run in self.known():
            for ask in (
                lambda ledger, i=run.id: ledger.results(i, **page),
                lambda ledger, i=run.id: ledger.results(i, lineage=True, **page),
                lambda ledger, i=run.id: ledger.results(i, status=status, lineage=self.turn % 2 == 0),
                lambda ledger, i=run.id: ledger.results_by_completion(i, status=status, after=self.turn % 3 - 1),
            ):
                self.both(ask)

    @invariant()
    def failures_agree(self) -> None:
        types = frozenset({SLUGS[self.turn % 2]}) if self.turn % 3 else None
        for run in self.known():
            wanted = [custom_id for _, custom_id, _ in self.model.items(run.id)]
            for ask in (
                lambda ledger, i=run.id: ledger.failures(i, lineage=self.turn % 2 == 0),
                lambda ledger, i=run.id: ledger.failed_items(i, types=types, after=self.turn % 3 - 1, limit=3),
                lambda ledger, i=run.id, w=wanted: sorted(set(ledger.held_by_children(i, w))),
            ):
                self.both(ask)

    @invariant()
    def items_agree_and_no_outcome_ever_changes(self) -> None:
        for run in self.known():
            items = self.both(lambda ledger, i=run.id: ledger.items(i))  # type: ignore[misc]
            for _, custom_id, _ in items:
                record = self.both(lambda ledger, i=run.id, c=custom_id: ledger.item(i, c))  # type: ignore[misc]
                if record.line is not None:
                    assert self.seen.setdefault((run.id, custom_id), record.line) == record.line


def plain(found: Any) -> Any:
    """Values as they can be compared: sequences as tuples, problems by what they say."""
    if isinstance(found, Run):
        error = None if found.error is None else (found.error.slug, found.error.detail)
        return replace(found, error=None), error
    if isinstance(found, (list, tuple)) and not hasattr(found, "_fields"):
        return tuple(plain(member) for member in found)
    if hasattr(found, "examples"):
        return found.problem, found.count, tuple(found.examples)
    if hasattr(found, "sections"):
        return found.counts, found.lines, found.sha256, tuple(found.sections)
    if hasattr(found, "input_hash"):
        return replace(found, attempts=tuple(found.attempts))
    return found


def commit_of(lease: Lease, report: Report) -> Commit:
    items = {item.seq: item for item in leased(lease)}
    any_item = next(iter(items.values()))
    return Commit(
        lease.id,
        [
            success(lease.run_id, items.get(seq, any_item)) if slug is None else failure(lease.run_id, items[seq], slug)
            for seq, slug in report.outcomes
            if seq in items
        ]
        + [success(lease.run_id, any_item._replace(seq=seq)) for seq, _ in report.outcomes if seq not in items],
        report.deferred,
        [attempt(seq, items[seq].attempts + 1) for seq in report.tried],
        report.deaths,
        report.final,
    )


class PostgresMachine(LedgerMachine):
    def open(self) -> tuple[Database, Ledger]:
        if not hasattr(self, "url"):
            self.url = self.stack.enter_context(postgres_url())
        database, clock = Database.open(self.url), self.clock
        return database, PostgresLedger(database, clock=clock.wall, monotonic=clock.monotonic, draw=Random(1))


is_soaking = bool(os.environ.get("AMENDS_SOAK"))
TestSqlite = LedgerMachine.TestCase
TestPostgres = PostgresMachine.TestCase
TestSqlite.settings = settings(
    max_examples=1_000 if is_soaking else 50,
    stateful_step_count=80 if is_soaking else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPostgres.settings = settings(TestSqlite.settings, max_examples=200 if is_soaking else 10)
