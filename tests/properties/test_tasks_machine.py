"""A state machine hands out, answers, lets lapse, takes back, skips and pauses; after every step the sums are what they count.

Its own record of who answered what is the measure: nobody's answer is lost, and nobody's counted twice.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amends.database import Database
from amends.store import ModelAnswer, Store, TaskLease
from tests.orders import OPTIONS, Desk, new_order
from tests.postgres import postgres_url

PEOPLE = ("ada", "bob", "eve")
TTL = 60.0

people = st.sampled_from(PEOPLE)
answers = st.sampled_from(OPTIONS)


class Labelling(RuleBasedStateMachine):
    dialect = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.time = 1_800_000_000.0
        self.leases: dict[str, tuple[str, TaskLease, float]] = {}  # id → who, the lease, when it lapses
        self.given: dict[tuple[str, int], Any] = {}
        self.order_of: dict[str, list[int]] = {name: [] for name in (*PEOPLE, "model")}
        self.skipped: set[tuple[str, int]] = set()

    @initialize(
        datapoints=st.integers(1, 5),
        needed=st.integers(1, 3),
        gold=st.sets(st.integers(0, 4), max_size=2),
        threshold=st.sampled_from([None, 0.9]),
        slice_=st.integers(1, 5),
    )
    def begin(self, datapoints: int, needed: int, gold: set[int], threshold: float | None, slice_: int) -> None:
        if self.dialect == "postgres":
            place: Path | str = self.stack.enter_context(postgres_url())
        else:
            place = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "amends.db"
        self.database = Database.open(place)
        self.stack.callback(self.database.close)
        self.store = Store(self.database, now=lambda: self.time, monotonic=lambda: self.time)
        golden = sorted(place for place in gold if place < datapoints - 1)
        self.desk: Desk = new_order(
            self.database, self.store, datapoints=datapoints, gold=golden, gold_every=2,
            responses_per_datapoint=needed, confidence_threshold=threshold,
        )  # fmt: skip
        self.slice = slice_
        self.gold = {place + 1 for place in golden}
        self.ids = {name: self.desk.annotator(name) for name in PEOPLE}
        self.ids["model"] = self.desk.write(
            lambda tx: self.store.annotators.add_model(
                tx, self.desk.order_id, "m", prompt=None, mode="live", request_id="r", created_by=None
            )
        ).id
        self.desk.write(lambda tx: self.store.orders.begin(tx, self.desk.order))
        self.desk.write(lambda tx: self.store.orders.move(tx, self.desk.order_id, "running"))
        self.desk.fill(self.slice)

    def teardown(self) -> None:
        self.stack.close()

    @precondition(lambda self: not self.desk.order.is_filled and not self.desk.order.is_ended)
    @rule()
    def fill(self) -> None:
        self.desk.fill(self.slice)

    @rule(name=people)
    def lease(self, name: str) -> None:
        before = {task.seq: task for task in self.store.tasks.after(self.desk.order_id)}
        lease = self.desk.next(self.ids[name], TTL)
        if lease is None:
            return
        assert self.desk.order.status == "running"
        assert (name, lease.seq) not in self.given
        assert (name, lease.seq) not in self.skipped
        assert not any(who == name and held.seq == lease.seq and self._holds(held.id) for who, held, _ in self.held())
        task = before[lease.seq]
        under_way = sum(1 for _, held, _ in self.held() if held.seq == lease.seq and self._holds(held.id))
        assert task.is_gold or under_way < task.needed - task.received
        self.leases = {key: one for key, one in self.leases.items() if (one[0], one[1].seq) != (name, lease.seq)}
        self.leases[lease.id] = (name, lease, self.time + TTL)

    def held(self) -> list[tuple[str, TaskLease, float]]:
        return list(self.leases.values())

    def _holds(self, lease_id: str) -> bool:
        return self.leases[lease_id][2] > self.time

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), answer=answers)
    def respond(self, data: st.DataObject, answer: str) -> None:
        lease_id = data.draw(st.sampled_from(sorted(self.leases)))
        name, lease, _ = self.leases[lease_id]
        order = self.desk.order
        (task,) = [one for one in self.store.tasks.after(order.id) if one.seq == lease.seq]
        needs = task.is_gold or task.state == "open"
        found = self.desk.respond(lease, answer)
        if order.status == "cancelled":
            assert found is None
            return
        if self._holds(lease_id) or (needs and not order.is_ended):
            assert found is not None
        if found is not None:
            assert (name, lease.seq) not in self.given
            self._note(name, lease.seq, answer)
            del self.leases[lease_id]
            assert self.desk.respond(lease, answer) is None

    @rule(answer=answers)
    def answer_as_model(self, answer: str) -> None:
        order = self.desk.order
        tasks = self.store.tasks.after(order.id)
        given = [ModelAnswer(task.datapoint_id, answer, None) for task in tasks]
        fresh = [task.seq for task in tasks if ("model", task.seq) not in self.given]
        count = self.desk.write(lambda tx: self.store.tasks.answer_as_model(tx, order.id, self.ids["model"], given))
        assert count == (0 if order.status == "cancelled" else len(fresh))
        for seq in fresh if count else ():
            self._note("model", seq, answer)

    def _note(self, name: str, seq: int, answer: str) -> None:
        self.given[name, seq] = answer
        self.order_of[name].append(seq)

    @rule(name=people)
    def undo(self, name: str) -> None:
        was_running = self.desk.order.status == "running"
        undone = self.desk.write(lambda tx: self.store.tasks.undo(tx, self.desk.order_id, self.ids[name]))
        assert (undone is not None) == (was_running and bool(self.order_of[name]))
        if undone is not None:
            seq = self.order_of[name].pop()
            assert (undone.lease.seq, undone.answer) == (seq, self.given.pop((name, seq)))
            self.leases[undone.lease.id] = (name, undone.lease, self.time + 600)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def skip(self, data: st.DataObject) -> None:
        lease_id = data.draw(st.sampled_from(sorted(self.leases)))
        name, lease, _ = self.leases.pop(lease_id)
        assert self.desk.write(lambda tx: self.store.tasks.skip(tx, lease_id, None))
        self.skipped.add((name, lease.seq))

    @rule(seconds=st.sampled_from([1.0, TTL / 2, TTL + 1]))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @rule(status=st.sampled_from(["paused", "running", "running"]))
    def move(self, status: Any) -> None:
        self.desk.write(lambda tx: self.store.orders.move(tx, self.desk.order_id, status))

    @precondition(lambda self: len(self.given) > 6)
    @rule()
    def cancel(self) -> None:
        self.desk.write(lambda tx: self.store.orders.move(tx, self.desk.order_id, "cancelled"))

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        if not hasattr(self, "desk"):
            return
        self.desk.check()
        stored = self.store.tasks.responses(self.desk.order_id, -1, 1_000)
        names = {annotator_id: name for name, annotator_id in self.ids.items()}
        assert {(names[one.annotator_id], one.seq): one.answer for one in stored} == self.given
        assert len(stored) == len(self.given)
        assert self.desk.order.responses == sum(1 for _, seq in self.given if seq not in self.gold)
        for name, annotator_id in self.ids.items():
            found = self.store.annotators.get(annotator_id)
            assert found is not None
            golden = [answer for (who, seq), answer in self.given.items() if who == name and seq in self.gold]
            assert (found.gold_asked, found.gold_right) == (len(golden), golden.count(OPTIONS[0]))


class PostgresLabelling(Labelling):
    dialect = "postgres"


is_soaking = bool(os.environ.get("AMENDS_SOAK"))
TestSqlite = Labelling.TestCase
TestSqlite.settings = settings(
    max_examples=500 if is_soaking else 25,
    stateful_step_count=60 if is_soaking else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestPostgres = PostgresLabelling.TestCase
TestPostgres.settings = settings(TestSqlite.settings, max_examples=100 if is_soaking else 4)
