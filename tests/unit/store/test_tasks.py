"""Tasks, leases and responses, on SQLite and on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from amends.database import Database, Duplicate
from amends.store import ORDER_TRANSITIONS, Asset, ModelAnswer, NewDatapoint, Store
from amends.store._tasks import MOST_HELD, Tasks
from amends.testing import FakeClock
from tests.orders import OPTIONS, WORKSPACE, Desk, new_order
from tests.postgres import database_of

TTL = 60.0


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database_of(request.param) as url:
        opened = Database.open(url or tmp_path_factory.mktemp("tasks") / "amends.db")
        yield opened
        opened.close()


def finish(desk: Desk, annotator_id: str, answer: str = "cat") -> list[int]:
    """Answer all there is for the annotator; the seqs in the order in which they were handed out."""
    seqs = []
    while lease := desk.next(annotator_id):
        assert desk.respond(lease, answer)
        seqs.append(lease.seq)
    return seqs


def test_an_order_of_two_annotators_is_completed_by_its_last_answer(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=3, responses_per_datapoint=2)
    assert desk.order.status == "created"
    assert (desk.run().tasks, desk.order.status) == (3, "running")
    ada, bob = desk.annotator("ada"), desk.annotator("bob")
    assert len(finish(desk, ada)) == 3
    assert desk.next(ada) is None
    desk.check()
    assert desk.order.status == "running"
    assert len(finish(desk, bob)) == 3
    order = desk.order
    assert (order.status, order.tasks_done, order.responses) == ("completed", 3, 6)
    assert desk.next(desk.annotator("eve")) is None
    desk.check()


def test_what_is_nearest_to_its_end_comes_first(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=4, responses_per_datapoint=2)
    desk.run()
    ada, bob = desk.annotator("ada"), desk.annotator("bob")
    first, second = desk.next(ada), desk.next(ada)
    assert first
    assert second
    assert (first.seq, second.seq) == (1, 2)
    assert desk.respond(second, "dog")
    lease = desk.next(bob)
    assert lease
    assert lease.seq == 2


def test_leases_never_come_to_more_than_a_task_needs(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=2)
    desk.run()
    people = [desk.annotator(name) for name in ("ada", "bob", "eve")]
    held = [desk.next(who) for who in people]
    assert [lease is not None for lease in held] == [True, True, False]
    desk.check()


def test_a_lease_that_lapses_returns_its_task_and_a_late_answer_is_taken_while_one_is_needed(
    database: Database, store: Store, clock: FakeClock
) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=1)
    desk.run()
    ada, bob, eve = (desk.annotator(name) for name in ("ada", "bob", "eve"))
    left = desk.next(ada, TTL)
    assert left
    assert desk.next(bob, TTL) is None
    clock.advance(TTL + 1)
    taken = desk.next(bob, TTL)
    assert taken
    assert taken.seq == left.seq
    assert desk.write(lambda tx: store.tasks.renew(tx, left.id)) is None
    assert desk.respond(left, "cat") is not None
    assert desk.order.status == "completed"
    # It was bob's turn, and his lease held: his answer is kept, too.
    assert desk.respond(taken, "cat") is not None
    assert desk.respond(taken, "cat") is None
    assert desk.respond(left, "cat") is None
    assert desk.order.responses == 2
    assert desk.next(eve) is None
    desk.check()


def test_a_late_answer_that_nobody_needs_is_refused(database: Database, store: Store, clock: FakeClock) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=1)
    desk.run()
    ada, bob = desk.annotator("ada"), desk.annotator("bob")
    left = desk.next(ada, TTL)
    clock.advance(TTL + 1)
    finish(desk, bob)
    assert left
    assert desk.respond(left, "dog") is None
    assert desk.order.responses == 1
    desk.check()


def test_a_renewed_lease_holds_on(database: Database, store: Store, clock: FakeClock) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=1)
    desk.run()
    ada, bob = desk.annotator("ada"), desk.annotator("bob")
    lease = desk.next(ada, TTL)
    assert lease
    for _ in range(3):
        clock.advance(TTL - 1)
        assert desk.write(lambda tx: store.tasks.renew(tx, lease.id, TTL))
    assert desk.next(bob) is None


def test_leases_of_another_boot_have_lapsed_whatever_the_clock_says(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=1)
    desk.run()
    ada, bob = desk.annotator("ada"), desk.annotator("bob")
    before = Tasks(database, store.orders, now=lambda: 1.0, monotonic=lambda: 1e9, boot="the one before")
    assert desk.write(lambda tx: before.next_task(tx, desk.order_id, ada, TTL))
    assert desk.next(bob)
    desk.check()


def test_a_skipped_task_comes_to_others_and_never_back(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=1)
    desk.run()
    ada, bob = desk.annotator("ada"), desk.annotator("bob")
    lease = desk.next(ada)
    assert lease
    assert desk.next(bob) is None
    assert desk.write(lambda tx: store.tasks.skip(tx, lease.id, "blurred"))
    assert not desk.write(lambda tx: store.tasks.skip(tx, lease.id, "blurred"))
    assert desk.respond(lease, "cat") is None
    assert desk.next(ada) is None
    assert desk.next(bob)
    assert [skip.reason for skip in store.tasks.skips(desk.order_id, -1, 100)] == ["blurred"]
    desk.check()


def test_the_last_answer_is_taken_back_and_its_task_handed_again(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=3, responses_per_datapoint=1)
    desk.run()
    ada = desk.annotator("ada")
    for answer in ("cat", "dog"):
        lease = desk.next(ada)
        assert lease
        assert desk.respond(lease, answer)
    undone = desk.write(lambda tx: store.tasks.undo(tx, desk.order_id, ada))
    assert (undone.answer, undone.lease.seq, desk.order.tasks_done) == ("dog", 2, 1)
    desk.check()
    assert desk.respond(undone.lease, "bird")
    assert [response.answer for response in store.tasks.responses(desk.order_id, 1, 2)] == ["bird"]
    again = desk.write(lambda tx: store.tasks.undo(tx, desk.order_id, ada))
    assert again.lease.seq == 2
    further = desk.write(lambda tx: store.tasks.undo(tx, desk.order_id, ada))
    assert further.lease.seq == 1
    assert desk.write(lambda tx: store.tasks.undo(tx, desk.order_id, ada)) is None
    desk.check()


def test_a_paused_order_hands_nothing_out_and_takes_what_is_under_way(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=2, responses_per_datapoint=1)
    desk.run()
    ada = desk.annotator("ada")
    lease = desk.next(ada)
    assert lease
    assert desk.move("paused")
    assert desk.next(ada) is None
    assert desk.write(lambda tx: store.tasks.undo(tx, desk.order_id, ada)) is None
    assert desk.respond(lease, "cat")
    assert desk.move("running")
    assert finish(desk, ada) == [2]
    assert desk.order.status == "completed"


def test_a_cancelled_order_takes_nothing_more(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=2)
    desk.run()
    lease = desk.next(desk.annotator("ada"))
    assert lease
    assert desk.move("cancelled")
    assert desk.respond(lease, "cat") is None
    assert desk.order.responses == 0


@pytest.mark.parametrize("status", ORDER_TRANSITIONS)
def test_an_order_goes_only_where_the_table_says(database: Database, store: Store, status: str) -> None:
    for wanted in ORDER_TRANSITIONS:
        desk = new_order(database, store, datapoints=1)
        reached = {"created": (), "running": ("running",), "paused": ("running", "paused")}.get(
            status, ("running", status)
        )
        for step in reached:
            assert desk.move(step)
        assert (desk.move(wanted) is not None) == (wanted in ORDER_TRANSITIONS[status])  # type: ignore[index]


def test_enough_agreement_ends_a_task_early(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=9, confidence_threshold=0.95)
    desk.run()
    for number, answer in enumerate(["cat", "dog", "cat", "cat"]):
        lease = desk.next(desk.annotator(f"annotator {number}"))
        assert lease
        found = desk.respond(lease, answer)
        assert found
        assert found.is_task_done == (number == 3)
    assert (desk.order.status, desk.order.responses) == ("completed", 4)


def test_one_answer_is_never_sure_enough(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=1, responses_per_datapoint=3, confidence_threshold=0.5)
    desk.run()
    lease = desk.next(desk.annotator("ada"))
    assert lease
    found = desk.respond(lease, "cat")
    assert found
    assert not found.is_task_done


def test_gold_tasks_come_in_between_weigh_and_do_not_count(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=8, gold=(0, 4), gold_every=3, responses_per_datapoint=1)
    order = desk.run()
    assert (order.tasks, order.gold_tasks) == (6, 2)
    ada = desk.annotator("ada")
    seqs = finish(desk, ada, "dog")
    assert seqs == [1, 2, 3, 5, 4, 6, 7, 8]
    found = store.annotators.get(ada)
    assert found
    assert (found.gold_asked, found.gold_right, desk.order.responses, desk.order.status) == (2, 0, 6, "completed")
    desk.check()


def test_many_gold_tasks_alone_are_nothing_to_be_asked(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=4, gold=(1, 2, 3), gold_every=1, responses_per_datapoint=1)
    desk.run()
    ada, bob = desk.annotator("ada"), desk.annotator("bob")
    lease = desk.next(ada)
    assert lease
    assert desk.respond(lease, OPTIONS[0])
    while (lease := desk.next(ada)) and lease.seq != 1:
        assert desk.respond(lease, OPTIONS[0])
    assert lease
    assert desk.respond(lease, "cat")
    assert desk.order.status == "completed"
    assert desk.next(bob) is None
    found = store.annotators.get(ada)
    assert found
    assert (found.gold_asked, found.gold_right) == (3, 3)


def test_a_model_answers_each_task_once_whether_or_not_it_is_needed(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=3, responses_per_datapoint=1)
    desk.run()
    ada = desk.annotator("ada")
    lease = desk.next(ada)
    assert lease
    assert desk.respond(lease, "dog")
    model = desk.write(
        lambda tx: store.annotators.add_model(
            tx, desk.order_id, "local/m", prompt=None, mode="live", request_id="req_1", created_by=None
        )
    )
    ids = [task.datapoint_id for task in store.tasks.after(desk.order_id)]
    answers = [ModelAnswer(datapoint_id, "cat", 3) for datapoint_id in [*ids, "dp_of_nobody"]]
    for expected in (3, 0):
        assert desk.write(lambda tx: store.tasks.answer_as_model(tx, desk.order_id, model.id, answers)) == expected
    assert (desk.order.responses, desk.order.status) == (4, "completed")
    with pytest.raises(Duplicate):
        desk.write(
            lambda tx: store.annotators.add_model(
                tx, desk.order_id, "local/m", prompt=None, mode="live", request_id="req_1", created_by=None
            )
        )
    desk.check()


def test_who_holds_too_many_tasks_is_handed_the_oldest_again(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=MOST_HELD + 3, responses_per_datapoint=1)
    desk.run()
    ada = desk.annotator("ada")
    held = [desk.next(ada) for _ in range(MOST_HELD)]
    again = desk.next(ada)
    assert held[0]
    assert again
    assert again.seq == held[0].seq
    assert desk.respond(held[0], "cat") is None  # the fence is another now
    assert desk.respond(again, "cat")
    desk.check()


def test_datapoints_added_later_do_not_belong_to_an_order(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=2, responses_per_datapoint=1)
    assert desk.write(lambda tx: store.orders.begin(tx, desk.order)) == 2
    late = [NewDatapoint("text", (Asset("text", text="late"),))]
    desk.write(lambda tx: store.datasets.add_datapoints(tx, desk.order.dataset_id, late))
    assert desk.run().tasks == 2


def test_a_large_order_is_filled_in_slices_and_not_completed_before(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=10, responses_per_datapoint=1)
    desk.write(lambda tx: store.orders.begin(tx, desk.order))
    desk.move("running")
    ada = desk.annotator("ada")
    assert desk.order_id in store.orders.unfilled()
    assert desk.next(ada) is None
    for filled in (4, 8, 10):
        assert desk.order.status == "running"
        assert desk.fill(4).tasks == filled
        finish(desk, ada)
    assert desk.order.status == "completed"
    assert desk.order_id not in store.orders.unfilled()


def test_what_cannot_be_asked_is_found_outside_of_a_transaction_and_what_came_since_within(
    database: Database, store: Store
) -> None:
    desk = new_order(database, store, datapoints=3, kind="compare", assets=2)
    assert store.orders.look_over(desk.definition) == (3, 0, None)
    alone = NewDatapoint("text", (Asset("text", text="alone"),))
    (added,) = desk.write(lambda tx: store.datasets.add_datapoints(tx, desk.definition.dataset_id, [alone]))
    assert desk.write(lambda tx: store.orders.unfit(tx, desk.definition, 3)) == (1, added.id)
    assert store.orders.look_over(desk.definition) == (4, 1, added.id)
    assert store.orders.look_over(replace(desk.definition, kind="free_text")) == (4, 0, None)


def test_answers_are_counted_by_what_was_said_and_by_when(database: Database, store: Store, clock: FakeClock) -> None:
    desk = new_order(database, store, datapoints=4, responses_per_datapoint=2)
    assert store.tasks.over_time(desk.order_id, 10) == []
    desk.run()
    began = clock.time()
    for name in ("ada", "bob"):
        annotator = desk.annotator(name)
        for _ in range(3):
            desk.respond(desk.next(annotator), OPTIONS[0] if name == "ada" else OPTIONS[1])
            clock.advance(10.0)
    assert store.tasks.most_given(desk.order_id, 5) == [(OPTIONS[0], 3), (OPTIONS[1], 3)]
    assert store.tasks.most_given(desk.order_id, 1) == [(OPTIONS[0], 3)]
    assert store.tasks.over_time(desk.order_id, 5) == [
        (pytest.approx(began + at), count) for at, count in ((10, 1), (20, 2), (30, 3), (40, 4), (50, 5), (50, 6))
    ]
    assert store.tasks.answered(desk.order_id, after_seq=1, limit=1) == [2]


def test_an_invitation_opens_its_order_until_the_next_one(database: Database, store: Store) -> None:
    desk = new_order(database, store)
    first = desk.write(lambda tx: store.orders.invite(tx, desk.order_id))
    assert store.orders.by_invitation(first) == desk.order
    second = desk.write(lambda tx: store.orders.invite(tx, desk.order_id))
    assert store.orders.by_invitation(first) is None
    assert store.orders.by_invitation(second) == desk.order
    assert store.orders.by_invitation("guessed") is None


def test_an_account_and_a_guest_of_one_name_are_two(database: Database, store: Store) -> None:
    desk = new_order(database, store)
    account = desk.annotator("Ada", user_id="user 1")
    guest = desk.annotator("Ada")
    assert account != guest
    assert desk.annotator("Ada Lovelace", user_id="user 1") == account
    assert desk.annotator("Ada") == guest
    assert [one.id for one in store.annotators.of_order(desk.order_id)] == sorted([account, guest])


def test_orders_and_definitions_are_found_by_their_name_and_workspace(database: Database, store: Store) -> None:
    desk = new_order(database, store)
    name = desk.definition.name
    assert store.orders.find(WORKSPACE, limit=5, name=name.upper())[0] == desk.order
    assert store.job_definitions.find(WORKSPACE, limit=5, name=name)[0] == desk.definition
    assert store.orders.find(WORKSPACE, limit=5, name="%") == []
    assert store.orders.find("ws_b", limit=5) == []
    assert store.job_definitions.get("ws_b", desk.definition.id) is None
    assert store.orders.find(WORKSPACE, limit=5, status="created", definition_id=desk.definition.id) == [desk.order]


def test_many_at_once_get_different_tasks_and_complete_the_order_once(database: Database, store: Store) -> None:
    desk = new_order(database, store, datapoints=12, responses_per_datapoint=2)
    desk.run()
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda number: finish(desk, desk.annotator(f"annotator {number}")), range(6)))
    for seqs in done:
        assert len(seqs) == len(set(seqs))
    assert sum(map(len, done)) == desk.order.responses == 24
    assert desk.order.status == "completed"
    desk.check()


def test_the_next_task_of_who_answered_thousands_is_as_quick_as_the_first(database: Database, store: Store) -> None:
    is_quick = database.dialect == "sqlite"  # whose work is this process's own, so that its time can be told
    desk = new_order(database, store, datapoints=4_000, responses_per_datapoint=2)
    desk.run()
    ada = desk.annotator("ada")

    def answer(count: int) -> float:
        started = time.process_time()
        for _ in range(count):
            lease = desk.next(ada)
            assert lease
            assert desk.respond(lease, "cat")
        return time.process_time() - started

    answer(20)
    early = answer(50)
    steps = 1_500 if is_quick else 50

    def skip_ahead(tx: object) -> None:
        for _ in range(steps):
            lease = store.tasks.next_task(tx, desk.order_id, ada)  # type: ignore[arg-type]
            assert lease
            store.tasks.respond(tx, lease.id, "dog")  # type: ignore[arg-type]

    database.write(skip_ahead)
    assert answer(50) < early * 3 + 0.2
