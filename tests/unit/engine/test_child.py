"""The child's parts, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amends.blobs import LocalBlobs
from amends.engine._loading import Processors, UnknownKind
from amends.engine._wire import Begin, Results
from amends.engine.child import Assignment, Opener, Outbox
from amends.engine.processor import Job, Result, Succeeded, Surroundings, WorkItem
from amends.ledger import LeasedItem, Outcome, line_members, pack_items
from amends.problems import Problem, problem

BEGIN = Begin("bpred_1", "predict", "live", b'{"prompt":"p"}', "req_1", "http://x", 4)


class Scripted:
    """A session that does what a function says; remembers the sizes of the batches it was given."""

    def __init__(self, script: Any) -> None:
        self._script = script
        self.batches: list[int] = []

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        self.batches.append(len(items))
        yield from self._script(job, items)

    def close(self) -> None: ...


def work(session: Any, payloads: Sequence[bytes], directory: Path) -> tuple[list[Results], dict[int, dict[str, Any]]]:
    """Work on one chunk; what was sent, and the lines by seq."""
    sent: list[Results] = []
    outbox = Outbox(sent.append)
    packed = pack_items(LeasedItem(n, f"c{n}", payload) for n, payload in enumerate(payloads))
    outbox.begin(1)
    Assignment(BEGIN, session, LocalBlobs(directory), 5).work_on(packed, outbox)
    outbox.finish()
    outcomes = [outcome for results in sent for outcome in msgspec.msgpack.decode(results.outcomes, type=list[Outcome])]
    assert len({outcome.seq for outcome in outcomes}) == len(outcomes)
    return sent, {outcome.seq: line_members(b"{" + outcome.line) for outcome in outcomes}


def fine(job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
    for item in reversed(items):
        yield Succeeded(item.seq, json.dumps({"key": item.key, "prompt": job.params["prompt"]}).encode())


def test_items_go_in_batches_and_are_answered_in_any_order(tmp_path: Path) -> None:
    session = Scripted(fine)
    sent, found = work(session, [b"{}"] * 10, tmp_path)
    assert session.batches == [4, 4, 2]
    assert sorted(seq for results in sent for seq in results.seqs) == list(range(10))
    assert found[7]["output"] == {"key": "bpred_1:7", "prompt": "p"}
    assert [results.is_last for results in sent] == [False] * (len(sent) - 1) + [True]


def test_an_exception_in_a_batch_hands_the_unanswered_again_singly(tmp_path: Path) -> None:
    def second_breaks(job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        for item in items:
            if item.seq == 1:
                raise RuntimeError("secret")
            yield Succeeded(item.seq, b"{}")

    session = Scripted(second_breaks)
    _, found = work(session, [b"{}"] * 4, tmp_path)
    assert session.batches == [4, 1, 1, 1]
    assert [found[n]["status"] for n in range(4)] == ["succeeded", "errored", "succeeded", "succeeded"]
    assert "secret" not in str(found[1])


def test_an_answer_given_twice_or_for_nobody_harms_nobody(tmp_path: Path) -> None:
    def confused(job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        yield Succeeded(99, b"{}")
        for item in items:
            yield Succeeded(item.seq, b'{"n":1}')
            yield Succeeded(item.seq, b'{"n":2}')

    _, found = work(Scripted(confused), [b"{}"] * 2, tmp_path)
    assert [line["output"] for line in found.values()] == [{"n": 1}, {"n": 1}]


def test_long_payloads_come_from_blobs(tmp_path: Path) -> None:
    sha256 = LocalBlobs(tmp_path).put(b'{"input":"long"}').sha256

    def echo(job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        yield from (Succeeded(item.seq, item.payload) for item in items)

    _, found = work(Scripted(echo), [b"@" + sha256.encode(), b"@" + b"0" * 64], tmp_path)
    assert found[0]["output"] == {"input": "long"}
    assert found[1]["error"]["error_code"] == "BATCH_ITEM_PROCESSING_FAILED"


def test_a_processor_that_cannot_be_opened_fails_every_item_with_its_problem(tmp_path: Path) -> None:
    surroundings = Surroundings(tmp_path, tmp_path)
    opener = Opener(Processors({"gone": "no_such_module:Factory"}), surroundings)
    session = opener.session("gone")
    assert isinstance(session, Problem)
    _, found = work(session, [b"{}"] * 2, tmp_path)
    assert {line["status"] for line in found.values()} == {"errored"}
    assert isinstance(opener.session("unheard of"), Problem)


def test_a_failure_that_may_pass_is_deferred_with_its_record(tmp_path: Path) -> None:
    sent, found = work(problem("upstream_failed", provider="p"), [b"{}"], tmp_path)
    assert found == {}
    (deferral,) = sent[0].deferred
    assert (deferral.seq, deferral.attempts) == (0, 1)
    assert deferral.delay_seconds > 0
    assert json.loads(sent[0].attempts[0].problem)["error_code"] == "UPSTREAM_ERROR"


def test_kinds_nobody_serves_are_said_so() -> None:
    with pytest.raises(UnknownKind, match="train"):
        Processors({})["train"]
