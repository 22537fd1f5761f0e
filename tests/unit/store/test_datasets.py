"""Datasets in the store, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from amends.database import Database
from amends.store import Asset, Content, DatasetRecord, Fetched, NewDatapoint, Store, WaitingOutcome

NOW = 1_800_000_000.0
CAT = Content("ca" * 32, "image/png", 900, 30, 20)
DOG = Content("d0" * 32, "image/jpeg", 800, 64, 48)
URL = "https://example.org/cat.png"


@pytest.fixture
def dataset(database: Database, store: Store) -> DatasetRecord:
    made = DatasetRecord("ds_1", "ws_a", "cats", "key_1", NOW)
    assert database.write(lambda tx: store.datasets.add(tx, made))
    return made


def image(content: Content = CAT, filename: str | None = "cat.png") -> Asset:
    return Asset(
        "file", content.sha256, content.media_type, content.bytes, filename, width=content.width, height=content.height
    )


def datapoint(*assets: Asset, **members: object) -> NewDatapoint:
    return replace(NewDatapoint("media", assets or (image(),)), **members)  # type: ignore[arg-type]


def text(words: str) -> NewDatapoint:
    return NewDatapoint("text", (Asset("text", text=words),))


def test_a_name_is_had_once_a_workspace_and_free_again_when_the_dataset_is_deleted(
    database: Database, store: Store, dataset: DatasetRecord
) -> None:
    again = replace(dataset, id="ds_2")
    assert not database.write(lambda tx: store.datasets.add(tx, again))
    assert database.write(lambda tx: store.datasets.add(tx, replace(again, id="ds_3", workspace_id="ws_b")))
    assert not database.write(lambda tx: store.datasets.delete(tx, "ws_b", dataset.id))
    assert database.write(lambda tx: store.datasets.delete(tx, "ws_a", dataset.id))
    assert store.datasets.get("ws_a", dataset.id) is None
    assert database.write(lambda tx: store.datasets.add(tx, again))
    assert store.datasets.named("ws_a", "cats") == again
    assert [found.id for found in store.datasets.find("ws_a", limit=9)] == ["ds_2"]


def test_datapoints_come_back_whole_and_in_order(database: Database, store: Store, dataset: DatasetRecord) -> None:
    whole = datapoint(
        image(),
        Asset("url", DOG.sha256, "image/jpeg", 800, "dog.jpg", url="https://example.org/dog.jpg"),
        context="Which is “better”?\n\\ 'é'",
        media_context=(image(DOG, None),),
        private_metadata={"row": 7, "nested": {"a": [None, 1.5, "ü"]}},
        group="b",
        answer_options=("yes", "no"),
    )
    added = database.write(lambda tx: store.datasets.add_datapoints(tx, dataset.id, [whole, text("A sentence.")]))
    assert added is not None
    first, second = store.datasets.datapoints(dataset.id)
    assert [(one.id, one.seq) for one in (first, second)] == [(added[0].id, 1), (added[1].id, 2)]
    assert all(one.is_new for one in added)
    members = (
        "data_type",
        "assets",
        "context",
        "media_context",
        "sentence",
        "private_metadata",
        "group",
        "answer_options",
    )
    assert {name: getattr(first, name) for name in members} == {name: getattr(whole, name) for name in members}
    assert first.identity == whole.identity
    assert store.datasets.datapoint("ws_a", first.id) == first
    assert store.datasets.datapoint("ws_b", first.id) is None
    assert store.datasets.datapoints(dataset.id, after_seq=1) == [second]
    assert store.datasets.newest_datapoints(dataset.id, limit=1) == [second]
    assert store.datasets.newest_datapoints(dataset.id, limit=9, after=second.id) == [first]
    assert store.datasets.count(dataset.id) == 2
    assert NewDatapoint.from_json(whole.to_json()) == whole


def test_the_same_again_is_the_one_that_stands(database: Database, store: Store, dataset: DatasetRecord) -> None:
    def add(*given: NewDatapoint) -> list[tuple[str, bool]]:
        added = database.write(lambda tx: store.datasets.add_datapoints(tx, dataset.id, given))
        assert added is not None
        return [(one.id, one.is_new) for one in added]

    first, twin = add(datapoint(), datapoint())
    assert (twin[0], first[1], twin[1]) == (first[0], True, False)
    same = datapoint(image(CAT, "renamed.png"), private_metadata={"new": True}, answer_options=("a", "b"))
    others = [datapoint(context="c"), datapoint(sentence="c"), datapoint(group="c"), datapoint(media_context=(image(DOG),)),
              datapoint(image(DOG)), datapoint(image(), image(DOG)), datapoint(image(DOG), image())]  # fmt: skip
    found = add(same, *others)
    assert found[0] == (first[0], False)
    assert [is_new for _, is_new in found[1:]] == [True] * len(others)
    assert len({id for id, _ in found}) == len(found)
    assert [one.seq for one in store.datasets.datapoints(dataset.id)] == list(range(1, len(found) + 1))


def test_many_at_once_number_their_datapoints_without_a_gap(
    database: Database, store: Store, dataset: DatasetRecord
) -> None:
    def add(number: int) -> int:
        given = [text(f"{number % 4}-{line}") for line in range(300)]
        added = database.write(lambda tx: store.datasets.add_datapoints(tx, dataset.id, given))
        assert added is not None
        return sum(one.is_new for one in added)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(add, range(8))) == 1_200
    assert store.datasets.count(dataset.id) == 1_200
    seqs = [one.seq for one in store.datasets.datapoints(dataset.id, limit=2_000)]
    assert seqs == list(range(1, 1_201))


def test_contents_are_known_to_their_workspace_alone_and_used_until_the_dataset_is_cleared(
    database: Database, store: Store, dataset: DatasetRecord
) -> None:
    for _ in range(2):
        database.write(lambda tx: store.datasets.add_contents(tx, dataset.id, "ws_a", [CAT, DOG, CAT]))
    database.write(lambda tx: store.datasets.add_datapoints(tx, dataset.id, [datapoint(), text("b")]))
    digests = [CAT.sha256, DOG.sha256, "ff" * 32]
    assert store.datasets.contents("ws_a", digests) == {CAT.sha256: CAT, DOG.sha256: DOG}
    assert store.datasets.contents("ws_b", digests) == {}
    assert store.datasets.used(digests) == {CAT.sha256, DOG.sha256}
    database.write(lambda tx: store.datasets.delete(tx, "ws_a", dataset.id))
    assert store.datasets.used(digests)
    assert store.datasets.deleted() == [dataset.id]
    assert database.write(lambda tx: store.datasets.add_datapoints(tx, dataset.id, [text("late")])) is None
    while database.write(lambda tx: store.datasets.clear(tx, dataset.id, limit=1)):
        pass
    assert (store.datasets.used(digests), store.datasets.deleted()) == (set(), [])
    assert store.datasets.datapoints(dataset.id) == []


def test_what_waits_for_urls_is_settled_once_they_are_taken_over(
    database: Database, store: Store, dataset: DatasetRecord
) -> None:
    gone = "https://example.org/gone.png"
    given = [(0, datapoint(Asset("url", url=URL))), (4, datapoint(Asset("url", url=gone)))]
    database.write(lambda tx: store.fetches.begin(tx, "run_1", dataset.id, "ws_a", [URL, gone], given))
    (fetch,) = store.fetches.unsettled()
    assert (fetch.run_id, fetch.read_to, store.fetches.get("ws_b", "run_1")) == ("run_1", -1, None)
    assert store.fetches.urls("run_1", [0, 1]) == {0: URL, 1: gone}

    def take_over() -> None:
        def work(tx: object) -> None:
            store.datasets.add_contents(tx, dataset.id, "ws_a", [CAT])  # type: ignore[arg-type]
            store.fetches.take_over(tx, fetch, {URL: Fetched(CAT, "cat.png")}, {1: {"status": 422}}, 2)  # type: ignore[arg-type]

        database.write(work)

    take_over()
    take_over()  # as after a crash that lost the memory of it
    with database.read() as tx:
        assert store.fetches.fetched(tx, dataset.id, [URL, gone]) == {URL: Fetched(CAT, "cat.png")}
        assert store.fetches.problems(tx, "run_1", [URL, gone]) == {gone: {"status": 422}}
        assert store.fetches.waiting(tx, "run_1", 9) == given
    outcomes = [
        WaitingOutcome(0, "created", "dp_1", None, None),
        WaitingOutcome(4, "failed", None, {"status": 422}, "/assets/0"),
    ]
    assert not database.write(lambda tx: store.fetches.finish(tx, "run_1"))
    database.write(lambda tx: store.fetches.settle(tx, "run_1", outcomes))
    database.write(lambda tx: store.fetches.settle(tx, "run_1", [outcomes[0]._replace(status="failed")]))
    assert store.fetches.outcomes("run_1") == outcomes
    assert database.write(lambda tx: store.fetches.finish(tx, "run_1"))
    assert store.fetches.unsettled() == []
    assert database.write(lambda tx: store.fetches.forget_outdated(tx, before=NOW)) == 0
    assert database.write(lambda tx: store.fetches.forget_outdated(tx, before=NOW + 1)) == 1
    assert store.fetches.get("ws_a", "run_1") is None
