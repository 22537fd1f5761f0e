"""``amends run`` killed with -9, it and its workers, at random moments: afterwards each item has its one outcome."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from amends.server.owner import Owner
from amends.server.settings import Settings
from tests.commands import Commands, lines_of
from tests.killing import CHILD, SCHEMA, SUPERVISOR, Witness, all_gone, kill, local_client, note, processes_of, until
from tests.postgres import own_database

ITEMS = 5_000
COMMAND = ("run", "m.jsonl", "--model", "local/extract", "--schema", SCHEMA, "-o", "out.jsonl")


class Killer:
    """Starts the command over and over on one directory, and kills it.

    kills: how often something was killed while outcomes were still to come. killed_before_creation: how often nothing was known
    of the run yet.
    """

    def __init__(self, place: Path, draw: random.Random) -> None:
        self._amends = Commands(place, {"AMENDS_ENGINE_WORKERS": "1"})
        self._data = place / ".amends"
        self._draw = draw
        self.witness: Witness | None = None
        self.kills = 0
        self.killed_before_creation = 0

    def kill_early(self, most_seconds: float) -> None:
        """While it starts, uploads or creates its run."""
        process = self._amends.start(*COMMAND)
        with local_client(self._data):
            time.sleep(self._draw.uniform(0, most_seconds))
        self.killed_before_creation += not any((self._data / "runs").glob("bpred_*.json"))
        self._kill_owner(process)

    def kill_at_work(self) -> None:
        """Somewhere after it got further than the last one."""
        process = self._amends.start(*COMMAND)
        with local_client(self._data) as client:
            self._progress(client)
        self._kill_owner(process)

    def kill_workers(self, modules: Sequence[str]) -> None:
        """A process of one of two workers after the other, and last the owner."""
        process = self._amends.start(*COMMAND, AMENDS_ENGINE_WORKERS="2")
        with local_client(self._data) as client:
            for module in modules:
                self._progress(client)
                kill(self._draw.choice(until(lambda wanted=module: processes_of(process.pid, wanted))))
                self.kills += 1
            self._progress(client)
        self._kill_owner(process)

    def _progress(self, client: httpx2.Client) -> None:
        """Let it get on by a random number of items, and be sure that there are more to come."""
        if self.witness is None:
            [run] = until(lambda: client.get("/v1/batch-predictions").json()["data"])
            self.witness = Witness(run["id"])
        witness, target = self.witness, self.witness.count + self._draw.randint(1, 400)
        until(lambda: witness.look(client) >= target)
        time.sleep(self._draw.uniform(0, 0.1))
        assert witness.look_at_all(client)["outcomes"] < ITEMS, "nothing was left to interrupt"

    def _kill_owner(self, process: subprocess.Popen[str]) -> None:
        workers = processes_of(process.pid, SUPERVISOR) + processes_of(process.pid, CHILD)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        self.kills += 1
        until(lambda: all_gone(workers), 10)


@pytest.mark.timeout(170)
def test_a_run_killed_ten_times_ends_with_one_outcome_an_item(tmp_path: Path) -> None:
    killer = Killer(tmp_path, random.Random(7))
    (tmp_path / "m.jsonl").write_text(
        "\n".join(json.dumps({"custom_id": f"c{n}", "text": note(n)}) for n in range(ITEMS))
    )
    for most_seconds in (0.02, 0.2):
        killer.kill_early(most_seconds)
    for _ in range(4):
        killer.kill_at_work()
    killer.kill_workers((SUPERVISOR, CHILD, SUPERVISOR))
    assert killer.kills == 10
    assert killer.killed_before_creation
    assert not (tmp_path / "out.jsonl").exists()

    ended = Commands(tmp_path)(*COMMAND)
    assert ended.code == 0, ended.err
    assert " goes on: " in ended.err
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["output"]["number"] for line in lines.values()] == [f"N-{n}" for n in range(ITEMS)]
    assert killer.witness is not None
    with (
        Owner(Settings().with_flags(data=tmp_path / ".amends", database=own_database(tmp_path)), engine=None),
        local_client(tmp_path / ".amends") as client,
    ):
        told = killer.witness.check_end(client, ITEMS)
        [run] = client.get("/v1/batch-predictions").json()["data"]
    assert told == list(lines.values())
    assert run["request_counts"]["succeeded"] == ITEMS
