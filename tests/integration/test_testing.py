"""What users test their programs with: the server in a block, the proxy that harms, the fixtures and the example of all of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2
import pytest

from amends import Client
from amends.exceptions import ForbiddenError, NetworkError
from amends.testing import Fault, FaultProxy, LocalServer, draw_faults, server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def local() -> Iterator[LocalServer]:
    with server() as running:
        yield running


def test_a_server_in_a_block_works_and_leaves_nothing() -> None:
    with server(workers=0, limits__nesting=5) as running:
        with running.client() as client:
            assert (client.me().mode, client.me().role) == ("test", "owner")
        with running.client(running.new_key("viewer", mode="live")) as viewer:
            assert (viewer.me().mode, viewer.me().role) == ("live", "viewer")
            with pytest.raises(ForbiddenError):
                viewer.batch_predictions.create([{"custom_id": "a", "input": "a"}], model="local/echo")
        assert running.key not in repr(running)
        assert running.data.is_dir()
    assert not running.data.exists()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(running.base_url, trust_env=False)


def test_a_directory_that_is_given_is_kept_for_the_next_server(tmp_path: Path) -> None:
    with server(data=tmp_path / "data", workers=0) as first, first.client() as client:
        kept = client.files.upload(tmp_path.joinpath("a.txt").write_text("a") and tmp_path / "a.txt").id
    with server(data=tmp_path / "data", workers=0) as second, second.client() as client:
        assert client.files.get(kept).bytes == 1


def test_the_server_serves_both_clients(local: LocalServer) -> None:
    async def work() -> str:
        async with local.async_client() as client:
            batch = await client.batch_predictions.create([{"custom_id": "a", "input": "a"}], model="local/echo")
            return (await client.batch_predictions.wait(batch.id, timeout=60)).status

    assert asyncio.run(work()) == "completed"


# The proxy


def test_without_faults_everything_goes_through(local: LocalServer, tmp_path: Path) -> None:
    large = tmp_path / "large.txt"
    large.write_bytes(b"text\n" * 400_000)
    with FaultProxy(local.base_url) as proxy, Client(local.key, proxy.base_url) as client:
        file = client.files.upload(large)
        assert client.files.download(file.id) == large.read_bytes()
    assert set(proxy.happened) == {None}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("drop"), None),
        (Fault("cut", after_bytes=0), None),
        (Fault("cut", after_bytes=40), None),
        (Fault("error", status=502), 502),
        (Fault("delay", seconds=0.05), 200),
    ],
)
def test_each_fault_happens_to_its_request_alone(local: LocalServer, fault: Fault, said: int | None) -> None:
    with FaultProxy(local.base_url, [None, fault]) as proxy:
        found: list[int | None] = []
        with httpx2.Client(base_url=proxy.base_url, headers={"X-API-Key": local.key}, trust_env=False) as client:
            for _ in range(3):
                try:
                    found.append(client.get("/v1/me").status_code)
                except httpx2.TransportError:
                    found.append(None)
    assert found == [200, said, 200]
    assert proxy.happened == [None, fault, None]


def test_an_upload_that_is_refused_midway_is_told_so(local: LocalServer) -> None:
    with FaultProxy(local.base_url, [Fault("error", status=503)]) as proxy:
        answer = httpx2.post(f"{proxy.base_url}/v1/files", files={"file": b"x" * 5_000_000}, trust_env=False)
    assert answer.status_code == 503


def test_bulk_work_through_a_hundred_faults_is_whole(local: LocalServer) -> None:
    faults = list(
        islice(draw_faults(11, drop=0.15, error=0.1, cut=0.15, delay=0.1, seconds=0.01, after_bytes=2_000), 100)
    )
    items = [{"custom_id": f"item-{number}", "input": f"text {number}"} for number in range(500)]
    with FaultProxy(local.base_url, faults) as proxy:
        with Client(local.key, proxy.base_url, max_retries=8) as client:
            batch = client.batch_predictions.create(items, model="local/echo", metadata={"job": "faults"})
            client.batch_predictions.wait(batch.id, timeout=120)
            assert client.batch_predictions.reconcile(batch.id, [item["custom_id"] for item in items]).is_complete
            assert [one.id for one in client.batch_predictions.list() if one.metadata == {"job": "faults"}] == [
                batch.id
            ]
        assert any(fault is not None and fault.kind in ("drop", "cut") for fault in proxy.happened)


def test_a_server_that_is_not_there_is_a_network_failure() -> None:
    with server(workers=0) as gone:
        url, key = gone.base_url, gone.key
    with FaultProxy(url) as proxy, Client(key, proxy.base_url, max_retries=0) as client, pytest.raises(NetworkError):
        client.me()


def test_a_proxy_needs_an_address_it_can_stand_before() -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        FaultProxy("https://example.org")


# The fixtures, as users have them


def test_the_example_of_the_guide_passes(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AMENDS", "COV"))}
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "amends.testing.plugin",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    )
    found = subprocess.run(
        (*command, "-c", os.devnull, str(ROOT / "examples" / "test_labels.py")),
        cwd=tmp_path,
        env={**environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "3 passed" in found.stdout
