"""A worker or the owner stands still past the time to live of its leases, and then goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from amends.database import Database
from amends.engine import Engine, EngineSettings, LocalExecutor
from amends.ledger import Answer, Commit, SqliteLedger, Step
from tests.engines import ROOT, ended, lines, submit
from tests.hostile import PROCESSORS
from tests.killing import CHILD, EXTRACT, SUPERVISOR, Witness, local_client, note, processes_of, until
from tests.servers import server_process


class PowerlessExecutor(LocalExecutor):
    """One that cannot kill a worker whose lease lapsed: its node does not answer."""

    def stop(self, worker_id: str, grace_seconds: float) -> None: ...


class WatchedLedger(SqliteLedger):
    """Writes down which reports were refused because their lease had gone."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.refused: list[str] = []

    def perform(self, steps: Sequence[Step]) -> Sequence[Answer]:
        answers = super().perform(steps)
        for step, answer in zip(steps, answers, strict=True):
            if isinstance(step, Commit) and answer is False:
                self.refused.append(step.lease_id)
        return answers

    def commit(self, commit: Commit) -> bool:
        is_held = super().commit(commit)
        if not is_held:
            self.refused.append(commit.lease_id)
        return is_held


@pytest.mark.timeout(60)
def test_what_a_thawed_worker_reports_late_is_refused_and_the_next_run_is_its_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    database = Database.open(tmp_path / "amends.db")
    ledger = WatchedLedger(database)
    engine = Engine(
        ledger,
        PowerlessExecutor(),
        blobs=tmp_path / "blobs",
        processors=PROCESSORS,
        settings=EngineSettings(workers=2, ttl_seconds=1.0, flush_seconds=0.0),  # every result is reported at once
    )
    engine.start()
    try:
        until(lambda: len(engine.pids()) == 4)
        # One that is frozen just between two leases has nothing to report late; then another is.
        for number in range(5):
            first = submit(ledger, [{"behaves": "slow", "seconds": 0.02}] * 120, f"bpred_first_{number}")
            engine.wake()
            # Its child then has items in hand, answers while the supervisor is frozen, and the answers are what comes too late.
            until(lambda run_id=first: ledger.conservation(run_id).outcomes > 20)
            frozen = until(lambda: next((worker for worker in engine.workers() if worker.run_id), None))
            os.kill(frozen.pid, signal.SIGSTOP)
            run = ended(ledger, first)
            before = lines(ledger, first)
            assert run.counts.succeeded == 120
            assert not ledger.refused
            os.kill(frozen.pid, signal.SIGCONT)
            with suppress(AssertionError):
                until(lambda: ledger.refused, 3)
            if ledger.refused:
                break
        assert ledger.refused
        assert lines(ledger, first) == before

        second = submit(ledger, [{"behaves": "slow", "seconds": 0.01}] * 400, "bpred_2")
        engine.wake()
        until(lambda: any(worker.pid == frozen.pid and worker.run_id == second for worker in engine.workers()))
        assert ended(ledger, second).counts.succeeded == 400
    finally:
        engine.close(0)
        database.close()


@pytest.mark.timeout(60)
def test_an_owner_that_stood_still_takes_no_lease_from_its_workers(tmp_path: Path) -> None:
    environ = {"AMENDS_ENGINE_TTL_SECONDS": "2", "AMENDS_ENGINE_WORKERS": "1"}
    with server_process(tmp_path, **environ) as server, local_client(tmp_path) as client:
        pid = server.process.pid
        items = [{"custom_id": f"c{n}", "input": note(n)} for n in range(1_500)]
        answer = client.post("/v1/batch-predictions", json={"items": items, **EXTRACT}).raise_for_status()
        witness = Witness(answer.json()["id"])
        until(lambda: witness.look(client))
        assert witness.look_at_all(client)["leased"]
        workers = processes_of(pid, SUPERVISOR) + processes_of(pid, CHILD)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(4.5)
        os.kill(pid, signal.SIGCONT)
        path = f"/v1/batch-predictions/{witness.run_id}"
        until(lambda: client.get(path).json()["status"] == "completed")
        witness.check_end(client, len(items))
        assert processes_of(pid, SUPERVISOR) + processes_of(pid, CHILD) == workers
        assert client.get(path).json()["request_counts"]["succeeded"] == len(items)
