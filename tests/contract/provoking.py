"""One way to provoke each row of the catalogue for real: what its page tells people to do, done."""

from __future__ import annotations

import base64
import hashlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from tests import samples
from tests.batches import PATH, read
from tests.hosts import Host
from tests.servers import RunningServer, server_process

BODY_BYTES: Final = 500_000
BODIES_BYTES: Final = 600_000
UPLOADS_A_MINUTE: Final = 30
PRICED: Final = "local/image-labels"
SCHEMA: Final = {"type": "object", "properties": {"iban": {"type": "string"}}, "required": ["iban"]}

Met = httpx2.Response | Mapping[str, Any]
"""An answer, or the problem in a result line."""


@dataclass(frozen=True)
class Scene:
    """Where it is done. client: the owner's, live. tester: the owner's, of test mode. place: an empty folder."""

    server: RunningServer
    client: httpx2.Client
    tester: httpx2.Client
    host: Host
    place: Path

    def create(self, items: list[dict[str, Any]], client: httpx2.Client | None = None, **parameters: Any) -> str:
        body = {"items": items, "model": "local/echo", **parameters}
        answer = (client or self.client).post(PATH, json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def upload(self, path: Path) -> str:
        return str(self.client.post("/v1/files", files={"file": (path.name, path.read_bytes())}).json()["id"])

    def ended(self, run_id: str) -> str:
        end = time.monotonic() + 90
        while self.client.get(f"{PATH}/{run_id}").json()["status"] not in (
            "completed",
            "failed",
            "cancelled",
            "expired",
        ):
            assert time.monotonic() < end, "the batch did not end"
            time.sleep(0.05)
        return run_id

    def problem(self, run_id: str, custom_id: str = "a") -> Mapping[str, Any]:
        """The problem of an item of the batch, once that has ended."""
        lines = {line["custom_id"]: line for line in read(self.client, self.ended(run_id))}
        found: Mapping[str, Any] = lines[custom_id]["error"]
        return found

    def failed(self, item: dict[str, Any], **parameters: Any) -> Mapping[str, Any]:
        """The problem of the one item of a batch."""
        return self.problem(self.create([{"custom_id": "a", **item}], **parameters))

    def slow(self) -> str:
        """A batch of which one item is being worked on for long, and another waits."""
        items = [{"custom_id": name, "input": "[[simulate: ok; delay=60]]"} for name in ("now", "a")]
        run_id = self.create(items, self.tester)
        end = time.monotonic() + 60
        while not any(worker.run_id == run_id for worker in self.workers()):
            assert time.monotonic() < end
            time.sleep(0.02)
        return run_id

    def workers(self) -> Any:
        engine = self.server.owner.services.engine
        assert engine is not None
        return engine.workers()


def _good() -> list[dict[str, Any]]:
    return [{"custom_id": "a", "input": "text"}]


def no_authentication(scene: Scene) -> Met:
    with scene.server.client("") as nobody:
        return nobody.get("/v1/me")


def credit_exceeded(scene: Scene) -> Met:
    body = {"items": [{"custom_id": "a", "file_id": "file_x"}], "model": PRICED, "on_credit_exhausted": "fail"}
    return scene.client.post(PATH, json=body)


def insufficient_permissions(scene: Scene) -> Met:
    with scene.server.client(scene.server.new_key("viewer")) as viewer:
        return viewer.post(PATH, json={"items": _good(), "model": "local/echo"})


def resource_not_found(scene: Scene) -> Met:
    return scene.client.get(f"{PATH}/bpred_never")


def method_not_allowed(scene: Scene) -> Met:
    return scene.client.put("/v1/batch-predictions")


def not_acceptable(scene: Scene) -> Met:
    run_id = scene.ended(scene.create(_good()))
    return scene.client.get(f"{PATH}/{run_id}/results", headers={"Accept": "image/png"})


def conflict(scene: Scene) -> Met:
    return scene.client.post(f"{PATH}/{scene.ended(scene.create(_good()))}/cancel")


def results_gone(scene: Scene) -> Met:
    run_id = scene.ended(scene.create(_good()))
    assert scene.client.post(f"/v1/runs/{run_id}/purge").status_code == 200
    return scene.client.get(f"{PATH}/{run_id}/results")


def payload_too_large(scene: Scene) -> Met:
    return scene.client.post(
        PATH, json={"items": [{"custom_id": "a", "input": "x" * BODY_BYTES}], "model": "local/echo"}
    )


def range_not_satisfiable(scene: Scene) -> Met:
    path = scene.place / "a.txt"
    path.write_text("four")
    return scene.client.get(f"/v1/files/{scene.upload(path)}/content", headers={"Range": "bytes=4-"})


def unsupported_media_type(scene: Scene) -> Met:
    return scene.client.post(PATH, content=b"{}", headers={"Content-Type": "text/plain"})


def malformed_request(scene: Scene) -> Met:
    return scene.client.post(PATH, content=b'{"items": [', headers={"Content-Type": "application/json"})


def validation_failed(scene: Scene) -> Met:
    return scene.client.post(PATH, json={"items": [], "model": "local/echo"})


def unprocessable_content(scene: Scene) -> Met:
    return scene.failed({"file_id": scene.upload(samples.truncated_jpeg(scene.place / "a.jpg"))}, model="local/ocr")


def rate_limit_exceeded(scene: Scene) -> Met:
    end = time.monotonic() + 100
    with scene.server.client(scene.server.new_key()) as eager:
        while (answer := eager.post("/v1/files")).status_code != 429:
            assert time.monotonic() < end, answer.text
    return answer


def internal_server_error(scene: Scene) -> Met:
    path = scene.place / "a.txt"
    path.write_text("something that nobody else uploads")
    file_id = scene.upload(path)
    sha256 = scene.client.get(f"/v1/files/{file_id}").json()["sha256"]
    scene.server.owner.services.blobs.path(sha256).unlink()
    return scene.client.get(f"/v1/files/{file_id}/content")


def service_unavailable(scene: Scene) -> Met:
    half = b"x" * (BODIES_BYTES * 2 // 3)
    json_type = {"Content-Type": "application/json"}
    return second_of_two(scene, "POST", PATH, half, half, json_type, 503)


def second_of_two(
    scene: Scene,
    method: str,
    path: str,
    unfinished_content: bytes,
    content: bytes,
    headers: Mapping[str, str],
    status: int,
) -> httpx2.Response:
    """The answer with this status to a request that meets one which does not end. Either may be refused, hence the repetition."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with unfinished(scene, method, path, unfinished_content, headers):
            answer = scene.client.request(method, path, content=content, headers=headers)
        if answer.status_code == status:
            return answer
    raise AssertionError(f"they never met: {answer.status_code} {answer.text}")


@contextmanager
def unfinished(scene: Scene, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> Iterator[None]:
    """A request of the owner whose last byte does not come."""
    where = urlsplit(scene.server.base_url)
    given = {"Host": "x", "X-API-Key": scene.server.key, **headers, "Content-Length": str(len(content) + 1)}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items())
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
        connection.sendall(head.encode() + b"\r\n" + content)
        yield


def insufficient_storage(scene: Scene) -> Met:
    with server_process(scene.place / "small") as small:
        resource.prlimit(small.process.pid, resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))
        headers = {"X-API-Key": small.key}
        content = b"x" * (9 << 20)
        return httpx2.post(
            f"{small.base_url}/v1/files", files={"file": content}, headers=headers, trust_env=False, timeout=60
        )


def file_not_found(scene: Scene) -> Met:
    return scene.failed({"file_id": "file_never"}, model="local/extract", output_schema=SCHEMA)


def unsupported_file_format(scene: Scene) -> Met:
    pdf = samples.text_pdf(scene.place / "three.pdf", [["1"], ["2"], ["3"]])
    return scene.failed({"file_id": scene.upload(pdf), "page": 9}, model="local/extract", output_schema=SCHEMA)


def asset_upload_failed(scene: Scene) -> Met:
    return scene.failed({"url": scene.host.url("/never")})


def prediction_failed(scene: Scene) -> Met:
    return scene.failed({"input": "no such value"}, model="local/extract", output_schema=SCHEMA)


def upstream_failed(scene: Scene) -> Met:
    return scene.failed({"input": "text"}, model="acme/m")


def batch_validation_failed(scene: Scene) -> Met:
    items = [*_good(), {"custom_id": "b", "file_id": "file_never"}]
    return scene.problem(scene.create(items, validation="strict"))


def batch_cancelled(scene: Scene) -> Met:
    run_id = scene.slow()
    assert scene.client.post(f"{PATH}/{run_id}/cancel").status_code == 200
    return scene.problem(run_id)


def batch_expired(scene: Scene) -> Met:
    run_id = scene.slow()
    assert scene.client.post(f"/v1/runs/{run_id}/expire").status_code == 200
    return scene.problem(run_id)


def batch_item_processing_failed(scene: Scene) -> Met:
    run_id = scene.create([{"custom_id": "a", "input": "[[simulate: ok; delay=60]]"}], scene.tester)
    killed: set[int] = set()
    patience, deaths = 1.0, 0
    end = time.monotonic() + 150
    while scene.client.get(f"{PATH}/{run_id}").json()["status"] != "completed":
        assert time.monotonic() < end, (killed, deaths)
        pids = {worker.child_pid for worker in scene.workers() if worker.run_id == run_id and worker.child_pid} - killed
        if not pids:
            time.sleep(0.05)
            continue
        known = scene.client.get(f"{PATH}/{run_id}/items/a").json()["deaths"]
        if killed and known == deaths:
            patience *= 1.5  # it was killed before it had begun, which counts for nothing
        deaths = known
        time.sleep(patience)
        for pid in pids:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
    return scene.problem(run_id)


TUS: Final = {"Tus-Resumable": "1.0.0"}
PART: Final = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}


def upload_path(scene: Scene, length: int = 8) -> str:
    answer = scene.client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(length)})
    return urlsplit(answer.headers["location"]).path


def checksum_mismatch(scene: Scene) -> Met:
    other = base64.b64encode(hashlib.sha1(b"other bytes").digest()).decode()
    return scene.client.patch(
        upload_path(scene), content=b"12345678", headers={**PART, "Upload-Checksum": f"sha1 {other}"}
    )


def resource_locked(scene: Scene) -> Met:
    content = b"x" * (2 << 20)
    path = upload_path(scene, len(content) + 1)
    # An empty part, so that nothing is written whichever comes first.
    return second_of_two(scene, "PATCH", path, content, b"", PART, 423)


def precondition_failed(scene: Scene) -> Met:
    headers = {name: value for name, value in PART.items() if name not in TUS}
    return scene.client.patch(upload_path(scene), content=b"1", headers=headers)


WAYS: Final[Mapping[str, Callable[[Scene], Met]]] = {
    way.__name__: way
    for way in (
        no_authentication, credit_exceeded, insufficient_permissions, resource_not_found, method_not_allowed, not_acceptable,
        conflict, results_gone, payload_too_large, range_not_satisfiable, unsupported_media_type, malformed_request,
        validation_failed, unprocessable_content, rate_limit_exceeded, internal_server_error, service_unavailable,
        insufficient_storage, file_not_found, unsupported_file_format, asset_upload_failed, prediction_failed, upstream_failed,
        batch_validation_failed, batch_cancelled, batch_expired, batch_item_processing_failed, checksum_mismatch, resource_locked,
        precondition_failed,
    )
}  # fmt: skip
