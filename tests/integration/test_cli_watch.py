"""``amends watch`` and ``amends item``: against a server, and on a directory where nobody runs."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.commands import COMMAND, Commands
from tests.servers import RunningServer

ROWS = [{"custom_id": f"row-{number}", "input": {"text": str(number)}} for number in range(40)]


@pytest.fixture
def amends(tmp_path: Path, server: RunningServer) -> Commands:
    return Commands(tmp_path, {"AMENDS_SERVER": server.base_url, "AMENDS_API_KEY": server.key})


def create(server: RunningServer, **parameters: object) -> str:
    rows = [*ROWS, {"custom_id": "lost", "file_id": "file_none"}]
    with server.client() as client:
        answer = client.post("/v1/batch-predictions", json={"items": rows, "model": "local/echo", **parameters})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_run_is_watched_to_its_end_with_each_failure(amends: Commands, server: RunningServer) -> None:
    run_id = create(server)
    shown = amends("watch", run_id)
    assert shown.code == 3, shown.err
    assert "lost: file_not_found: File 'file_none' does not exist" in shown.err
    assert f"Run {run_id} completed: 41 items: 40 succeeded, 1 errored" in shown.err
    assert shown.out == ""


def test_under_json_each_event_is_a_line(amends: Commands, server: RunningServer) -> None:
    run_id = create(server)
    shown = amends("watch", run_id, "--json")
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert shown.code == 3
    assert events[-1]["event"] == "end"
    assert events[-1]["run"]["request_counts"]["succeeded"] == 40
    assert [event["failure"]["custom_id"] for event in events if event["event"] == "failure"] == ["lost"]


def test_a_run_that_is_not_there_is_refused(amends: Commands) -> None:
    shown = amends("watch", "bpred_none")
    assert (shown.code, shown.err.count("\n")) == (4, 1)


def test_ctrl_c_stops_watching_and_not_the_run(amends: Commands, server: RunningServer) -> None:
    run_id = create(server, limit_items=1)
    watching = subprocess.Popen((*COMMAND, "watch", run_id, "--json"), cwd=amends.place, env=amends._environ({}),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["event"] in ("run", "failure")
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert "interrupted" in err
    with server.client() as client:
        assert client.get(f"/v1/runs/{run_id}").json()["status"] == "in_progress"
        client.post(f"/v1/runs/{run_id}/cancel")


def test_without_an_owner_watching_moves_the_run_on(tmp_path: Path) -> None:
    amends = Commands(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"row {n}"}) + "\n" for n in range(3000)))
    started = subprocess.Popen((*COMMAND, "run", "rows.jsonl", "--model", "local/echo"), cwd=tmp_path,
                               env=amends._environ({}), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert started.stderr is not None
    run_id = started.stderr.readline().split()[1].rstrip(":")
    started.kill()
    started.communicate()
    shown = amends("watch", run_id)
    assert shown.code == 0, shown.err
    assert "3,000 items: 3,000 succeeded" in shown.err


def test_an_item_is_shown_with_all_that_is_known_of_it(amends: Commands, server: RunningServer, tmp_path: Path) -> None:
    run_id = create(server)
    assert amends("watch", run_id, "-q").code == 3
    lost = amends("item", run_id, "lost")
    assert "lost  errored" in lost.out
    assert "ended: file_not_found" in lost.out
    assert "What to do:" in lost.out
    good = amends("item", run_id, "row-7", "--json").document
    assert (good["status"], good["outcome"]["output"]) == ("succeeded", {"text": "7"})
    assert amends("item", run_id, "row-7", "-o", "record.json").code == 0
    assert json.loads((tmp_path / "record.json").read_text())["custom_id"] == "row-7"
    assert amends("item", run_id, "nobody").code == 4
    with server.client() as client:
        kept = client.get(f"/v1/batch-predictions/{run_id}/items/row-7", params={"download": "true"})
    assert kept.headers["content-disposition"] == f'attachment; filename="{run_id}-7.json"'
    assert kept.json()["custom_id"] == "row-7"
