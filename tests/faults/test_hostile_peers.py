"""Peers that stop halfway, read slowly, or send what no sane client sends: the server stays small, quick and whole."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from tests.killing import local_client, until
from tests.problem_shape import assert_problem
from tests.servers import ServerProcess, server_process

PATH = "/v1/batch-predictions"
NDJSON = "application/x-ndjson"
MIB = 1 << 20


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "data"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[ServerProcess]:
    with server_process(data, AMENDS_ENGINE_WORKERS="1") as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx2.Client(base_url=server.base_url, headers=headers, timeout=30, trust_env=False) as client:
        yield client
        assert client.get("/v1/me", timeout=5).status_code == 200, "the server does not answer any more"


class Peer:
    """A socket to the server, and what is said on it."""

    def __init__(self, server: ServerProcess) -> None:
        address = urlsplit(server.base_url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.socket.settimeout(30)
        self.socket.connect((address.hostname, address.port))
        self._key = server.key

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def begin(self, method: str, path: str, **headers: str) -> None:
        whole = {"Host": "amends", "Authorization": f"Bearer {self._key}", **headers}
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in whole.items())
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode())

    def chunk(self, content: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(content), content))

    def send_on(self, piece: bytes, most: int = 64 * MIB) -> int:
        """Send the same again and again, until the server has had enough; how much that was."""
        sent = 0
        try:
            while sent < most:
                self.socket.sendall(piece)
                sent += len(piece)
        except OSError:
            pass  # it had enough
        return sent

    def hang_up(self) -> None:
        """Be gone at once, without a word (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def memory(server: ServerProcess) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def lines(start: int, items: int, size: int = 100) -> bytes:
    return b"".join(
        b'{"custom_id":"c%d","input":{"text":"%b"}}\n' % (number, b"x" * size) for number in range(start, start + items)
    )


def test_a_stream_that_breaks_off_leaves_no_run_and_a_free_key(
    server: ServerProcess, client: httpx2.Client, data: Path
) -> None:
    before = client.get(PATH).json()["data"]
    for number in range(8):
        peer = Peer(server)
        peer.begin("POST", PATH, Content_Type=NDJSON, Transfer_Encoding="chunked", Idempotency_Key=f"broken-{number}")
        peer.chunk(b'{"model":"local/echo"}\n' + lines(0, 12_000))
        peer.chunk(lines(12_000, 100) + b'{"custom_id":"ha')
        if number % 2:
            time.sleep(0.05)
        peer.hang_up()
    for number in range(8):
        again = {"items": [{"custom_id": "a", "input": number}], "model": "local/echo"}
        key = {"Idempotency-Key": f"broken-{number}"}

        def made(again: dict[str, object] = again, key: dict[str, str] = key) -> httpx2.Response | None:
            answer = client.post(PATH, json=again, headers=key)
            return answer if answer.status_code == 200 else None

        assert "Idempotency-Replayed" not in until(made, 10).headers
    assert len(client.get(f"{PATH}?limit=100").json()["data"]) == len(before) + 8
    with local_client(data) as local:
        until(lambda: all(batch["status"] == "completed" for batch in local.get(f"{PATH}?limit=100").json()["data"]))


@pytest.mark.timeout(90)
def test_slow_readers_cost_the_server_no_memory(server: ServerProcess, client: httpx2.Client) -> None:
    body = b'{"model":"local/echo"}\n' + lines(0, 1_600, 30_000)
    batch = client.post(PATH, content=body, headers={"Content-Type": NDJSON}).raise_for_status().json()
    until(lambda: client.get(f"{PATH}/{batch['id']}").json()["status"] == "completed")
    size = len(client.get(f"{PATH}/{batch['id']}/results").content)
    assert size > 45 * MIB
    before = memory(server)
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(server)) for _ in range(20)]
        for peer in peers:
            peer.begin("GET", f"{PATH}/{batch['id']}/results", Connection="close")
        for peer in peers:
            assert peer.socket.recv(12) == b"HTTP/1.1 200"
        for _ in range(20):
            time.sleep(0.05)
            client.get(f"{PATH}/{batch['id']}", timeout=5).raise_for_status()
        grown = memory(server) - before
        assert grown < 9 * len(peers) * MIB, f"{grown / MIB:.0f} MiB for {len(peers)} readers of {size / MIB:.0f} MiB"
        assert _rest(peers[0]) > size


def _rest(peer: Peer) -> int:
    read = 0
    while piece := peer.socket.recv(MIB):
        read += len(piece)
    return read


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_a_million_levels_are_refused(client: httpx2.Client, opening: bytes) -> None:
    deep = opening * 1_000_000
    for body in (deep, b'{"model":"local/echo","items":[{"custom_id":"a","input":' + deep):
        assert_problem(
            client.post(PATH, content=body, headers={"Content-Type": "application/json"}), "malformed_request"
        )
    streamed = b'{"model":"local/echo"}\n{"custom_id":"a","input":' + deep
    answer = client.post(PATH, content=streamed, headers={"Content-Type": NDJSON})
    assert_problem(answer, "validation_failed")
    first = client.post(PATH, content=deep + b"\n" + lines(0, 1), headers={"Content-Type": NDJSON})
    assert_problem(first, "validation_failed" if opening.startswith(b"[") else "malformed_request")


def test_a_line_of_a_hundred_megabytes_is_refused_before_it_is_read(
    server: ServerProcess, client: httpx2.Client
) -> None:
    before = memory(server)
    with Peer(server) as peer:
        peer.begin("POST", PATH, Content_Type=NDJSON, Transfer_Encoding="chunked")
        peer.chunk(b'{"model":"local/echo"}\n{"custom_id":"a","input":"')
        chunk = b"%x\r\n%b\r\n" % (MIB, b"x" * MIB)
        assert peer.send_on(chunk, 100 * MIB) < 60 * MIB, "it read on and on"
    assert memory(server) - before < 80 * MIB


def test_a_flood_of_headers_is_cut_off(server: ServerProcess, client: httpx2.Client) -> None:
    before = memory(server)
    for line in (b"x-%d: " + b"y" * 1_000 + b"\r\n", b"x%d" + b"y" * 1_000, b"z" * 1_000):
        with Peer(server) as peer:
            peer.socket.sendall(b"GET /v1/me HTTP/1.1\r\nhost: amends\r\n")
            piece = b"".join(line % number if b"%d" in line else line for number in range(100))
            assert peer.send_on(piece) < 32 * MIB, "it took header after header"
    assert memory(server) - before < 40 * MIB


def test_an_endless_path_is_cut_off(server: ServerProcess, client: httpx2.Client) -> None:
    before = memory(server)
    with Peer(server) as peer:
        peer.socket.sendall(b"GET /")
        assert peer.send_on(b"a" * 65_536) < 32 * MIB
    assert memory(server) - before < 40 * MIB


def test_endless_trailers_are_cut_off(server: ServerProcess, client: httpx2.Client) -> None:
    before = memory(server)
    with Peer(server) as peer:
        peer.begin("POST", PATH, Content_Type=NDJSON, Transfer_Encoding="chunked")
        peer.chunk(b'{"model":"local/echo"}\n')
        peer.socket.sendall(b"0\r\nx-last: ")
        assert peer.send_on(b"t" * 65_536) < 32 * MIB
    assert memory(server) - before < 40 * MIB


def test_many_that_say_nothing_do_not_keep_others_out(server: ServerProcess, client: httpx2.Client) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            peer = stack.enter_context(Peer(server))
            peer.socket.sendall(b"GET /v1/me HTTP/1.1\r\nhost: am")
        for _ in range(5):
            assert client.get("/v1/me", timeout=5).json()["role"] == "owner"
    assert json.loads(client.get("/v1/me").content)
