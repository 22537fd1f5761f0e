"""The owner of a data directory: one at a time, found by the others, gone without a trace or with one that does no harm."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
from pathlib import Path

import httpx2
import pytest

from amends.database import NewerDatabase
from amends.server.directory import network_file_system
from amends.server.owner import CannotListen, DataDirectoryError, DataDirectoryLocked, Owner, find_owner
from amends.server.settings import Settings
from tests.postgres import own_database
from tests.servers import running_server, serve_command, server_process


def settings(data: Path, **flags: object) -> Settings:
    return Settings().with_flags(data=data, port=0, **{"database": own_database(data), **flags})


def embedded(data: Path, **flags: object) -> Owner:
    return Owner(settings(data, **flags), command="run", engine=None)


def test_an_embedded_owner_answers_on_its_socket_alone_and_makes_no_key(tmp_path: Path) -> None:
    with embedded(tmp_path / "data") as owner:
        assert owner.url is None
        assert owner.first_key is None
        transport = httpx2.HTTPTransport(uds=str(owner.socket))
        with httpx2.Client(transport=transport, base_url="http://local") as client:
            assert client.get("/v1/me").json()["role"] == "owner"
            problem = client.get("/v1/no").json()
    assert problem["type"] == "http://127.0.0.1:8080/errors/resource_not_found"


def test_others_find_the_owner_while_it_lives(tmp_path: Path) -> None:
    assert find_owner(tmp_path / "data") is None
    with running_server(tmp_path / "data", engine=None) as running:
        found = find_owner(tmp_path / "data")
        assert found
        assert (found.pid, found.url, found.command, found.socket) == (
            os.getpid(), running.base_url, "serve", running.owner.socket
        )  # fmt: skip
    assert find_owner(tmp_path / "data") is None
    assert not (tmp_path / "data" / "owner.json").exists()


def test_a_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with (
        embedded(tmp_path) as first,
        pytest.raises(DataDirectoryLocked, match=f"held by another amends process \\(pid {os.getpid()}\\)") as refused,
        embedded(tmp_path),
    ):
        pass
    assert refused.value.pid == os.getpid()
    assert not first.socket.exists()
    with embedded(tmp_path):
        pass


def test_the_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    with embedded(tmp_path / "a" / "data") as owner:
        assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
        assert owner.socket.stat().st_mode & 0o777 == 0o600


def test_a_long_path_gets_a_short_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    data = tmp_path / ("long" * 20) / ("name" * 20)
    with embedded(data) as owner:
        assert len(os.fsencode(owner.socket)) <= 100
        found = find_owner(data)
        assert found
        assert found.socket == owner.socket
        assert owner.socket.parent.stat().st_mode & 0o077 == 0
    assert not owner.socket.parent.exists()


@pytest.mark.sqlite
def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    with embedded(tmp_path):
        pass
    database = tmp_path / "amends.db"
    connection = sqlite3.connect(database)
    connection.execute("pragma user_version = 9999")
    connection.close()
    before = database.read_bytes()
    with pytest.raises(NewerDatabase, match="9999"), embedded(tmp_path):
        pass
    assert database.read_bytes() == before
    assert find_owner(tmp_path) is None


@pytest.mark.parametrize("obstacle", ["a file", "a file above", "no permission"])
def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path, obstacle: str) -> None:
    data = tmp_path / "data"
    if obstacle == "a file":
        data.write_text("")
    elif obstacle == "a file above":
        data.write_text("")
        data = data / "inside"
    else:
        data.mkdir(mode=0o500)
        # root may write anywhere but where the kernel makes the files itself
        data = data if os.geteuid() else Path("/proc/self/data")
    with pytest.raises(DataDirectoryError, match="cannot be used as data directory"), embedded(data):
        pass


def test_a_port_in_use_is_named_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = Owner(Settings().with_flags(data=tmp_path / "data", port=port), listen=True, engine=None)
        with pytest.raises(CannotListen, match=f"Port {port} of 127.0.0.1 is in use"), busy:
            pass
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_authentication_only_loopback_is_listened_on(tmp_path: Path, host: str) -> None:
    open_to_all = Owner(settings(tmp_path / "data", host=host, no_auth=True), listen=True, engine=None)
    with pytest.raises(CannotListen, match="loopback only"), open_to_all:
        pass
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    nowhere = Owner(settings(tmp_path / "data", host="300.0.0.1"), listen=True, engine=None)
    with pytest.raises(CannotListen, match="no address to listen on"), nowhere:
        pass


def test_a_local_directory_is_no_network_file_system(tmp_path: Path) -> None:
    assert network_file_system(tmp_path) is None


def test_a_public_url_stands_in_every_type(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, engine=None, public_url="https://batch.example.org/") as running,
        running.client() as client,
    ):
        assert client.get("/v1/no").json()["type"] == "https://batch.example.org/errors/resource_not_found"


# In a process of its own


def test_a_killed_server_leaves_a_directory_that_the_next_takes_over(tmp_path: Path) -> None:
    with server_process(tmp_path) as first:
        key = first.key
        found = find_owner(tmp_path)
        assert found
        assert found.pid == first.process.pid
        httpx2.get(f"{first.base_url}/v1/me", headers={"x-api-key": key}).raise_for_status()
        first.kill()
    assert (tmp_path / "owner.json").exists()
    assert find_owner(tmp_path) is None
    with server_process(tmp_path) as second:
        assert second.key == ""
        assert httpx2.get(f"{second.base_url}/v1/me", headers={"x-api-key": key}).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with server_process(tmp_path) as running:
        running.process.send_signal(number)
        assert running.process.wait(15) == 0
    assert not (tmp_path / "owner.json").exists()
    assert not (tmp_path / "owner.sock").exists()


def test_a_second_signal_does_not_wait_for_what_runs(tmp_path: Path) -> None:
    with server_process(tmp_path) as running:
        url, key = running.base_url.removeprefix("http://").split(":"), running.key
        with socket.create_connection((url[0], int(url[1]))) as unfinished:
            head = f"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: 100\r\n\r\n{{"
            unfinished.sendall(head.encode())
            assert httpx2.get(f"{running.base_url}/health/live").status_code == 200
            running.process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                running.process.wait(1)
            running.process.terminate()
            assert running.process.wait(5) == 128 + signal.SIGTERM
    with embedded(tmp_path):
        pass


def test_stdout_holds_the_key_and_nothing_else(tmp_path: Path) -> None:
    command = serve_command(tmp_path, "--log-format", "json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        event = json.loads(process.stderr.readline())
        assert (event["event"], event["first_key"]) == ("listening", True)
        process.terminate()
        stdout, stderr = process.communicate(timeout=15)
    assert stdout.startswith("ak_live_")
    assert len(stdout.splitlines()) == 1
    assert [json.loads(line)["event"] for line in stderr.splitlines()] == ["stopping"]
