"""What every request meets before a route, and what it gets when something is wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from amends.server import files, limits
from amends.server.app import create_app
from amends.server.logs import add_request_id, configure_logs
from amends.server.settings import LogFormat
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

NEW_KEY = "/v1/api-keys"
LOG_FORMATS: tuple[LogFormat, ...] = ("text", "json")


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client() as opened:
        yield opened


# Finding a route


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/v1/files/", "/v1/files/file_made_up", "/errors/made_up"])
def test_what_does_not_exist_is_not_found(client: httpx2.Client, path: str) -> None:
    assert_problem(client.get(path), "resource_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("POST", "/v1/files/x", "DELETE, GET, PATCH"),
        ("DELETE", "/health/live", "GET"),
    ],
)
def test_a_method_that_is_not_allowed_is_told_which_are(
    client: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert_problem(answer, "method_not_allowed")
    assert answer.headers["allow"] == allowed


# Bodies

UNREADABLE: list[tuple[str, bytes, str]] = [
    ("broken JSON", b'{"role": ', "malformed_request"),
    ("no JSON at all", b"\xff\xfe\x00", "malformed_request"),
    ("nested too deep", b"[" * 65 + b"]" * 65, "malformed_request"),
    ("nested far too deep", b'{"a":' * 200_000, "malformed_request"),
    ("nested too deep behind strings", b'["]]]]", ' + b"[" * 70 + b"]" * 70 + b"]", "malformed_request"),
    ("empty", b"", "validation_failed"),
    ("null", b"null", "validation_failed"),
    ("a list", b"[]", "validation_failed"),
    ("lone surrogate", b'{"role": "member", "name": "\\ud800"}', "validation_failed"),
    ("wrong type", b'{"role": 5}', "validation_failed"),
    ("unknown field", b'{"role": "member", "rolle": 1}', "validation_failed"),
    ("huge number", b'{"role": 1e999}', "validation_failed"),
    ("not a number", b'{"role": NaN}', "validation_failed"),
]


@pytest.mark.parametrize(("body", "slug"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_a_body_that_cannot_be_taken_is_refused(client: httpx2.Client, body: bytes, slug: str) -> None:
    assert_problem(client.post(NEW_KEY, content=body, headers={"content-type": "application/json"}), slug)


@pytest.mark.parametrize("body", [b'{"\\ud800": 1}', b'{"role": "\\ud800"}', b'{"role": NaN}'])
def test_what_utf8_or_json_cannot_say_is_quoted_without_harm(client: httpx2.Client, body: bytes) -> None:
    headers = {"content-type": "application/json", "accept": "application/json; dialect=detail"}
    answer = client.post(NEW_KEY, content=body, headers=headers)
    assert answer.status_code == 422
    assert json.loads(answer.text, parse_constant=pytest.fail)["error_code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "application/x-ndjson", ""])
def test_a_json_body_of_another_type_is_said_to_be_so(client: httpx2.Client, media_type: str) -> None:
    answer = client.post(NEW_KEY, content=b'{"role": "viewer"}', headers={"content-type": media_type})
    assert_problem(answer, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", NEW_KEY), ("POST", "/v1/batch-predictions"), ("POST", "/v1/files")]
)
def test_a_compressed_body_is_refused(client: httpx2.Client, method: str, path: str) -> None:
    answer = client.request(method, path, json={"role": "viewer"}, headers={"content-encoding": "gzip"})
    assert_problem(answer, "unsupported_media_type")


def test_every_fault_is_named_at_once_with_pointer_and_word(client: httpx2.Client) -> None:
    body = assert_problem(client.post(NEW_KEY, json={"role": "king", "name": "", "extra": 1}), "validation_failed")
    assert {(row["pointer"], row["type"]) for row in body["errors"]} == {
        ("/role", "literal_error"),
        ("/name", "string_too_short"),
        ("/extra", "extra_forbidden"),
    }
    assert body["errors_total"] == 3


def test_a_parameter_of_the_query_is_named_as_such(client: httpx2.Client) -> None:
    body = assert_problem(client.get("/v1/files", params={"limit": "many"}), "validation_failed")
    assert body["errors"][0]["loc"] == ["query", "limit"]


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None, limits__json_body_bytes=1_000) as small, small.client() as client:
        body = assert_problem(client.post(NEW_KEY, json={"name": "x" * 2_000}), "payload_too_large")
        assert body["limit"] == 1_000

        def pieces() -> Iterator[bytes]:
            yield from [b'"' + b"x" * 600] * 2

        chunked = client.post(NEW_KEY, content=pieces(), headers={"content-type": "application/json"})
        assert_problem(chunked, "payload_too_large")


def test_whoever_is_not_known_must_come_to_an_end(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_STRANGERS_SECONDS", 0.3)
    url = httpx2.URL(server.base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as slow:
        head = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        slow.sendall(head)
        said = b""
        while b"did not come within 0.3 seconds" not in said:
            piece = slow.recv(4_096)
            assert piece, said
            said += piece
    assert said.startswith(b"HTTP/1.1 400 ")


_READ_AS_THEY_COME = {
    "/v1/files", "/v1/uploads", "/v1/uploads/{upload_id}", "/v1/batch-predictions", "/v1/datasets/{dataset_id}/datapoints",
    "/openai/v1/files",
}  # fmt: skip


def test_no_body_is_held_beyond_the_limit_whatever_it_says_that_it_is(tmp_path: Path) -> None:
    def piece() -> Iterator[bytes]:
        yield b"x" * 3_000

    with running_server(tmp_path, engine=None, limits__json_body_bytes=1_000) as small, small.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
        asked = [
            (method.upper(), path)
            for path, methods in paths.items()
            for method in methods
            if method in ("post", "put", "patch", "delete") and path not in _READ_AS_THEY_COME
        ]
        kinds = itertools.cycle(["application/x-ndjson", "multipart/form-data; boundary=x", "application/octet-stream"])
        for (method, path), kind in zip([*asked, ("POST", "/ui/sign-in")], kinds, strict=False):
            given = client.request(
                method, path.replace("{", "").replace("}", ""), content=piece(), headers={"Content-Type": kind}
            )
            assert given.status_code == 413, (method, path, kind, given.text)
    assert len(asked) > 40


def test_whoever_is_not_known_sends_little(server: RunningServer) -> None:
    body = {"email": "a@b.example", "password": "x" * 8, "more": [[]] * 100_000}
    with server.client("") as nobody, server.client() as somebody:
        refused = nobody.post("/api/auth/login", json=body, headers={"Accept": "application/json; dialect=problem"})
        assert assert_problem(refused, "payload_too_large")["limit"] == 262_144
        assert nobody.post("/ui/sign-in", data={"key": "x" * 300_000}).status_code == 413
        assert_problem(somebody.post(NEW_KEY, json=body), "validation_failed")


def test_bodies_held_at_once_are_bounded_and_the_rest_asked_to_come_again(tmp_path: Path) -> None:
    flags: dict[str, Any] = {"limits__json_body_bytes": 1_000, "limits__json_bodies_bytes": 1_500}
    with running_server(tmp_path, engine=None, **flags) as small, small.client() as client:
        held, go_on = threading.Event(), threading.Event()

        def slowly() -> Iterator[bytes]:
            yield b" " * 900
            held.set()
            go_on.wait(10)
            yield b'{"role": "viewer"}'

        json_type = {"content-type": "application/json"}
        with ThreadPoolExecutor(1) as pool, small.client() as other:
            first = pool.submit(other.post, NEW_KEY, content=slowly(), headers=json_type)
            held.wait(10)
            answers = [client.post(NEW_KEY, content=b" " * 700 + b'{"role": "viewer"}') for _ in range(20)]
            go_on.set()
            assert first.result().status_code == 201
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert_problem(refused[-1], "service_unavailable")
        assert refused[-1].headers["retry-after"]
        assert client.post(NEW_KEY, content=b" " * 700 + b'{"role": "viewer"}', headers=json_type).status_code == 201
        held.clear()
        go_on.clear()
        with ThreadPoolExecutor(1) as pool, small.client("") as stranger:
            slow = pool.submit(stranger.post, "/api/auth/login", content=slowly(), headers=json_type)
            assert held.wait(10)
            time.sleep(0.2)  # so that it has come
            assert (
                client.post(NEW_KEY, content=b" " * 700 + b'{"role": "viewer"}', headers=json_type).status_code == 201
            )
            go_on.set()
            assert slow.result().status_code == 422


def test_headers_beyond_the_limit_are_refused(client: httpx2.Client) -> None:
    assert_problem(client.get("/v1/me", headers={"x-filler": "x" * 40_000}), "malformed_request")
    assert_problem(client.get("/v1/files", params={"after": "x" * 40_000}), "malformed_request")


# Request ids


@pytest.mark.parametrize("own", ["req_mine", "a", "0af7651916cd43dd8448eb211c80319c-b7ad6b", "x" * 128])
def test_a_sane_request_id_is_kept(client: httpx2.Client, own: str) -> None:
    assert client.get("/v1/me", headers={"x-request-id": own}).headers["x-request-id"] == own
    assert (
        assert_problem(client.get("/v1/no", headers={"x-request-id": own}), "resource_not_found")["request_id"] == own
    )


@pytest.mark.parametrize("own", ["", "a b", "x" * 129, "<script>", "{}", "a;b", "é"])
def test_any_other_request_id_is_replaced(client: httpx2.Client, own: str) -> None:
    answer = client.get("/v1/me", headers=[(b"x-request-id", own.encode("utf-8"))])
    assert answer.headers["x-request-id"].startswith("req_")
    assert len(answer.headers.get_list("x-request-id")) == 1


# Who is asking


def test_without_a_key_nobody_comes_in(shell: RunningServer) -> None:
    with shell.client("") as client:
        answer = client.get("/v1/me")
        assert_problem(answer, "no_authentication", detail="Not authenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert_problem(client.get("/v1/anything"), "no_authentication")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer ak_live_wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"x-api-key": "ak_live_wrong"},
        {"x-api-key": ""},
        {"authorization": "Bearer " + "x" * 5_000},
    ],
)
def test_a_wrong_credential_is_refused(shell: RunningServer, headers: dict[str, str]) -> None:
    with shell.client("") as client:
        answer = client.get("/v1/me", headers=headers)
    assert_problem(answer, "no_authentication", detail="Invalid authentication credentials")


def test_the_key_opens_as_bearer_and_as_header_and_as_both(shell: RunningServer) -> None:
    with shell.client("") as client:
        for headers in (
            {"authorization": f"Bearer {shell.key}"},
            {"authorization": f"bearer {shell.key}"},
            {"x-api-key": shell.key},
            {"x-api-key": shell.key, "authorization": f"Bearer {shell.key}"},
        ):
            assert client.get("/v1/me", headers=headers).status_code == 200


def test_two_different_credentials_are_refused_even_if_both_are_good(shell: RunningServer) -> None:
    other = shell.new_key()
    with shell.client(**{"x-api-key": other}) as client:
        assert_problem(client.get("/v1/me"), "no_authentication", detail="Invalid authentication credentials")


def test_open_pages_need_no_key(shell: RunningServer) -> None:
    with shell.client("") as client:
        for path in (
            "/health/live",
            "/health/ready",
            "/metrics",
            "/openapi.json",
            "/docs",
            "/errors",
            "/errors/conflict",
        ):
            assert client.get(path).status_code == 200, path


def test_the_local_socket_is_the_owner_and_a_tcp_client_cannot_say_it_is_local(shell: RunningServer) -> None:
    with shell.local_client() as client:
        me = client.get("/v1/me", headers={"authorization": "Bearer ak_live_wrong"}).json()
    assert (me["role"], me["user_id"], me["workspace_id"]) == ("owner", None, shell.owner.services.default_workspace_id)
    assert shell.owner.socket.stat().st_mode & 0o777 == 0o600
    with shell.client("") as client:
        answer = client.get("/v1/me", headers={"host": "local", "x-forwarded-for": "127.0.0.1", "is-local": "1"})
    assert_problem(answer, "no_authentication")


def test_no_auth_makes_everybody_the_owner(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None, no_auth=True, test=True) as free, free.client("") as client:
        assert free.owner.first_key is None
        assert client.get("/v1/me").json()["role"] == "owner"
        assert client.get("/v1/me").json()["mode"] == "test"
        wrong = client.get("/v1/me", headers={"x-api-key": "wrong"})
        assert_problem(wrong, "no_authentication")


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"host": "localhost:8080"}, True),
        ({"host": "[::1]:8080", "origin": "http://[::1]:8080"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"host": "evil.example:8080"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
    ],
)
def test_without_authentication_no_foreign_page_gets_in(
    tmp_path: Path, headers: dict[str, str], is_let_in: bool
) -> None:
    with running_server(tmp_path, engine=None, no_auth=True) as free, free.client("") as client:
        answer = client.get("/v1/me", headers=headers)
        assert answer.status_code == (200 if is_let_in else 401)
        assert client.get("/v1/me", headers={**headers, "x-api-key": free.new_key()}).status_code == 200


# Dialects


def test_another_dialect_is_spoken_where_it_is_asked_for(client: httpx2.Client) -> None:
    def body(dialect: str, path: str = "/v1/no") -> Any:
        answer = client.get(path, headers={"accept": f"text/html, application/json; dialect={dialect}"})
        assert answer.status_code == 404
        return answer.headers["content-type"], answer.json()

    assert body("detail")[1]["detail"] == "Resource not found"
    assert body("flat")[1]["error"] == "Resource not found"
    assert body("envelope")[1]["error"]["message"] == "Resource not found"
    assert body("envelope")[0] == "application/json"
    assert body("klingon")[0] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "member"), [("/api/x", "detail"), ("/v1/videos/x", "error"), ("/openai/v1/x", "error")]
)
def test_routes_of_another_dialect_speak_it_unasked(client: httpx2.Client, path: str, member: str) -> None:
    answer = client.get(path, headers={"accept": "application/xml"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert member in answer.json()


def test_no_accept_header_turns_an_error_into_another(client: httpx2.Client) -> None:
    assert_problem(client.get("/v1/no", headers={"accept": "image/png"}), "resource_not_found")


# Crashes

crashing = APIRouter(prefix="/v1")


@crashing.get("/crash")
async def crash() -> None:
    raise RuntimeError("secret: the password is swordfish, see /etc/passwd")


@crashing.get("/crash-midway")
async def crash_midway(request: Request) -> StreamingResponse:
    async def lines() -> Any:
        yield b"first\n"
        raise RuntimeError("secret")

    return StreamingResponse(lines(), media_type="text/plain")


async def get(shell: RunningServer, path: str, **headers: str) -> httpx2.Response:
    app = create_app(shell.owner.services, routes=[*crashing.routes, *files.router.routes])
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers={"x-api-key": shell.key}) as client:
        return await client.get(path, headers=headers)


def test_a_crash_is_a_problem_that_says_nothing_of_the_inside_and_a_log_line_that_does(shell: RunningServer) -> None:
    with capture_logs(processors=[add_request_id]) as logged:
        answer = asyncio.run(get(shell, "/v1/crash", **{"x-request-id": "req_of_the_crash"}))
    assert_problem(answer, "internal_server_error", detail="An unexpected error occurred")
    assert "swordfish" not in answer.text
    crash = next(event for event in logged if event["event"] == "request_crashed")
    assert crash["request_id"] == "req_of_the_crash"
    assert "swordfish" in str(crash["exc_info"])


def test_a_logged_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    configured = structlog.get_config()
    try:
        for log_format in LOG_FORMATS:
            configure_logs(log_format)
            try:
                api_key = "ak_live_" + "x" * 3
                raise RuntimeError(len(api_key))
            except RuntimeError as error:
                structlog.get_logger().error("crashed", exc_info=error)
            said = capsys.readouterr()
            assert "RuntimeError: 11" in said.err
            assert "ak_live_xxx" not in said.err
            assert said.out == ""
    finally:
        structlog.configure(**configured)
        logging.getLogger("amends").handlers.clear()


def test_once_headers_have_left_no_second_answer_is_begun(shell: RunningServer) -> None:
    with pytest.raises(RuntimeError, match="secret"):
        asyncio.run(get(shell, "/v1/crash-midway"))


# HTTP itself


def test_what_is_no_http_is_answered_with_a_problem(shell: RunningServer) -> None:
    host, port = shell.base_url.removeprefix("http://").split(":")
    for nonsense in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"):
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            raw.sendall(nonsense)
            raw.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: raw.recv(4_096), b""))
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in head
        assert json.loads(body)["request_id"].encode() in head
        assert json.loads(body)["type"] == f"{shell.base_url}/errors/malformed_request"
    with shell.client() as client:
        assert client.get("/v1/me").status_code == 200


# Pages


def test_every_type_answers_at_its_own_address_in_both_forms(client: httpx2.Client) -> None:
    listed = client.get("/errors").json()["data"]
    for row in listed:
        path = row["type"].removeprefix(str(client.base_url).rstrip("/"))
        assert client.get(path).json() == row
        page = client.get(path, headers={"accept": "text/html,application/xhtml+xml"})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["vary"] == "Accept"
        assert row["title"] in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_pages_name_no_address_outside(client: httpx2.Client) -> None:
    for text in (client.get("/docs").text, client.get("/errors", headers={"accept": "text/html"}).text):
        assert "<script" not in text
        assert "https://" not in text


def test_metrics_count_requests_by_route_and_not_by_id(client: httpx2.Client) -> None:
    client.get("/v1/files/file_of_nobody")
    text = client.get("/metrics").text
    assert 'route="/v1/files/{file_id}",status="404"' in text
    assert "file_of_nobody" not in text
    assert "amends_runs_unfinished" in text
