"""Tasks of an order: who is asked what, and what they answer.

A lease on a task is an annotator's leave to answer it. What is handed out and what is answered never come to more than a task needs::

    (free) ──next_task──► held ──respond──► answered: one of the answers that the task needs
                           │ └──skip──────► free again, though not for this annotator
                           └──(its time is up)──► lapsed: free again; a late answer is taken if the task needs one still

Nobody's answer is counted twice: an annotator has one response at most to a task, whatever leases there were.

Which task comes next: of those that somebody could be handed, the one that lacks the fewest answers, then the first. An annotator that
has answered thousands of them must not have them all looked at each time. So it has a *mark* for each number of missing answers, up to
which none is for it; what falls behind a mark later is found once nothing lies beyond any. And when nothing was found at all, it is
``exhausted_at`` the order's count of ``frees``: only what frees a place can change that. Orders of few tasks do without marks.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal, NamedTuple

from amends.database import Database, Transaction, boot_id, load_queries
from amends.labelling import accuracy, posterior
from amends.store._annotators import QUERIES as ANNOTATORS
from amends.store._annotators import Annotator, read_annotator
from amends.store._job_definitions import to_text
from amends.store._orders import Order, Orders, count_responses, lock_order

QUERIES = load_queries(__package__, "tasks.sql")

TaskState = Literal["open", "done"]

MOST_HELD: Final = 16
"""Tasks that an annotator may hold at once; beyond that it is handed the one again that it has held longest."""
_LAPSED_AT_ONCE: Final = 200
_FEW: Final = 1_000
"""Tasks of an order that are all looked at each time."""
_LEAST_CONFIDENT: Final = 2
"""Answers without which nothing is sure enough to stop early."""


@dataclass(frozen=True, slots=True)
class Task:
    """A datapoint that an order asks about. seq: the datapoint's.

    needed: answers that it needs; 0 for a gold task, whose ``truth`` is JSON. leased: how many are under way. choices: how many
    answers there are to choose among, None where anything may be said.
    """

    order_id: str
    seq: int
    datapoint_id: str
    needed: int
    received: int
    leased: int
    state: TaskState
    choices: int | None
    truth: str | None

    @property
    def is_gold(self) -> bool:
        return self.truth is not None


@dataclass(frozen=True, slots=True)
class TaskLease:
    """An annotator's leave to answer a task. id: random, the fence. expires_at: by the wall clock, to be shown.

    has_lapsed: its time was up, and the task was free for others since.
    """

    id: str
    order_id: str
    seq: int
    annotator_id: str
    datapoint_id: str
    expires_at: float
    has_lapsed: bool = False


@dataclass(frozen=True, slots=True)
class Responded:
    """What an answer brought about."""

    order_id: str
    seq: int
    annotator_id: str
    is_task_done: bool
    is_order_completed: bool


@dataclass(frozen=True, slots=True)
class Undone:
    """An answer that was taken back: the task is its annotator's again."""

    lease: TaskLease
    answer: Any


class Response(NamedTuple):
    """An answer as it stands. number: which of the annotator's it is."""

    seq: int
    annotator_id: str
    answer: Any
    elapsed_ms: int | None
    number: int
    created_at: float


class Skip(NamedTuple):
    seq: int
    annotator_id: str
    reason: str | None
    created_at: float


class ModelAnswer(NamedTuple):
    """What a model said to the task of that datapoint."""

    datapoint_id: str
    answer: Any
    elapsed_ms: int | None


@dataclass(frozen=True, slots=True)
class OrderSums:
    """An order's sums, counted anew. unbalanced: tasks whose own counts are wrong."""

    tasks: int
    tasks_done: int
    responses: int
    unbalanced: int

    def holds(self, order: Order) -> bool:
        """Whether they are what the order says, and it is completed just when all its tasks are done."""
        stated = (order.tasks, order.tasks_done, order.responses)
        is_over = order.is_filled and order.tasks == order.tasks_done
        ended_well = order.status == "completed"
        fits = ended_well == is_over or order.status in ("created", "cancelled", "failed")
        return stated == (self.tasks, self.tasks_done, self.responses) and self.unbalanced == 0 and fits


class Tasks:
    """Tasks, leases on them, and responses.

    monotonic: the clock of leases, in tests; None takes the machine's, which no correction moves, and on PostgreSQL the database's.
    boot: names the boot of the machine; leases of another one have lapsed. orders: where an order is completed.
    """

    def __init__(
        self,
        database: Database,
        orders: Orders,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float] | None = None,
        boot: str | None = None,
    ) -> None:
        self._database = database
        self._orders = orders
        self._now = now
        self._monotonic = monotonic
        self._boot = boot or ("" if database.dialect == "postgres" else boot_id())

    # Handing out

    def next_task(
        self, tx: Transaction, order_id: str, annotator_id: str, ttl_seconds: float | None = None
    ) -> TaskLease | None:
        """Hand the annotator a task that it has neither answered nor skipped; None where there is none, or the order does not run.

        ttl_seconds: how long it is the annotator's; None takes the order's time limit.
        """
        order = lock_order(tx, order_id)
        annotator = read_annotator(tx, annotator_id)
        if order is None or annotator is None or annotator.order_id != order_id or order.status != "running":
            return None
        freed = self._lapse(tx, order)
        ttl = order.settings.lease_seconds if ttl_seconds is None else ttl_seconds
        if tx.value(QUERIES.held_leases, {"annotator_id": annotator_id}) >= MOST_HELD:
            return self._hand_again(tx, annotator, ttl)
        if annotator.exhausted_at == order.frees + freed:
            return None
        known = json.loads(annotator.marks) if order.tasks > _FEW else {}
        marks = {int(level): seq for level, seq in known.items()}
        seq = self._find(tx, order_id, annotator_id, marks)
        if seq is None and known:
            marks = {}
            seq = self._find(tx, order_id, annotator_id, marks)
        if seq is None:
            tx.execute(ANNOTATORS.note_exhausted, {"id": annotator_id, "frees": order.frees + freed})
            return None
        gold = self._gold_turn(tx, order, annotator)
        tx.execute(ANNOTATORS.note_handed, {"id": annotator_id, "marks": json.dumps(marks)})
        return self._lease(tx, order_id, seq if gold is None else gold, annotator_id, ttl)

    def renew(self, tx: Transaction, lease_id: str, ttl_seconds: float | None = None) -> TaskLease | None:
        """Begin the lease's time anew; None: it has lapsed or is gone, or the order does not run."""
        lease = self.lease(tx, lease_id)
        order = None if lease is None else lock_order(tx, lease.order_id)
        if order is None or order.status not in ("running", "paused"):
            return None
        ttl = order.settings.lease_seconds if ttl_seconds is None else ttl_seconds
        tx.execute(
            QUERIES.renew_lease,
            {"id": lease_id, "expires_ms": self._now_ms(tx) + int(ttl * 1000), "boot": self._boot},
        )
        return self.lease(tx, lease_id) if tx.changes == 1 else None

    def skip(self, tx: Transaction, lease_id: str, reason: str | None) -> bool:
        """Give the task back, never to be handed to this annotator again; False: the lease is gone."""
        found = self._locked(tx, lease_id)
        if found is None:
            return False
        lease, _ = found
        key = {"order_id": lease.order_id, "seq": lease.seq}
        tx.execute(
            QUERIES.insert_skip, {**key, "annotator_id": lease.annotator_id, "reason": reason, "now": self._now()}
        )
        tx.execute(QUERIES.delete_lease, {"id": lease_id})
        if not lease.has_lapsed:
            tx.execute(QUERIES.free_place, key)
        count_responses(tx, lease.order_id, frees=1)
        return True

    def lease(self, tx: Transaction, lease_id: str) -> TaskLease | None:
        """The lease as it stands, lapsed or not; None: there is none (any more)."""
        row = tx.one(QUERIES.get_lease, {"id": lease_id})
        if row is None:
            return None
        *members, expires_ms, boot, has_lapsed = row
        left = (expires_ms - self._now_ms(tx)) / 1000 if boot == self._boot else 0.0
        members += [self._now() + left, bool(has_lapsed)]
        return TaskLease(*members)

    def find_lease(self, lease_id: str) -> TaskLease | None:
        """``lease`` without a transaction at hand."""
        with self._database.read() as tx:
            return self.lease(tx, lease_id)

    # Answers

    def respond(self, tx: Transaction, lease_id: str, answer: Any, elapsed_ms: int | None = None) -> Responded | None:
        """Take the answer to a leased task; None: the lease is gone, or it has lapsed and the task needs no more answers.

        answer: JSON, of the form that the order's kind has. A held lease's answer is taken even where the order was paused meanwhile,
        or completed by an answer that came late.
        """
        found = self._locked(tx, lease_id)
        if found is None:
            return None
        lease, order = found
        task = self.task(tx, lease.order_id, lease.seq)
        assert task is not None
        is_wanted = not lease.has_lapsed or (task.state == "open" and not order.is_ended)
        if order.status not in ("running", "paused", "completed") or not is_wanted:
            return None
        tx.execute(QUERIES.delete_lease, {"id": lease_id})
        freed = 0 if lease.has_lapsed else 1
        return self._record(tx, order, task, lease.annotator_id, answer, elapsed_ms, leases=freed)

    def answer_as_model(self, tx: Transaction, order_id: str, annotator_id: str, answers: Iterable[ModelAnswer]) -> int:
        """Take a model's answers, which needs no leases; how many of them it had not given already."""
        order = lock_order(tx, order_id)
        taken = 0
        for datapoint_id, answer, elapsed_ms in answers:
            if order is None or order.status in ("cancelled", "failed"):
                break
            seq = tx.value(QUERIES.task_of_datapoint, {"order_id": order_id, "datapoint_id": datapoint_id})
            task = None if seq is None else self.task(tx, order_id, seq)
            if task is not None and self._record(tx, order, task, annotator_id, answer, elapsed_ms, leases=0):
                taken += 1
        return taken

    def undo(self, tx: Transaction, order_id: str, annotator_id: str) -> Undone | None:
        """Take back the annotator's last answer and hand it the task again; None: there is none, or the order does not run."""
        order = lock_order(tx, order_id)
        last = tx.one(QUERIES.last_response, {"annotator_id": annotator_id})
        if order is None or last is None or order.status != "running":
            return None
        seq, answer = last
        task = self.task(tx, order_id, seq)
        annotator = read_annotator(tx, annotator_id)
        if task is None or annotator is None or annotator.order_id != order_id:
            return None
        tx.execute(QUERIES.delete_response, {"order_id": order_id, "seq": seq, "annotator_id": annotator_id})
        self._count(tx, order, task, received=-1, leased=0)
        if task.is_gold:
            self._note_gold(tx, annotator_id, task, answer, -1)
        lease = self._lease(tx, order_id, seq, annotator_id, order.settings.lease_seconds)
        return Undone(lease, json.loads(answer))

    def _record(
        self,
        tx: Transaction,
        order: Order,
        task: Task,
        annotator_id: str,
        answer: Any,
        elapsed_ms: int | None,
        *,
        leases: int,
    ) -> Responded | None:
        key = {"order_id": task.order_id, "seq": task.seq}
        text = to_text(answer)
        tx.execute(
            QUERIES.insert_response,
            {**key, "annotator_id": annotator_id, "answer": text, "elapsed_ms": elapsed_ms, "now": self._now()},
        )
        if tx.changes != 1:  # it had answered already
            if leases:
                tx.execute(QUERIES.free_place, key)
            return None
        if task.is_gold:
            self._note_gold(tx, annotator_id, task, text, 1)
        is_done = self._count(tx, order, task, received=1, leased=-leases)
        has_completed = is_done and self._orders.complete(tx, order.id)
        return Responded(order.id, task.seq, annotator_id, is_done, has_completed)

    def _count(self, tx: Transaction, order: Order, task: Task, *, received: int, leased: int) -> bool:
        """Change what a task has received; whether it is done now. Its responses are as they are to be counted."""
        is_done = not task.is_gold and (
            (task.state == "done" and received > 0)
            or task.received + received >= task.needed
            or self._is_sure(tx, order, task)
        )
        state: TaskState = "done" if is_done else "open"
        key = {"order_id": task.order_id, "seq": task.seq}
        tx.execute(QUERIES.set_task, {**key, "received": received, "leased": leased, "state": state})
        done = (state == "done") - (task.state == "done")
        frees = 1 if received < 0 else 0
        count_responses(tx, order.id, responses=0 if task.is_gold else received, done=done, frees=frees)
        return is_done

    def _is_sure(self, tx: Transaction, order: Order, task: Task) -> bool:
        threshold = order.settings.confidence_threshold
        if threshold is None or task.choices is None:
            return False
        votes = list(tx.execute(QUERIES.votes_of, {"order_id": task.order_id, "seq": task.seq}))
        if len(votes) < _LEAST_CONFIDENT:
            return False
        number = {answer: place for place, answer in enumerate(dict.fromkeys(vote[0] for vote in votes))}
        weighed = [(number[answer], accuracy(right, asked)) for answer, right, asked in votes]
        return max(posterior(weighed, max(task.choices, len(number)))) >= threshold

    def _note_gold(self, tx: Transaction, annotator_id: str, task: Task, answer: str, asked: int) -> None:
        right = asked if answer == task.truth else 0
        tx.execute(ANNOTATORS.note_gold, {"id": annotator_id, "asked": asked, "right": right})

    # Reading

    def task(self, tx: Transaction, order_id: str, seq: int) -> Task | None:
        row = tx.one(QUERIES.get_task, {"order_id": order_id, "seq": seq})
        return None if row is None else Task(*row)

    def after(self, order_id: str, after_seq: int = -1, limit: int = 1_000) -> list[Task]:
        """Tasks in the order of their datapoints, those behind ``after_seq``."""
        values = {"order_id": order_id, "after": after_seq, "limit": limit}
        with self._database.read() as tx:
            return [Task(*row) for row in tx.execute(QUERIES.tasks_after, values)]

    def responses(self, order_id: str, after_seq: int, until_seq: int) -> list[Response]:
        """The answers to tasks behind ``after_seq`` up to ``until_seq``, by task and then as they came."""
        values = {"order_id": order_id, "after": after_seq, "until": until_seq}
        with self._database.read() as tx:
            rows = tx.execute(QUERIES.responses_between, values)
            return [Response(seq, who, json.loads(answer), *rest) for seq, who, answer, *rest in rows]

    def answered(self, order_id: str, after_seq: int = -1, limit: int = 1_000) -> list[int]:
        """The seqs of tasks that have responses, those behind ``after_seq``."""
        values = {"order_id": order_id, "after": after_seq, "limit": limit}
        with self._database.read() as tx:
            return [row[0] for row in tx.execute(QUERIES.answered_tasks, values)]

    def truths(self, order_id: str) -> dict[int, Any]:
        """What is right, of every gold task, by its seq."""
        with self._database.read() as tx:
            return {seq: json.loads(truth) for seq, truth in tx.execute(QUERIES.gold_truths, {"order_id": order_id})}

    def most_given(self, order_id: str, limit: int) -> list[tuple[Any, int]]:
        """The answers that were given most often, and how often."""
        with self._database.read() as tx:
            rows = tx.execute(QUERIES.answers_given, {"order_id": order_id, "limit": limit})
            return [(json.loads(answer), count) for answer, count in rows]

    def over_time(self, order_id: str, steps: int) -> list[tuple[float, int]]:
        """How many answers there were when, at the end of each of so many steps of equal length; none without answers."""
        with self._database.read() as tx:
            first, last = tx.one(QUERIES.answering_time, {"order_id": order_id}) or (None, None)
            if first is None:
                return []
            step = max((last - first) / steps, 0.001)
            rows = list(tx.execute(QUERIES.answers_over_time, {"order_id": order_id, "first": first, "step": step}))
        sums = accumulate(count for _, count in rows)
        return [
            (min(first + (number + 1) * step, last), so_far) for (number, _), so_far in zip(rows, sums, strict=True)
        ]

    def skips(self, order_id: str, after_seq: int, until_seq: int) -> list[Skip]:
        values = {"order_id": order_id, "after": after_seq, "until": until_seq}
        with self._database.read() as tx:
            return [Skip(*row) for row in tx.execute(QUERIES.skips_between, values)]

    def sums(self, order_id: str) -> OrderSums:
        """Count an order's sums anew, for who wants to know whether they hold."""
        with self._database.read() as tx:
            row = tx.one(QUERIES.counted, {"order_id": order_id})
        assert row is not None
        return OrderSums(*row)

    # Within a transaction that has locked the order

    def _locked(self, tx: Transaction, lease_id: str) -> tuple[TaskLease, Order] | None:
        """A lease and its order, as they stand once nobody else moves the order."""
        lease = self.lease(tx, lease_id)
        order = None if lease is None else lock_order(tx, lease.order_id)
        lease = self.lease(tx, lease_id)
        return None if lease is None or order is None else (lease, order)

    def _lapse(self, tx: Transaction, order: Order) -> int:
        """Free the places of leases whose time is up; how many."""
        values = {"order_id": order.id, "now_ms": self._now_ms(tx), "boot": self._boot, "limit": _LAPSED_AT_ONCE}
        lapsed = list(tx.execute(QUERIES.lapsed_leases, values))
        for lease_id, seq in lapsed:
            tx.execute(QUERIES.lapse_lease, {"id": lease_id})
            tx.execute(QUERIES.free_place, {"order_id": order.id, "seq": seq})
        if lapsed:
            count_responses(tx, order.id, frees=len(lapsed))
        return len(lapsed)

    def _find(self, tx: Transaction, order_id: str, annotator_id: str, marks: dict[int, int]) -> int | None:
        """The next task for the annotator, behind the marks, which are moved to where it was looked."""
        level = 0
        while True:
            at = {"order_id": order_id, "annotator_id": annotator_id}
            level = tx.value(QUERIES.next_level, {"order_id": order_id, "above": level})
            if level is None:
                return None
            seq: int | None = tx.value(QUERIES.next_of_level, {**at, "level": level, "after": marks.get(level, -1)})
            marks[level] = (
                tx.value(QUERIES.last_of_level, {"order_id": order_id, "level": level}) if seq is None else seq
            )
            if seq is not None:
                return seq

    def _gold_turn(self, tx: Transaction, order: Order, annotator: Annotator) -> int | None:
        """The gold task that the annotator is handed now; None where it is to have another."""
        if not order.gold_tasks or annotator.handed % order.settings.gold_every:
            return None
        seq: int | None = tx.value(QUERIES.next_gold, {"order_id": order.id, "annotator_id": annotator.id})
        return seq

    def _hand_again(self, tx: Transaction, annotator: Annotator, ttl_seconds: float) -> TaskLease | None:
        row = tx.one(QUERIES.oldest_held, {"annotator_id": annotator.id})
        if row is None:
            return None
        fence = _fence()
        tx.execute(
            QUERIES.refence_lease,
            {
                "id": row[0],
                "new_id": fence,
                "expires_ms": self._now_ms(tx) + int(ttl_seconds * 1000),
                "boot": self._boot,
                "now": self._now(),
            },
        )
        return self.lease(tx, fence)

    def _lease(self, tx: Transaction, order_id: str, seq: int, annotator_id: str, ttl_seconds: float) -> TaskLease:
        key = {"order_id": order_id, "seq": seq}
        tx.execute(QUERIES.drop_lapsed, {**key, "annotator_id": annotator_id})
        whole = {
            **key,
            "id": _fence(),
            "annotator_id": annotator_id,
            "expires_ms": self._now_ms(tx) + int(ttl_seconds * 1000),
            "boot": self._boot,
            "created_at": self._now(),
        }
        tx.execute(QUERIES.insert_lease, whole)
        tx.execute(QUERIES.take_place, key)
        lease = self.lease(tx, str(whole["id"]))
        assert lease is not None
        return lease

    def _now_ms(self, tx: Transaction) -> int:
        """Now on the clock of leases."""
        if self._monotonic is not None:
            return int(self._monotonic() * 1000)
        if self._database.dialect == "postgres":
            now: int = tx.value(QUERIES.now_ms)
            return now
        return int(time.monotonic() * 1000)


def _fence() -> str:
    """Random, so that knowing one lease's id helps nobody to another's."""
    return "tl_" + secrets.token_hex(16)
