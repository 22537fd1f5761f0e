"""The SDK against real sockets that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends import AsyncClient, Client
from amends.client import NO_KEY, _pool
from amends.exceptions import ApiError, NetworkError, RequestTimeoutError
from amends.testing import FakeClock

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Serve = Callable[[socket.socket, int], None]
"""Given a connection and how many came before it."""


@contextmanager
def server(serve: Serve, path: Path | None = None) -> Iterator[str]:
    """A socket on which ``serve`` answers each connection; yields its base URL."""
    listener = socket.create_server(("127.0.0.1", 0)) if path is None else socket.socket(socket.AF_UNIX)
    if path is not None:
        listener.bind(str(path))
        listener.listen()
    threads: list[threading.Thread] = []

    def one(connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            serve(connection, number)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=one, args=(connection, len(threads))))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield "http://local" if path else f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


def head(connection: socket.socket) -> bytes:
    """Read a request's head, and the body its length promises."""
    got = b""
    while b"\r\n\r\n" not in got:
        if not (more := connection.recv(65_536)):
            return b""
        got += more
    lines, _, body = got.partition(b"\r\n\r\n")
    for line in lines.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                if not (more := connection.recv(65_536)):
                    return b""
                body += more
    return lines


def whole(body: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_refused_connection_is_a_network_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    clock = FakeClock()
    with Client("k", f"http://127.0.0.1:{port}", clock=clock) as client, pytest.raises(NetworkError) as caught:
        client.me()
    assert len(caught.value.attempts) == 4
    assert str(port) in str(caught.value)


def test_unknown_host_and_broken_tls_are_network_errors() -> None:
    with Client("k", "http://nowhere.invalid", max_retries=0) as client, pytest.raises(NetworkError):
        client.me()

    def speak(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

    with server(speak) as url, Client("k", url.replace("http", "https"), max_retries=0) as client, \
         pytest.raises(NetworkError):  # fmt: skip
        client.me()


def test_connection_closed_without_an_answer_is_retried_under_the_same_key() -> None:
    keys = []

    def serve(connection: socket.socket, number: int) -> None:
        keys.extend(line for line in head(connection).split(b"\r\n") if line.lower().startswith(b"idempotency-key"))
        if number == 1:
            connection.sendall(whole(b'{"id": "bpred_1"}'))

    with server(serve) as url, Client("k", url, clock=FakeClock()) as client:
        assert client.batch_predictions.cancel("bpred_1").id == "bpred_1"
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_answer_cut_short_is_retried() -> None:
    def serve(connection: socket.socket, number: int) -> None:
        head(connection)
        answer = whole(b'{"id": "file_1", "filename": "a"}')
        connection.sendall(answer[:-5] if number == 0 else answer)

    with server(serve) as url, Client("k", url, clock=FakeClock()) as client:
        assert client.files.get("file_1").filename == "a"


def test_silent_server_is_a_timeout() -> None:
    done = threading.Event()

    def serve(connection: socket.socket, number: int) -> None:
        head(connection)
        done.wait(10)

    with server(serve) as url, Client("k", url, timeout=0.1, max_retries=0) as client:
        with pytest.raises(RequestTimeoutError):
            client.me()
        done.set()


def lines(start: int, stop: int) -> list[bytes]:
    return [json.dumps({"custom_id": f"i{n}", "status": "succeeded"}).encode() + b"\n" for n in range(start, stop)]


def drop_in_the_middle(connection: socket.socket, number: int) -> None:
    """100 lines in all; every connection breaks in the middle of a line, some 30 lines on."""
    request = head(connection)
    start = int(request.partition(b"after=i")[2].partition(b" ")[0] or -1) + 1
    body = b"".join(lines(start, 100))
    connection.sendall(CHUNKED)
    if start < 70:
        connection.sendall(chunk(body[:1300]))
    else:
        connection.sendall(chunk(body) + b"0\r\n\r\n")


def test_result_stream_survives_real_drops() -> None:
    with server(drop_in_the_middle) as url, Client("k", url, clock=FakeClock()) as client:
        got = [line["custom_id"] for line in client.batch_predictions.results("b")]
    assert got == [f"i{n}" for n in range(100)]


def test_async_result_stream_survives_real_drops() -> None:
    async def collect(url: str) -> list[str]:
        async with AsyncClient("k", url, clock=FakeClock()) as client:
            return [line["custom_id"] async for line in client.batch_predictions.results("b")]

    with server(drop_in_the_middle) as url:
        assert asyncio.run(collect(url)) == [f"i{n}" for n in range(100)]


def test_refusal_in_the_middle_of_an_upload_is_told() -> None:
    """A server that will not read on answers and closes; the answer counts, not the broken pipe."""

    def serve(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        body = b'{"detail": "too large"}'
        connection.sendall(
            b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):  # or the kernel's reset overtakes the answer
            pass

    with server(serve) as url, Client("k", url, max_retries=0) as client, \
         pytest.raises(ApiError, match="too large") as caught:  # fmt: skip
        client.files.upload(b"x" * 2_000_000)
    assert caught.value.status_code == 413


def test_stream_left_early_gives_its_connection_back() -> None:
    def serve(connection: socket.socket, number: int) -> None:
        while head(connection):
            connection.sendall(CHUNKED + chunk(b"".join(lines(0, 10_000))) + b"0\r\n\r\n")

    http = httpx2.Client(limits=httpx2.Limits(max_connections=1))
    with server(serve) as url, http, Client("k", url, http_client=http, timeout=5) as client:
        for _ in range(3):
            stream = client.batch_predictions.results("b")
            assert next(stream)["custom_id"] == "i0"
            stream.close()  # type: ignore[attr-defined]


def test_local_socket_needs_no_key(tmp_path: Path) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        assert b"authorization" not in head(connection).lower()
        connection.sendall(whole(b'{"role": "owner"}'))

    path = tmp_path / "s"
    http = httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)))
    with server(serve, path) as url, http:
        assert Client(NO_KEY, url, http_client=http).me().role == "owner"


def answer_calmly(connection: socket.socket, number: int) -> None:
    while request := head(connection):
        if b"/results" in request:
            for data in (CHUNKED, chunk(lines(0, 1)[0]), chunk(lines(1, 2)[0]), b"0\r\n\r\n"):
                connection.sendall(data)
        else:
            connection.sendall(whole(b'{"id": "x", "status": "completed"}'))


async def one_call(client: AsyncClient) -> None:
    await client.files.upload(b"x" * 100_000)


async def one_stream(client: AsyncClient) -> None:
    assert [line["custom_id"] async for line in client.batch_predictions.results("b")] == ["i0", "i1"]


async def cancel_at_every_step(client: AsyncClient, work: Callable[[AsyncClient], Any]) -> int:
    """Begin the work and cancel it a step later each time, until it ends sooner than that; then do it. How often it was cancelled."""
    cancelled = 0
    for steps in range(200):
        task = asyncio.ensure_future(work(client))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        cancelled += task.cancelled()
        if steps > 20 and not task.cancelled():
            break
    await work(client)
    return cancelled


@pytest.mark.parametrize("work", [one_call, one_stream])
def test_cancelled_at_any_await_nothing_leaks_and_the_pool_works(work: Callable[[AsyncClient], Any]) -> None:
    async def cancel(url: str) -> int:
        # One connection only: were it not given back, the next call would wait for it in vain.
        limits = httpx2.Limits(max_connections=1, max_keepalive_connections=1)
        async with httpx2.AsyncClient(limits=limits) as http:
            client = AsyncClient("k", url, http_client=http, timeout=5, max_retries=0)
            cancelled = await cancel_at_every_step(client, work)
            (connection,) = http._transport._pool.connections  # type: ignore[attr-defined]
            assert connection.is_idle()
        return cancelled

    with server(answer_calmly) as url:
        assert asyncio.run(cancel(url)) > 5


def test_the_clients_own_connections_say_what_the_request_says() -> None:
    heads: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        while request := head(connection):
            heads.append(request)
            if b"chunked" in request.lower():  # what its body's length is ``head`` does not know
                connection.sendall(whole(b'{"id": "x"}').replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
                return
            connection.sendall(whole(b'{"id": "x"}'))

    with server(serve) as url, Client("k", f"{url}/pre%20fix") as client:
        client.files.get("ä b")
        client.batch_predictions.cancel("b")
        client.batch_predictions.retry_failed("b", types=["x"])
        client.batch_predictions.create(({"custom_id": str(n)} for n in range(2)), model="m")
        client.files.upload(b"bytes")
    lower = [request.lower().split(b"\r\n") for request in heads]
    assert heads[0].startswith(b"GET /pre%20fix/v1/files/%C3%A4%20b HTTP/1.1\r\n")
    assert {line for lines in lower for line in lines if line.startswith(b"host:")} == {
        url.replace("http://", "host: ").encode()
    }
    assert all([line[:5] for line in lines].count(b"host:") == 1 for lines in lower)
    lengths = [[line for line in lines if line.startswith((b"content-length", b"transfer-"))] for lines in lower]
    assert lengths[:4] == [[], [b"content-length: 0"], [b"content-length: 15"], [b"transfer-encoding: chunked"]]
    assert [len(found) for found in lengths] == [0, 1, 1, 1, 1]
    assert any(line.startswith(b"content-type: multipart/form-data; boundary=") for line in lower[4])


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(b'{"id": "file_1", "filename": "packed"}')

    def serve(connection: socket.socket, number: int) -> None:
        assert b"accept-encoding: gzip" in head(connection).lower()
        connection.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with server(serve) as url, Client("k", url) as client:
        assert client.files.get("file_1").filename == "packed"


@pytest.mark.parametrize("work", [one_call, one_stream])
def test_the_clients_own_connections_survive_cancelling_at_any_await(
    work: Callable[[AsyncClient], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "_POOLS", 1)
    monkeypatch.setattr(_pool, "_LIMITS", {"max_connections": 1, "max_keepalive_connections": 1})

    async def cancel(url: str) -> int:
        async with AsyncClient("k", url, timeout=5, max_retries=0) as client:
            cancelled = await cancel_at_every_step(client, work)
            assert client._loop.http.busy == [0]  # type: ignore[union-attr]
        return cancelled

    with server(answer_calmly) as url:
        assert asyncio.run(cancel(url)) > 5


def test_many_calls_at_once_are_spread_and_counted_back() -> None:
    async def call_often(url: str) -> None:
        async with AsyncClient("k", url) as client:
            await asyncio.gather(*(client.files.get("x") for _ in range(50)))
            pool = client._loop.http
            assert isinstance(pool, _pool.AsyncPool)
            assert pool.busy == [0] * 8
            assert sum(bool(one.connections) for one in pool._pools) == 8

    with server(answer_calmly) as url:
        asyncio.run(call_often(url))


def test_a_closed_client_says_so() -> None:
    client = Client("k", "http://127.0.0.1:1")
    client.close()
    with pytest.raises(RuntimeError, match="client is closed"):
        client.me()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_in_the_environment_is_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        assert head(connection).startswith(b"GET http://nowhere.invalid/v1/me HTTP/1.1")
        connection.sendall(whole(b'{"role": "owner"}'))

    with server(serve) as url:
        monkeypatch.setenv(variable, url)
        with Client("k", "http://nowhere.invalid") as client:
            assert client.me().role == "owner"
