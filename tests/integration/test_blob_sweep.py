"""Blobs that nobody points to go, and no others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest

from amends.blobs import StoredBlob
from amends.ledger import Commit, Outcome
from amends.server.items import MAX_INLINE_BYTES
from amends.server.keeping import drop_unused
from amends.server.sweep import BlobSweep
from tests.batches import PATH, finish
from tests.ledgers import request
from tests.servers import RunningServer, running_server

HOUR = 3_600.0


class Broom:
    """A sweep with a clock of its own, over all folders at once."""

    def __init__(self, server: RunningServer) -> None:
        self.now = 0.0
        self._sweep = BlobSweep(
            server.owner.services, age_seconds=HOUR, settle_seconds=100.0, monotonic=lambda: self.now
        )

    def look(self, after_seconds: float = 0.0) -> int:
        self.now += after_seconds
        return self._sweep.step(256)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", engine=None) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def broom(server: RunningServer) -> Broom:
    return Broom(server)


def put(server: RunningServer, content: bytes, *, is_old: bool = True) -> str:
    blobs = server.owner.services.blobs
    blob = blobs.put(content)
    if is_old:
        make_old(server, blob.sha256)
    return blob.sha256


def make_old(server: RunningServer, digest: str) -> None:
    then = time.time() - 2 * HOUR
    os.utime(server.owner.services.blobs.path(digest), (then, then))


def exists(server: RunningServer, digest: str) -> bool:
    return server.owner.services.blobs.exists(digest)


def large(name: str) -> str:
    return name * MAX_INLINE_BYTES


def test_what_is_old_and_unused_at_two_looks_goes(server: RunningServer, broom: Broom) -> None:
    old, fresh = put(server, b"old"), put(server, b"fresh", is_old=False)
    assert broom.look() == 0
    assert broom.look(99) == 0, "the second look came too soon"
    assert broom.look(1) == 1
    assert not exists(server, old)
    assert exists(server, fresh)
    assert broom.look(100) == 0


def test_what_files_payloads_and_lines_point_to_stays(
    server: RunningServer, client: httpx2.Client, broom: Broom
) -> None:
    uploaded = client.post("/v1/files", files={"file": ("a.txt", b"of a file")}).raise_for_status().json()
    item = {"custom_id": "a", "input": large("x")}
    batch = client.post(PATH, json={"items": [item], "model": "local/echo"}).raise_for_status().json()
    payload = b'{"input":"%b"}' % large("x").encode()
    used = [uploaded["sha256"], sha256(payload).hexdigest(), put(server, b'"custom_id":"a","status":"succeeded"}')]
    lease = server.ledger.claim(request())
    assert lease is not None
    line = b"@" + used[2].encode()
    assert server.ledger.commit(Commit(lease.id, [Outcome(0, "succeeded", None, 1, 0, line)], final=True))
    for digest in used:
        make_old(server, digest)
    assert broom.look() == broom.look(100) == broom.look(100) == 0
    assert all(exists(server, digest) for digest in used)

    assert client.delete(f"/v1/files/{uploaded['id']}").status_code == 200
    assert not exists(server, used[0])
    finish(server, batch["id"])
    client.post(f"{PATH}/{batch['id']}/purge").raise_for_status()
    while server.ledger.clean():
        pass
    assert (broom.look(100), broom.look(100)) == (0, 1), "the line goes, the payload stays with its run"
    assert not exists(server, used[2])


def test_a_deleted_file_leaves_bytes_that_a_run_has_too(
    server: RunningServer, client: httpx2.Client, broom: Broom
) -> None:
    item = {"custom_id": "a", "input": large("y")}
    payload = b'{"input":"%b"}' % large("y").encode()
    batch = client.post(PATH, json={"items": [item], "model": "local/echo"}).raise_for_status().json()
    uploaded = client.post("/v1/files", files={"file": ("same.json", payload)}).raise_for_status().json()
    assert uploaded["sha256"] == sha256(payload).hexdigest()
    client.delete(f"/v1/files/{uploaded['id']}").raise_for_status()
    kept = client.get(f"{PATH}/{batch['id']}/items/a").raise_for_status().json()
    assert kept["item"]["input"] == large("y")


def test_what_is_stored_again_between_the_looks_stays(server: RunningServer, broom: Broom) -> None:
    digest = put(server, b"twice")
    broom.look()
    put(server, b"twice", is_old=False)
    assert broom.look(100) == 0
    make_old(server, digest)
    assert broom.look(100) == 0, "it was stored after the look before"
    assert broom.look(100) == 1


def test_what_is_stored_again_after_it_was_judged_stays(server: RunningServer) -> None:
    blobs = server.owner.services.blobs
    digest = put(server, b"judged")
    [judged] = blobs.stored(digest[:2])
    assert judged == StoredBlob(digest, blobs.path(digest).stat().st_mtime_ns)
    blobs.put(b"judged")
    assert not blobs.delete_unchanged(judged)
    assert blobs.get(digest) == b"judged"


def test_what_is_pinned_stays(server: RunningServer, broom: Broom) -> None:
    digest = put(server, b"on its way")
    with server.owner.services.pins.pinned(digest):
        broom.look()
        assert broom.look(100) == 0
        drop_unused(server.owner.services, digest)
        assert exists(server, digest)
    assert broom.look(100) == 1


def test_a_slow_stream_keeps_the_bytes_of_items_that_the_ledger_has_not_seen(
    server: RunningServer, broom: Broom
) -> None:
    payload = b'{"input":"%b"}' % large("z").encode()
    digest = sha256(payload).hexdigest()
    lines = [b'{"model":"local/echo"}\n', b'{"custom_id":"a","input":"%b"}\n' % large("z").encode()]

    def slowly() -> Iterator[bytes]:
        yield lines[0]
        # Enough to be read as a piece of its own, whose large item is stored at once and written to the ledger at the end.
        for number in range(8):
            yield lines[1].replace(b'"a"', b'"a%d"' % number)
        end = time.monotonic() + 20
        while not exists(server, digest):
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.1)
        make_old(server, digest)
        broom.look()
        assert broom.look(100) == 0
        yield b'{"custom_id":"last","input":1}\n'

    headers = {"Content-Type": "application/x-ndjson"}
    with server.client() as client:
        batch = client.post(PATH, content=slowly(), headers=headers).raise_for_status().json()
        record = client.get(f"{PATH}/{batch['id']}/items/a0").raise_for_status().json()
    assert record["item"]["input"] == large("z")
    make_old(server, digest)
    assert broom.look(100) == broom.look(100) == 0


def test_folders_have_their_turn_round_and_round(server: RunningServer) -> None:
    digests = [put(server, bytes([number])) for number in range(40)]
    folders = {digest[:2] for digest in digests}
    now = [0.0]
    sweep = BlobSweep(server.owner.services, age_seconds=HOUR, settle_seconds=1.0, monotonic=lambda: now[0])
    gone = 0
    for _ in range(2 * len(folders) // 8 + 2):
        now[0] += 1.0
        gone += sweep.step(8)
    assert gone == 40
    assert not any(exists(server, digest) for digest in digests)
