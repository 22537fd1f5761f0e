"""A program that uploads 2,000 files and creates three batches, killed with -9 at random moments and run again until it ends.

With a journal nothing is done twice and nothing is missing, by the server's own count. Without one the same test finds work that was
done twice, which shows that it would notice.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from amends import Client
from tests.servers import RunningServer, running_server

PROGRAM = """
import sys
from pathlib import Path
from amends import Client
from amends.client import Upload

def say(*words):
    print(*words, flush=True)

folder, key, base_url, journal = sys.argv[1:]
with Client(key, base_url, journal=journal or None) as client:
    say("started")
    paths = sorted(Path(folder).iterdir())
    third = -(-len(paths) // 3)
    for start in range(0, len(paths), third):
        some = paths[start : start + third]
        stored = client.files.upload_many(some, on_progress=lambda progress: say("file", progress.done))
        assert all(one.is_stored for one in stored), stored
        items = ({"custom_id": path.name, "file_id": one.file.id} for path, one in zip(some, stored))
        say("creating")
        batch = client.batch_predictions.create(items, model="local/echo")
        say("batch", batch.id)
    say("done")
"""
PLENTY = {f"limits__{kind}_per_minute": 1_000_000 for kind in ("reads", "writes", "uploads")}


@dataclass
class Known:
    """How far the program ever came: lines that it said in one run, and how many of them began to create a batch."""

    lines: int = 1
    creating: int = 0


class Program:
    """The program, run again and again until it ends by itself. deaths: the line after which each kill hit it."""

    def __init__(self, server: RunningServer, place: Path, files: int, *, has_journal: bool) -> None:
        self.deaths: list[str] = []
        self.journal = place / "journal" if has_journal else None
        self._known = Known()
        folder = place / "files"
        folder.mkdir()
        for number in range(files):
            # A tenth have bytes that another has, too, under a name of their own.
            (folder / f"{number:05}.txt").write_text(f"file {number % (files - files // 10)}")
        journal = str(self.journal) if self.journal else ""
        self._command = [sys.executable, "-c", PROGRAM, str(folder), server.key, server.base_url, journal]

    def run(self, kill_after: float | None = None, *, further: int = 0) -> bool:
        """Run it once; whether it came to its end.

        It is killed ``kill_after`` seconds after it came ``further`` lines further than ever, or began to create the next batch.
        """
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stderr
            said, creating, line, timer = 0, 0, "", None
            for line in process.stdout:
                said, creating = said + 1, creating + line.startswith("creating")
                is_new_batch = creating > self._known.creating
                is_due = said == self._known.lines + further or is_new_batch
                if kill_after is not None and timer is None and is_due:
                    # A batch is created within some milliseconds.
                    delay = kill_after / 8 if is_new_batch else kill_after
                    timer = threading.Timer(delay, process.send_signal, [signal.SIGKILL])
                    timer.start()
            code, errors = process.wait(), process.stderr.read()
        if timer is not None:
            timer.join()
        self._known = Known(max(said, self._known.lines), max(creating, self._known.creating))
        if code == -signal.SIGKILL:
            self.deaths.append(line.strip())
            return False
        assert code == 0, errors
        return True


@dataclass(frozen=True)
class Counted:
    """What the server has. effects: requests that made something."""

    files: int
    batches: int
    items: int
    effects: int


def count(server: RunningServer) -> Counted:
    with server.owner.services.database.read() as tx:
        return Counted(
            files=tx.value("select count(*) from file"),
            batches=tx.value("select count(*) from run"),
            items=tx.value("select count(*) from item"),
            effects=tx.value("select count(*) from idempotency where resource_id is not null"),
        )


def kill_again_and_again(program: Program, kills: int, further: int) -> None:
    """Run the program to its end, killed so many times on the way, each time at most ``further`` lines further than ever."""
    draw, is_done = Random(os.environ.get("AMENDS_SEED", "1")), False
    while not is_done:
        if len(program.deaths) < kills:
            is_done = program.run(draw.uniform(0, 0.04), further=draw.randint(1, further))
        else:
            is_done = program.run()
    assert len(program.deaths) == kills, f"interrupted only {len(program.deaths)} times"


@pytest.mark.timeout(1_200)  # some thirty starts of a program, which take a while on a machine that is busy
def test_killed_at_thirty_random_moments_it_does_everything_once(tmp_path: Path) -> None:
    files, kills = 2_000, 30
    with running_server(tmp_path / "data", **PLENTY) as server:
        program = Program(server, tmp_path, files, has_journal=True)
        kill_again_and_again(program, kills, further=100)
        assert {death.partition(" ")[0] for death in program.deaths} >= {"file", "creating"}, "too few kinds of moments"
        assert count(server) == Counted(files=files, batches=3, items=files, effects=files + 3)
        check_every_item(server, files)
        assert program.journal
        assert not program.journal.exists(), "it came to its end"


@pytest.mark.timeout(300)
def test_without_a_journal_the_same_test_finds_work_done_twice(tmp_path: Path) -> None:
    files = 150
    with running_server(tmp_path / "data", engine=None, **PLENTY) as server:
        program = Program(server, tmp_path, files, has_journal=False)
        kill_again_and_again(program, 4, further=60)
        counted = count(server)
        assert counted.files > files
        assert counted.batches > 3
        assert counted.items > files
        assert counted.effects > files + 3


def check_every_item(server: RunningServer, files: int) -> None:
    with Client(server.key, server.base_url) as client:
        names: list[str] = []
        for batch in client.batch_predictions.list():
            assert client.batch_predictions.wait(batch.id, timeout=120).is_complete
            report = client.batch_predictions.reconcile(batch.id)
            assert report.is_complete, report
            names += [str(line["custom_id"]) for line in client.batch_predictions.results(batch.id)]
        assert sorted(names) == [f"{number:05}.txt" for number in range(files)]
