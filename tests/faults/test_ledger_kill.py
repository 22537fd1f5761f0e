"""The process that owns the ledger is killed with -9 while it works: what was acknowledged stands, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amends.database import Database
from amends.ledger import SqliteLedger

ITEMS = 3_000
KILLS = 6

OWNER = """
import secrets, sys, time
from pathlib import Path
from amends.database import Database
from amends.ledger import ClaimRequest, Commit, Deferral, NewItem, NewRun, Outcome, ResultLines, SqliteLedger, unpack_items

database = Database.open(Path(sys.argv[1]) / "amends.db")
ledger = SqliteLedger(database)
ledger.abandon_receiving()
ledger.release_all()
run_id, total = sys.argv[2], int(sys.argv[3])
if ledger.get(run_id) is None:
    try:
        ledger.open_run(NewRun(run_id, "ws", "predict", "local/echo", b"{}", time.time()))
        for start in range(0, total, 500):
            ledger.append(run_id, [
                NewItem(f"{n:06}", b'{"input":%d}' % n, b"") for n in range(start, min(total, start + 500))])
            print("appended", flush=True)
        ledger.seal(run_id, validate=False)
    except Exception as error:
        print("refused", type(error).__name__, flush=True)
        sys.exit(1)
print("sealed", flush=True)
lines = ResultLines(run_id, "req", "http://127.0.0.1:8080")
while lease := ledger.claim(ClaimRequest("owner", 7)):
    items = list(unpack_items(lease.packed))
    deferred = [Deferral(i.seq, i.attempts + 1, 0.0) for i in items if i.seq % 11 == 0 and i.attempts == 0]
    waiting = {d.seq for d in deferred}
    outcomes = [
        Outcome(i.seq, "succeeded", None, 1, 0, lines.succeeded(i.custom_id, b'{"by":"%d"}' % time.monotonic_ns()))
        for i in items if i.seq not in waiting]
    assert ledger.commit(Commit(lease.id, outcomes, deferred, final=True))
    for outcome in outcomes:
        print("done", outcome.seq, outcome.line.decode(), flush=True)
print("finalized", ledger.finalize(run_id), flush=True)
database.close()
"""


def work_until_killed(folder: Path, run_id: str, seconds: float | None) -> tuple[int, list[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), run_id, str(ITEMS)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told: list[str] = []
    if seconds is not None:
        while not told or not told[-1].startswith("sealed"):
            told.append(process.stdout.readline())
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=120)
    return process.returncode, told + rest.splitlines()


@pytest.mark.timeout(170)
def test_acknowledged_outcomes_survive_kills_of_the_owner_unchanged_and_once(tmp_path: Path) -> None:
    draw = random.Random(20)
    acknowledged: dict[int, str] = {}
    interrupted = 0
    for round_number in range(KILLS + 1):
        last = round_number == KILLS
        code, told = work_until_killed(tmp_path, "bpred_killed", None if last else draw.uniform(0.05, 0.35))
        # the last line of a killed process may be torn
        for line in told if last else told[:-1]:
            if line.startswith("done ") and line.rstrip().endswith("}"):
                _, seq, text = line.rstrip().split(" ", 2)
                assert int(seq) not in acknowledged, "an acknowledged item ran again into the record"
                acknowledged[int(seq)] = text
        if not last:
            interrupted += code == -signal.SIGKILL and not any(line.startswith("finalized") for line in told)
    assert interrupted >= KILLS - 1, "the work was not really interrupted"
    assert told[-1] == "finalized True"

    database = Database.open(tmp_path / "amends.db")
    ledger = SqliteLedger(database)
    assert ledger.conservation("bpred_killed").outcomes == ITEMS
    assert ledger.get("bpred_killed").counts.succeeded == ITEMS
    lines = b"".join(chunks(ledger, "bpred_killed")).splitlines()
    database.close()
    assert len(lines) == ITEMS
    for seq, text in acknowledged.items():
        assert lines[seq].decode().endswith(text), "an acknowledged outcome changed"


def chunks(ledger: SqliteLedger, run_id: str):
    after = -1
    while (chunk := ledger.results(run_id, after=after)).count:
        yield chunk.lines
        after = chunk.last


@pytest.mark.timeout(120)
def test_a_run_killed_while_it_is_received_vanishes_and_leaves_room_for_the_same_id(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), "bpred_again", "200000"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "appended\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    database = Database.open(tmp_path / "amends.db")
    ledger = SqliteLedger(database)
    assert ledger.get("bpred_again") is None
    assert ledger.abandon_receiving() == 1
    while ledger.clean():
        continue
    with database.read() as tx:
        assert tx.value("select count(*) from item") == 0
        assert tx.value("select count(*) from run") == 0
    database.close()
