"""Two that want the same directory or port, and owners that are asked to leave."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from amends.server.owner import find_owner
from tests.commands import Commands, lines_of
from tests.killing import EXTRACT, SCHEMA, Witness, local_client, note, until
from tests.servers import ServerProcess, server_process

RUN = ("run", "m.jsonl", "--model", "local/extract", "--schema", SCHEMA)


@pytest.fixture
def amends(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def manifest(place: Path, items: int) -> None:
    lines = (json.dumps({"custom_id": f"c{n}", "text": note(n)}) for n in range(items))
    (place / "m.jsonl").write_text("\n".join(lines))


def test_of_two_runs_started_together_one_is_refused_with_the_pid_of_the_other(
    amends: Commands, tmp_path: Path
) -> None:
    manifest(tmp_path, 2_500)
    both = [amends.start(*RUN, "-o", f"out{n}.jsonl") for n in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], said
    winner, loser = codes.index(0), codes.index(1)
    assert len(said[loser].splitlines()) == 1
    assert str(both[winner].pid) in said[loser]
    assert len(lines_of(tmp_path / f"out{winner}.jsonl")) == 2_500
    assert not (tmp_path / f"out{loser}.jsonl").exists()


def test_a_run_beside_another_is_refused_and_harms_nothing(amends: Commands, tmp_path: Path) -> None:
    manifest(tmp_path, 2_500)
    first = amends.start(*RUN, "-o", "out.jsonl")
    until(lambda: find_owner(tmp_path / ".amends"))
    second = amends(*RUN, "-o", "second.jsonl")
    assert second.code == 1
    assert second.err.splitlines() == [f"amends: .amends is held by another amends run (process {first.pid})"]
    _, said = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert len(lines_of(tmp_path / "out.jsonl")) == 2_500


def test_a_run_on_a_servers_directory_is_the_servers_work(amends: Commands, tmp_path: Path) -> None:
    manifest(tmp_path, 300)
    with server_process(tmp_path / ".amends", AMENDS_ENGINE_WORKERS="1"), local_client(tmp_path / ".amends") as client:
        ended = amends(*RUN, "-o", "out.jsonl", "--json")
        assert ended.code == 0, ended.err
        [batch] = client.get("/v1/batch-predictions").json()["data"]
        assert batch["id"] == ended.document["id"]
        assert batch["status"] == "completed"
    assert len(lines_of(tmp_path / "out.jsonl")) == 300


def test_a_second_server_is_refused_and_the_first_goes_on(amends: Commands, tmp_path: Path) -> None:
    with server_process(tmp_path / ".amends") as first:
        same_data = amends("serve", "--port", "0")
        assert same_data.code == 1
        assert same_data.err.splitlines() == [
            f"amends: .amends is held by another amends process (pid {first.process.pid})"
        ]
        port = urlsplit(first.base_url).port
        same_port = amends("serve", "--port", str(port), "--data", "other")
        assert same_port.code == 1
        assert same_port.err.splitlines() == [f"amends: Port {port} of 127.0.0.1 is in use"]
        assert not (tmp_path / "other").exists()
        with local_client(tmp_path / ".amends") as client:
            assert client.get("/v1/me").status_code == 200


def test_a_server_asked_to_leave_hands_on_what_it_could_not_finish(tmp_path: Path) -> None:
    items = [{"custom_id": f"c{n}", "input": note(n)} for n in range(3_000)]
    with server_process(tmp_path, AMENDS_ENGINE_WORKERS="1") as server:
        with local_client(tmp_path) as client:
            answer = client.post("/v1/batch-predictions", json={"items": items, **EXTRACT}).raise_for_status()
            witness = Witness(answer.json()["id"])
            until(lambda: witness.look(client))
        server.process.send_signal(signal.SIGTERM)
        _, said = server.process.communicate(timeout=30)
        assert server.process.returncode == 0, said
        assert "Traceback" not in said
    with server_process(tmp_path, AMENDS_ENGINE_WORKERS="1"), local_client(tmp_path) as client:
        counts = witness.look_at_all(client)
        assert 0 < counts["outcomes"] < len(items), "nothing was left to hand on"
        path = f"/v1/batch-predictions/{witness.run_id}"
        until(lambda: client.get(path).json()["status"] == "completed")
        lines = witness.check_end(client, len(items))
        assert {line["status"] for line in lines} == {"succeeded"}
        assert {line["attempts"] for line in lines} == {1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait(tmp_path: Path, number: signal.Signals) -> None:
    with server_process(tmp_path) as server:
        address = urlsplit(server.base_url)
        with socket.create_connection((address.hostname, address.port)) as unfinished:
            unfinished.sendall(_half_a_request(server))
            time.sleep(0.3)
            server.process.send_signal(number)
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(1)
            server.process.send_signal(number)
            assert server.process.wait(2) == 128 + number


def _half_a_request(server: ServerProcess) -> bytes:
    sent = '{"model": "local/echo"}\n{"custom'
    return (
        f"POST /v1/batch-predictions HTTP/1.1\r\nHost: amends\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n{len(sent):x}\r\n{sent}\r\n"
    ).encode()
