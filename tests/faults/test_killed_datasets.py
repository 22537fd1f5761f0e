"""Adding to a dataset, killed in its middle: the client, the server, or the server between a fetch and its datapoints.

In the end every datapoint stands once, numbered without a gap, and no content that was acknowledged has been sent again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from amends import Client, Datapoint
from amends.client._bundles import BundleBody
from amends.server.fetches import FetchClerk
from tests.hosts import answer, running_host
from tests.killing import free_port, until
from tests.pictures import picture
from tests.servers import running_server, server_process

COUNT = 500
PROGRAM = """
import sys
from pathlib import Path
from amends import Client, Datapoint
from amends.client import _adding
_adding._PACK_FILES = 25
folder, key, base_url, journal = sys.argv[1:]
with Client(key, base_url, journal=journal or None) as client:
    try:
        dataset = client.datasets.get("pictures")
    except Exception:
        dataset = client.datasets.create("pictures")
    print("started", flush=True)
    succeeded, failed = dataset.add_datapoints([Datapoint(str(path)) for path in sorted(Path(folder).iterdir())])
    print("done", len(succeeded), len(failed), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT):
        (made / f"{number:05}.jpg").write_bytes(picture(number, side=16))
    return made


def check(client: Client) -> None:
    """All stand, once each, numbered without a gap; and what they show is there."""
    stored = list(client.datasets.get("pictures").datapoints(limit=100))
    assert sorted(one.seq or 0 for one in stored) == list(range(1, COUNT + 1))
    assert len({one.assets[0].sha256 for one in stored}) == len({one.id for one in stored}) == COUNT


@pytest.mark.parametrize("journal", ["journal", ""])
def test_a_client_that_is_killed_and_run_again_adds_nothing_twice(tmp_path: Path, folder: Path, journal: str) -> None:
    draw, deaths = Random(5), 0
    with running_server(tmp_path / "data", engine=None) as server:
        path = str(tmp_path / journal) if journal else ""
        command = [sys.executable, "-c", PROGRAM, str(folder), server.key, server.base_url, path]
        while True:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert process.stdout
            assert process.stdout.readline() == "started\n"
            if deaths < 2:
                goal = min(_datapoints(server.owner.services) + draw.randrange(1, 200), COUNT - 200)
                _kill_at(process, server.owner.services, goal)
            said = process.communicate()[0]
            deaths += process.returncode == -signal.SIGKILL
            if process.returncode == 0:
                assert said == f"done {COUNT} 0\n"
                break
            assert process.returncode == -signal.SIGKILL
        assert deaths == 2
        with Client(server.key, server.base_url) as client:
            check(client)
            sent = _sent_by(client, folder)
            assert sent == 0


def _kill_at(process: subprocess.Popen[str], services: Any, goal: int) -> None:
    """Kill it once so many datapoints stand, or just before it is done."""
    until(lambda: _datapoints(services) >= goal or process.poll() is not None)
    process.send_signal(signal.SIGKILL)


def _datapoints(services: Any) -> int:
    found = services.store.datasets.named(services.default_workspace_id, "pictures")
    return found.datapoints if found else 0


def _sent_by(client: Client, folder: Path) -> int:
    """Contents that adding everything once more sends."""
    counts: Counter[str] = Counter()
    made = BundleBody.__init__

    def counted(self: BundleBody, lines: bytes, files: dict[str, bytes]) -> None:
        counts.update(list(files))
        made(self, lines, files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BundleBody, "__init__", counted)
        given = [Datapoint(str(path)) for path in sorted(folder.iterdir())]
        succeeded, failed = client.datasets.get("pictures").add_datapoints(given)
    assert (len(succeeded), failed) == (COUNT, [])
    return counts.total()


def test_a_server_that_is_killed_meanwhile_goes_on_where_it_was(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amends.client._adding._PACK_FILES", 25)
    port, draw = free_port(), Random(7)
    outcome: list[Any] = []
    with server_process(tmp_path / "data", port=port, AMENDS_ENGINE_WORKERS="1") as first:
        key = first.key
        client = Client(key, first.base_url, max_retries=20, budget=None)
        dataset = client.datasets.create("pictures")
        given = [Datapoint(str(path)) for path in sorted(folder.iterdir())]
        adding = threading.Thread(target=lambda: outcome.append(dataset.add_datapoints(given)), daemon=True)
        adding.start()
        _after_some(key, first.base_url, draw.randrange(50, 300))
        first.kill()
    with server_process(tmp_path / "data", port=port, AMENDS_ENGINE_WORKERS="1"):
        adding.join(100)
        ((succeeded, failed),) = outcome
        assert (len(succeeded), failed) == (COUNT, [])
        check(client)
        client.close()


def _after_some(key: str, base_url: str, count: int) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=base_url, headers=headers, trust_env=False, timeout=30) as http:

        def stands() -> bool:
            return any(one["datapoint_count"] >= count for one in http.get("/v1/datasets").json()["data"])

        until(stands)


def test_a_server_that_is_killed_while_it_fetches_lets_every_datapoint_stand_once(tmp_path: Path) -> None:
    """Killed at random: while workers fetch, between the end of the run and its datapoints, among them."""
    count, draw, key = 80, Random(11), ""
    pages = {f"/{number}.jpg": answer(picture(number, side=16), Content_Type="image/jpeg") for number in range(count)}
    added: dict[str, Any] = {}
    with running_host(pages) as host:  # type: ignore[arg-type]
        urls = [{"assets": [{"url": host.url(path)}]} for path in pages]
        for is_last in (False, False, True):
            with server_process(tmp_path / "data", AMENDS_FETCH_ALLOW="127.0.0.1", AMENDS_ENGINE_WORKERS="1") as server:
                key = key or server.key
                headers = {"Authorization": f"Bearer {key}"}
                with httpx2.Client(base_url=server.base_url, headers=headers, trust_env=False, timeout=30) as http:
                    added = added or _pending(http, urls)
                    if is_last:
                        _check_fetched(http, added, count)
                        return
                time.sleep(draw.uniform(0.0, 0.8))
                server.kill()


def _pending(http: httpx2.Client, urls: list[Any]) -> dict[str, Any]:
    made = http.post("/v1/datasets", json={"name": "pictures"}).json()["id"]
    body: dict[str, Any] = http.post(f"/v1/datasets/{made}/datapoints", json=urls).json()
    assert body["counts"]["pending"] == len(urls)
    return body


def _check_fetched(http: httpx2.Client, added: dict[str, Any], count: int) -> None:
    path = f"/v1/datasets/{added['dataset_id']}"
    until(lambda: http.get(f"{path}/fetches/{added['run_id']}").json()["counts"]["created"] == count)
    stored = http.get(f"{path}/datapoints", params={"limit": 100}).json()["data"]
    assert [one["seq"] for one in stored] == list(range(count, 0, -1))
    assert len({one["assets"][0]["url"] for one in stored}) == count


def test_a_run_that_ended_under_an_owner_that_died_is_settled_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_host({"/a.jpg": answer(picture(1), Content_Type="image/jpeg")}) as host:
        with monkeypatch.context() as patch:
            patch.setattr(FetchClerk, "see_to", lambda self, fetch: None)  # as if it had died before
            with running_server(tmp_path / "data", fetch__allow=("127.0.0.1",)) as first, first.client() as http:
                key = first.key
                made = http.post("/v1/datasets", json={"name": "pictures"}).json()["id"]
                given = [{"assets": [{"url": host.url("/a.jpg")}]}, {"assets": [{"url": host.url("/none")}]}]
                body = http.post(f"/v1/datasets/{made}/datapoints", json=given).json()
                until(lambda: http.get(f"/v1/runs/{body['run_id']}").json()["status"] == "completed")
                path = f"/v1/datasets/{made}/fetches/{body['run_id']}"
                assert http.get(path).json()["counts"]["pending"] == 2
        with running_server(tmp_path / "data", key=key, engine=None) as second, second.client() as http:
            until(lambda: http.get(path).json()["counts"]["pending"] == 0)
            assert http.get(path).json()["counts"] == {"created": 1, "existing": 0, "failed": 1, "pending": 0}
            assert http.get(f"/v1/datasets/{made}").json()["datapoint_count"] == 1


def test_a_full_disk_refuses_a_form_whole_and_takes_it_when_there_is_room(tmp_path: Path) -> None:
    import resource

    noise = os.urandom(9 << 20)
    with server_process(tmp_path / "data", AMENDS_ENGINE_WORKERS="1") as server:
        headers = {"Authorization": f"Bearer {server.key}"}
        with httpx2.Client(base_url=server.base_url, headers=headers, trust_env=False, timeout=60) as http:
            made = http.post("/v1/datasets", json={"name": "pictures"}).json()["id"]
            parts = {"datapoints": (None, '{"assets": [{"part": "a"}]}'), "a": ("a", picture(1)), "b": ("b", noise)}
            before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (8 << 20, resource.RLIM_INFINITY))
            refused = http.post(f"/v1/datasets/{made}/datapoints", files=parts)  # type: ignore[arg-type]
            assert (refused.status_code, refused.json()["error_code"]) == (507, "INSUFFICIENT_STORAGE")
            assert http.get(f"/v1/datasets/{made}").json()["datapoint_count"] == 0
            assert list((tmp_path / "data" / "blobs" / "tmp").iterdir()) == []
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
            taken = http.post(f"/v1/datasets/{made}/datapoints", files=parts)  # type: ignore[arg-type]
            assert taken.json()["counts"]["created"] == 1
