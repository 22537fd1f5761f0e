"""The engine with real supervisors and real children."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from amends.blobs import LocalBlobs
from amends.engine import Engine, EngineSettings
from amends.engine.executor import Slot
from amends.engine.local import LocalExecutor
from amends.ledger import Ledger, MemoryLedger, NewItem, NewRun, filled_lines
from tests.engines import ROOT, ended, lines, own_ledger, running_engine, submit, until


@pytest.fixture(autouse=True)
def _workers_can_import_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with own_ledger(tmp_path) as ledger:
        yield ledger


def error(line: dict[str, Any]) -> str:
    code: str = line["error"]["error_code"]
    return code


def test_every_item_gets_its_result_and_the_run_its_manifest(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path) as engine:
        run_id = submit(ledger, [{"behaves": "echoes", "n": n} for n in range(3_000)])
        engine.wake()
        run = ended(ledger, run_id)
    assert run.state == "completed"
    assert run.counts.succeeded == 3_000
    found = lines(ledger, run_id)
    assert [found[f"c{n}"]["output"]["input"]["n"] for n in range(3_000)] == list(range(3_000))
    stream = b"".join(chunk.lines for chunk in _chunks(ledger, run_id))
    manifest = ledger.manifest(run_id)
    assert manifest is not None
    assert manifest.sha256 == hashlib.sha256(stream).hexdigest()
    assert (manifest.lines, len(manifest.sections)) == (3_000, 1)


def _chunks(ledger: Ledger, run_id: str) -> Iterator[Any]:
    after = -1
    while (chunk := ledger.results(run_id, after=after)).last is not None:
        after = chunk.last
        yield chunk


def test_failures_of_items_are_typed_and_alone(ledger: Ledger, tmp_path: Path) -> None:
    behaviours = ["fine", "raises", "refuses", "says_nothing", "prints", "fine"]
    for batch_size in (1, 4):
        with running_engine(ledger, tmp_path) as engine:
            run_id = submit(
                ledger, [{"behaves": b} for b in behaviours], f"bpred_{batch_size}", params={"batch_size": batch_size}
            )
            engine.wake()
            run = ended(ledger, run_id)
        assert (run.state, run.counts.succeeded, run.counts.errored) == ("completed", 3, 3)
        found = lines(ledger, run_id)
        assert error(found["c1"]) == error(found["c3"]) == "BATCH_ITEM_PROCESSING_FAILED"
        assert "secret" not in str(found["c1"])
        assert error(found["c2"]) == "DOCUMENT_CORRUPTED"
        assert found["c2"]["error"]["instance"] == f"/v1/batch-predictions/{run_id}/items/c2"


def test_a_run_that_no_processor_serves_ends_with_that_as_its_items_failure(ledger: Ledger, tmp_path: Path) -> None:
    ledger.open_run(NewRun("run_train", "ws", "train", "none", b"{}", time.time()))
    ledger.append("run_train", [NewItem("c0", b"{}", b"")])
    ledger.seal("run_train", validate=True)
    with running_engine(ledger, tmp_path):
        run = ended(ledger, "run_train")
    assert (run.state, run.counts.errored) == ("completed", 1)
    failure = lines(ledger, "run_train")["c0"]["error"]
    assert failure["detail"] == "No processor for runs of kind 'train' is installed here"
    assert (failure["error_code"], failure["remedy"]["fault"]) == ("BATCH_ITEM_PROCESSING_FAILED", "service")


def test_a_failure_that_may_pass_is_tried_again(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path) as engine:
        run_id = submit(ledger, [{"behaves": "flaky", "marker": str(tmp_path / "marker")}, {}])
        engine.wake()
        ended(ledger, run_id)
    found = lines(ledger, run_id)
    assert (found["c0"]["status"], found["c0"]["attempts"], found["c1"]["attempts"]) == ("succeeded", 2, 1)
    record = ledger.item(run_id, "c0")
    assert record is not None
    assert [attempt.number for attempt in record.attempts] == [1]


def test_long_lines_become_blobs_and_endless_ones_failures(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path) as engine:
        run_id = submit(ledger, [{"behaves": "long", "bytes": n} for n in (10, 100_000, 17 << 20)])
        engine.wake()
        ended(ledger, run_id)
    chunk = ledger.results(run_id)
    assert re.search(rb"@[0-9a-f]{64}\n", chunk.lines)
    whole = b"".join(filled_lines(chunk.lines, LocalBlobs(tmp_path / "blobs").get))
    assert len(whole.splitlines()[1]) > 100_000
    assert b'"error_code":"PAYLOAD_TOO_LARGE"' in whole.splitlines()[2]
    manifest = ledger.manifest(run_id)
    assert manifest is not None
    assert manifest.sha256 == hashlib.sha256(whole).hexdigest()


def test_a_finished_item_does_not_wait_for_the_slow_one_behind_it(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path, workers=1, flush_seconds=0.1) as engine:
        run_id = submit(
            ledger, [{}] * 3 + [{"behaves": "slow", "seconds": 30}], params={"batch_size": 4, "opened_file": None}
        )
        engine.wake()
        until(lambda: ledger.results(run_id).count == 3, 20)


def test_validation_ends_bad_items_and_a_strict_run(ledger: Ledger, tmp_path: Path) -> None:
    inputs = [{}, {"behaves": "bad"}, {"behaves": "breaks validation"}, {}]
    with running_engine(ledger, tmp_path) as engine:
        lenient = submit(ledger, inputs, "bpred_1", validate=True)
        strict = submit(ledger, inputs, "bpred_2", validate=True, validation="strict")
        engine.wake()
        assert ended(ledger, lenient).counts.succeeded == 2
        run = ended(ledger, strict)
    assert (run.state, run.counts.errored) == ("failed", 4)
    assert run.error is not None
    assert [fault.custom_id for fault in run.error.errors] == ["c1"]
    found = lines(ledger, strict)
    assert [error(found[f"c{n}"]) for n in range(4)] == [
        "BATCH_VALIDATION_FAILED",
        "UNSUPPORTED_FILE_FORMAT",
        "BATCH_VALIDATION_FAILED",
        "BATCH_VALIDATION_FAILED",
    ]


def test_cancelling_stops_what_runs_at_once(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path) as engine:
        run_id = submit(ledger, [{"behaves": "slow", "seconds": 120}] * 5)
        engine.wake()
        until(lambda: any(worker.run_id for worker in engine.workers()))
        ledger.cancel(run_id)
        engine.wake()
        run = ended(ledger, run_id, 20)
        assert (run.state, run.counts.canceled) == ("cancelled", 5)
        after = submit(ledger, [{}], "bpred_2")
        engine.wake()
        assert ended(ledger, after).counts.succeeded == 1


def test_the_deadline_expires_what_is_left(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path) as engine:
        run_id = submit(ledger, [{}, *[{"behaves": "slow", "seconds": 120}] * 3], deadline=time.time() + 2)
        engine.wake()
        run = ended(ledger, run_id, 30)
    assert run.state == "expired"
    assert run.counts.expired >= 3
    assert error(lines(ledger, run_id)["c3"]) == "BATCH_EXPIRED"


def test_a_killed_supervisor_or_child_costs_nothing_but_time(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path, ttl_seconds=2.0) as engine:
        run_id = submit(ledger, [{"behaves": "slow", "seconds": 0.005}] * 600)
        engine.wake()
        killed = 0
        while not (run := ledger.get(run_id)) or run.counts.ended < 450:
            workers = [w for w in engine.workers() if w.child_pid and w.run_id]
            if workers and run and run.counts.ended > killed * 60:
                victim = workers[killed % len(workers)]
                pid = victim.child_pid if killed % 2 else victim.pid
                assert pid is not None
                _kill(pid)
                killed += 1
            time.sleep(0.02)
        run = ended(ledger, run_id)
    assert killed >= 3
    assert (run.state, run.counts.succeeded) == ("completed", 600)
    assert len(lines(ledger, run_id)) == 600


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was quicker


def test_a_frozen_worker_is_replaced_and_its_late_work_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path, workers=1, ttl_seconds=1.0) as engine:
        run_id = submit(ledger, [{"behaves": "slow", "seconds": 0.3}] * 5)
        engine.wake()
        worker = until(lambda: next((w for w in engine.workers() if w.run_id and w.child_pid), None))
        os.kill(worker.pid, signal.SIGSTOP)
        run = ended(ledger, run_id)
        assert worker.worker_id not in [w.worker_id for w in engine.workers()]
        until(lambda: not psutil.pid_exists(worker.child_pid))
    assert (run.state, run.counts.succeeded) == ("completed", 5)


def test_shutdown_finishes_what_runs_and_gives_the_rest_back(ledger: Ledger, tmp_path: Path) -> None:
    run_id = "bpred_1"
    with running_engine(ledger, tmp_path) as engine:
        submit(ledger, [{"behaves": "slow", "seconds": 0.2}] * 200, run_id)
        engine.wake()
        until(lambda: ledger.results(run_id).count)
        pids = engine.pids()
        engine.close(10)
        place = ledger.conservation(run_id)
        assert place.leased == 0
        assert 0 < place.outcomes < 200
        assert place.holds
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_worker_that_is_asked_to_end_drains_and_is_replaced(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path, workers=1) as engine:
        run_id = submit(ledger, [{"behaves": "slow", "seconds": 0.1}] * 20)
        engine.wake()
        worker = until(lambda: next((w for w in engine.workers() if w.run_id and w.child_pid), None))
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.child_pid, signal.SIGTERM)
        run = ended(ledger, run_id)
        assert worker.worker_id not in [w.worker_id for w in engine.workers()]
    assert run.counts.succeeded == 20
    records = [ledger.item(run_id, f"c{n}") for n in range(20)]
    assert not any(record.deaths for record in records if record is not None)


def test_a_grace_that_is_over_ends_the_item_without_blaming_it(ledger: Ledger, tmp_path: Path) -> None:
    with running_engine(ledger, tmp_path, workers=1) as engine:
        run_id = submit(ledger, [{"behaves": "slow", "seconds": 100}])
        engine.wake()
        until(lambda: any(worker.run_id for worker in engine.workers()))
        started = time.monotonic()
        engine.close(0.5)
        assert time.monotonic() - started < 10
    record = ledger.item(run_id, "c0")
    assert record is not None
    assert (record.place, record.deaths) == ("pending", 0)


def test_a_worker_that_is_being_started_does_not_hold_up_the_end(tmp_path: Path) -> None:
    class Late(LocalExecutor):
        """Starts its worker only when the engine has looked for workers and found none, as after a signal to the group."""

        def __init__(self) -> None:
            super().__init__()
            self.is_starting, self.was_closed = threading.Event(), threading.Event()

        def start(self, slot: Slot) -> str:
            self.is_starting.set()
            assert self.was_closed.wait(10)
            return super().start(slot)

        def close(self) -> None:
            super().close()
            self.was_closed.set()

    executor = Late()
    engine = Engine(MemoryLedger(), executor, blobs=tmp_path / "blobs", settings=EngineSettings(workers=1))
    engine.start()
    assert executor.is_starting.wait(10)
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    assert not executor.capacity()["workers"]


def test_workers_end_with_their_owner(tmp_path: Path) -> None:
    """kill -9 of the owner leaves nobody behind."""
    script = (
        "import sys, time; from pathlib import Path; from tests.engines import *; from amends.ledger import MemoryLedger\n"
        "ledger = MemoryLedger(); directory = Path(sys.argv[1])\n"
        "with running_engine(ledger, directory) as engine:\n"
        "    submit(ledger, [{'behaves': 'slow', 'seconds': 100}] * 4); engine.wake()\n"
        "    until(lambda: len(engine.pids()) == 4 and all(w.run_id for w in engine.workers()))\n"
        "    print(*engine.pids(), flush=True); time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 4
        owner.kill()
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 20)


def test_what_an_item_started_dies_with_its_child(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    pid_file = tmp_path / "pid"
    with running_engine(ledger, tmp_path, workers=1) as engine:
        run_id = submit(ledger, [{"behaves": "spawns", "pid_file": str(pid_file)}])
        engine.wake()
        helper = until(lambda: pid_file.exists() and pid_file.read_text())
        ledger.cancel(run_id)
        engine.wake()
        ended(ledger, run_id, 20)
        until(lambda: not psutil.pid_exists(int(helper)) or psutil.Process(int(helper)).status() == "zombie", 20)
