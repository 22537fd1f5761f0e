"""``amends run`` without a server: from files to results, and on where it was killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from amends.client import NO_KEY, Client
from amends.server.owner import Owner
from amends.server.settings import Settings
from tests import samples
from tests.commands import Commands, lines_of
from tests.postgres import own_database

SCHEMA = json.dumps({"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]})
EXTRACT = ("--model", "local/extract", "--schema", SCHEMA)


@pytest.fixture
def amends(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def notes(place: Path, count: int) -> Path:
    folder = place / "notes"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.txt").write_text(f"Number: N-{number}\n")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def until(process: subprocess.Popen[str], holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_folder_ends_in_results_and_typed_failures_and_a_retry_mends_them(amends: Commands, tmp_path: Path) -> None:
    folder = notes(tmp_path, 3)
    (folder / "empty.txt").write_bytes(b"")
    samples.truncated_pdf(folder / "torn.pdf")

    ran = amends("run", "notes", *EXTRACT, "-o", "out.jsonl")
    assert ran.code == 3
    assert ran.out == ""
    lines = lines_of(tmp_path / "out.jsonl")
    assert list(lines) == ["0000.txt", "0001.txt", "0002.txt", "empty.txt", "torn.pdf"]
    assert lines["0001.txt"]["output"] == {"number": "N-1"}
    run = lines["0001.txt"]["batch_id"]
    assert "unprocessable_content  ×2" in ran.err
    assert "What to do: The file has no bytes" in ran.err
    assert f"amends retry {run} --type unprocessable_content" in ran.err

    again = amends("run", "notes", *EXTRACT, "-o", "out.csv")
    assert again.code == 3
    assert f"Run {run} of the same inputs ended before" in again.err
    rows = rows_of(tmp_path / "out.csv")
    assert [row["number"] for row in rows] == ["N-0", "N-1", "N-2", "", ""]

    (folder / "empty.txt").write_text("Number: N-9\n")
    (tmp_path / "whole.txt").write_text("Number: N-10\n")
    mended = amends("retry", run, "--replace", "torn.pdf=whole.txt", "-o", "out.jsonl")
    assert mended.code == 0, mended.err
    merged = lines_of(tmp_path / "out.jsonl")
    assert [line["output"]["number"] for line in merged.values()] == ["N-0", "N-1", "N-2", "N-9", "N-10"]
    assert {line["batch_id"] for name, line in merged.items() if name < "1"} == {run}
    shown = amends("results", run)
    assert shown.out == (tmp_path / "out.jsonl").read_text()


def test_manifest_comes_back_joined_with_every_column(amends: Commands, tmp_path: Path) -> None:
    with (tmp_path / "people.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("text", "colour", "status"), ("Number: 7", "red", "old"), ("nothing", "blue", "old")]
        )
    ran = amends("run", "people.csv", *EXTRACT, "--join", "-o", "joined.csv")
    assert ran.code == 3
    first, second = rows_of(tmp_path / "joined.csv")
    assert (first["colour"], first["status"], first["amends_status"]) == ("red", "old", "succeeded")
    assert json.loads(first["output"]) == {"number": "7"}
    assert second["error"].startswith("prediction_failed: ")


def test_limit_runs_a_part_and_the_same_command_without_it_the_rest(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps({"input": {"n": n}}) for n in range(20)))
    part = amends("run", "m.jsonl", "--model", "local/echo", "--limit", "5", "-o", "part.jsonl")
    assert part.code == 0, part.err
    assert len(lines_of(tmp_path / "part.jsonl")) == 5
    assert "without --limit goes on" in part.err
    more = amends("run", "m.jsonl", "--model", "local/echo", "--limit", "6", "-o", "part.jsonl")
    assert (more.code, more.err.count("\n")) == (2, 1), (
        "more than the part but not all cannot be had, and is not ignored"
    )
    assert "first 5 items" in more.err
    whole = amends("run", "m.jsonl", "--model", "local/echo", "-o", "whole.jsonl", "--json")
    assert whole.code == 0, whole.err
    assert len(lines_of(tmp_path / "whole.jsonl")) == 20
    listed = amends("runs", "--json").document
    assert [run["request_counts"]["succeeded"] for run in listed] == [20]
    assert whole.document["id"] == listed[0]["id"]


def test_new_starts_afresh_and_is_what_the_same_command_finds_then(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"text": "a"}\n')
    command = ("run", "m.jsonl", "--model", "local/echo", "--json", "-o", "out.jsonl")
    first, fresh, third = amends(*command), amends(*command, "--new"), amends(*command)
    assert first.document["id"] != fresh.document["id"] == third.document["id"]


def test_killed_while_running_it_goes_on_and_every_item_has_one_outcome(amends: Commands, tmp_path: Path) -> None:
    items = 20_000
    (tmp_path / "m.jsonl").write_text(
        "\n".join(json.dumps({"text": f"Number: {n}", "custom_id": f"c{n}"}) for n in range(items))
    )
    command = ("run", "m.jsonl", *EXTRACT, "-o", "out.jsonl")
    process = amends.start(*command)
    until(process, lambda: any((tmp_path / ".amends" / "runs").glob("bpred_*.json")))
    time.sleep(0.5)
    kill(process)
    assert not (tmp_path / "out.jsonl").exists(), "it was to be killed before its end"

    ended = amends(*command)
    assert ended.code == 0, ended.err
    assert " goes on: " in ended.err
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["output"]["number"] for line in lines.values()] == [str(n) for n in range(items)]


def test_killed_while_uploading_no_file_is_sent_twice(amends: Commands, tmp_path: Path) -> None:
    notes(tmp_path, 400)
    command = ("run", "notes", *EXTRACT, "-o", "out.jsonl")
    process = amends.start(*command)
    blobs = tmp_path / ".amends" / "blobs"
    until(process, lambda: sum(1 for path in blobs.rglob("*") if path.is_file()) > 40)
    kill(process)
    assert not list((tmp_path / ".amends" / "runs").glob("bpred_*.json")), "it was to be killed before the run was made"

    ended = amends(*command)
    assert ended.code == 0, ended.err
    assert len(lines_of(tmp_path / "out.jsonl")) == 400
    settings = Settings().with_flags(data=tmp_path / ".amends", database=own_database(tmp_path))
    with Owner(settings, engine=None) as owner:
        import httpx2

        with (
            httpx2.Client(transport=httpx2.HTTPTransport(uds=str(owner.socket))) as http,
            Client(api_key=NO_KEY, base_url="http://local", http_client=http) as client,
        ):
            names = [file.filename for file in client.files.list(limit=100)]
    assert len(names) == len(set(names)) == 400


def test_interrupted_it_ends_with_130_and_says_how_to_go_on(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps({"text": f"Number: {n}"}) for n in range(20_000)))
    command = ("run", "m.jsonl", *EXTRACT, "-o", "out.jsonl")
    process = amends.start(*command)
    until(process, lambda: any((tmp_path / ".amends" / "runs").glob("bpred_*.json")))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "amends: interrupted; the same command goes on where it was"
    assert amends(*command).code == 0
    assert len(lines_of(tmp_path / "out.jsonl")) == 20_000


def test_dry_run_sends_nothing(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("file\nnot-there.txt\nm.csv\n")
    ran = amends("run", "m.csv", *EXTRACT, "--dry-run", "--json")
    assert ran.code == 3
    assert ran.document["missing"] == ["not-there.txt"]
    assert amends("runs", "--json").document == []


def test_missing_and_unreadable_files_fail_alone(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Number: 1")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # nobody will ever write into it
    (tmp_path / "m.csv").write_text("file\na.txt\nnot-there.txt\nfolder\npipe\n")
    ran = amends("run", "m.csv", *EXTRACT, "-o", "out.jsonl")
    assert ran.code == 3
    lines = lines_of(tmp_path / "out.jsonl")
    assert lines["a.txt"]["status"] == "succeeded"
    for name in ("not-there.txt", "folder", "pipe"):
        assert lines[name]["error"]["type"].endswith("/file_not_found")
        assert name in lines[name]["error"]["detail"]


def test_file_that_is_refused_is_named(amends: Commands, tmp_path: Path) -> None:
    folder = notes(tmp_path, 2)
    (folder / "large.txt").write_text("x" * 5_000)
    ran = amends("run", "notes", *EXTRACT, AMENDS_LIMITS_FILE_BYTES="1000")
    assert (ran.code, ran.err.count("\n")) == (4, 1), ran.err
    assert "notes/large.txt: The file exceeds the limit of 1000 bytes" in ran.err


def test_killed_retry_is_followed_by_the_same_command(amends: Commands, tmp_path: Path) -> None:
    items = 8_000
    (tmp_path / "m.jsonl").write_text(
        "\n".join(json.dumps({"text": f"nothing of note, {n} times"}) for n in range(items))
    )
    ran = amends("run", "m.jsonl", *EXTRACT, "--json", "-q", "-o", "out.jsonl")
    assert ran.code == 3
    run = ran.document["id"]
    process = amends.start("retry", run)
    children = tmp_path / ".amends" / "runs"
    until(process, lambda: len(list(children.glob("bpred_*.json"))) == 2)
    kill(process)
    ended = amends("retry", run, "--json")
    assert ended.code == 3, ended.err
    assert f"Retry {ended.document['id']} is under way" in ended.err
    assert ended.document["parent_id"] == run
    assert ended.document["request_counts"]["errored"] == items
