"""The client's memory does not grow with the number of items, sent or received, retried or not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ITEMS = 200_000
LIMIT_KIB = 80 * 1024

CLIENT = """
import sys
from amends import Client

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

def work(client, count):
    items = ({"custom_id": f"item-{number:032d}", "input": "x" * 150} for number in range(count))
    client.batch_predictions.create(items, model="local/echo")
    for number, line in enumerate(client.batch_predictions.results("b")):
        assert line["status"] == "succeeded"
    assert number + 1 == count
    return peak()

with Client("k", sys.argv[1]) as client:
    print(work(client, int(sys.argv[2]) // 20), work(client, int(sys.argv[2])))
"""


def serve(listener: socket.socket) -> None:
    """Take batches, refusing the first of each size, and give as many result lines as items were taken."""
    taken, refused = 0, set()
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as stream:
        while request := stream.readline():
            while stream.readline() != b"\r\n":
                pass
            if request.startswith(b"POST"):
                taken = -1
                while size := int(stream.readline(), 16):
                    taken += (
                        stream.read(size + 2).count(b"\n") - 1
                    )  # a chunk ends in a line break that is none of the body
                stream.readline()
                body, status = b'{"id": "b"}', b"200 OK"
                if taken not in refused:
                    refused.add(taken)
                    status = b"503 Busy"
                stream.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
            else:
                stream.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in range(0, taken, 1000):
                    part = b"".join(line(number) for number in range(start, min(taken, start + 1000)))
                    stream.write(b"%x\r\n%s\r\n" % (len(part), part))
                stream.write(b"0\r\n\r\n")
            stream.flush()


def line(number: int) -> bytes:
    value = {"custom_id": f"item-{number:032d}", "status": "succeeded", "output": {"text": "x" * 150}, "error": None}
    return json.dumps(value).encode() + b"\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_client_stays_flat() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, url, str(ITEMS)], capture_output=True, text=True, timeout=120
        )
        thread.join()
    assert done.returncode == 0, done.stderr
    few, many = map(int, done.stdout.split())
    print(f"peak of {ITEMS // 20} items {few} KiB, of {ITEMS} items {many} KiB")
    assert many < LIMIT_KIB
    assert many - few < 8 * 1024
