"""Fetching from real sockets: what is let in, what is refused at which stage, and that nothing reaches where it must not."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amends.blobs import LocalBlobs
from amends.fetching import Allowed, Fetched, Fetcher, FetchLimits, Target
from amends.problems import Problem, ProblemError, asset_failed, problem
from tests import hosts
from tests.hosts import Host, answer, running_host

LOOPBACK = Allowed.of(["127.0.0.1"])


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with running_host() as host:
        yield host


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def fetcher(blobs: LocalBlobs, *, limits: FetchLimits | None = None, **options: Any) -> Fetcher:
    return Fetcher(blobs, limits=limits, **{"allowed": LOOPBACK, **options})


def refused(fetching: Fetcher, url: str) -> Problem:
    with pytest.raises(ProblemError) as raised:
        fetching.fetch(url)
    made = raised.value.problem
    assert made.slug == "asset_upload_failed"
    return made


def leftovers(blobs: LocalBlobs) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


# What comes in


def test_what_a_url_answers_becomes_a_blob(host: Host, blobs: LocalBlobs) -> None:
    host.pages["/files/scan%201.txt?sig=1"] = answer(b"Invoice 7", Content_Type="text/plain")
    fetched = fetcher(blobs).fetch(host.url("/files/scan%201.txt?sig=1"))
    assert fetched == Fetched(hashlib.sha256(b"Invoice 7").hexdigest(), 9, "text/plain", "scan 1.txt")
    assert blobs.get(fetched.sha256) == b"Invoice 7"


def test_a_request_says_nothing_of_us_but_what_it_must(
    host: Host, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    host.pages["/cookie"] = answer(b"", "302 Found", Set_Cookie="a=b", Location="/after")
    host.pages["/after"] = answer(b"done")
    assert fetcher(blobs).fetch(host.url("/cookie")).size == 4
    head = host.requests[-1].lower()
    assert {line.partition(":")[0] for line in head.splitlines()[1:] if line} == {
        "host", "user-agent", "accept", "accept-encoding", "connection",
    }  # fmt: skip
    assert f"host: 127.0.0.1:{host.port}" in head


def test_a_compressed_answer_is_unfolded_within_the_same_bound(host: Host, blobs: LocalBlobs) -> None:
    host.pages["/gz"] = answer(gzip.compress(b"text " * 1_000), Content_Encoding="gzip")
    host.pages["/bomb"] = answer(gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip")
    host.pages["/broken"] = answer(gzip.compress(b"text " * 1_000)[:-20], Content_Encoding="gzip")
    host.pages["/brotli"] = answer(b"x", Content_Encoding="br")
    fetching = fetcher(blobs, limits=FetchLimits(bytes=1_000_000))
    assert fetching.fetch(host.url("/gz")).size == 5_000
    assert refused(fetching, host.url("/bomb")).extensions["stage"] == "size"
    assert refused(fetching, host.url("/broken")).extensions["stage"] == "decode"
    assert refused(fetching, host.url("/brotli")).extensions["stage"] == "decode"
    assert len(leftovers(blobs)) == 1


def test_the_first_bytes_are_looked_at_before_the_rest_is_read(host: Host, blobs: LocalBlobs) -> None:
    host.pages["/endless"] = hosts.endless
    seen: list[tuple[int, str, str]] = []

    def look_at(head: bytes, declared: str, target: Target) -> None:
        seen.append((len(head), declared, target.path))
        raise ProblemError(asset_failed("content_type", "no"))

    with pytest.raises(ProblemError) as raised:
        fetcher(blobs).fetch(host.url("/endless"), look_at)
    assert raised.value.problem.extensions["stage"] == "content_type"
    assert len(seen) == 1
    assert 65_536 <= seen[0][0] <= 400_000
    assert seen[0][1:] == ("text/plain", "/endless")
    assert leftovers(blobs) == []


# What does not, each at its stage


def test_answers_that_are_no_file_end_at_the_stage_they_came_to(host: Host, blobs: LocalBlobs) -> None:
    quick = FetchLimits(total_seconds=0.6, idle_seconds=0.3, connect_seconds=0.5, bytes=100_000)
    busy = answer(b"", "503 Service Unavailable", Retry_After="7")
    cases: dict[str, tuple[bytes | hosts.Script, str, int | None, bool]] = {
        "/403": (answer(b"no", "403 Forbidden"), "download", 403, False),
        "/404": (answer(b"no", "404 Not Found"), "download", 404, False),
        "/410": (answer(b"no", "410 Gone"), "download", 410, False),
        "/204": (answer(b"", "204 No Content"), "download", 204, False),
        "/206": (answer(b"part", "206 Partial Content"), "download", 206, False),
        "/429": (answer(b"no", "429 Too Many Requests", Retry_After="7"), "download", 429, True),
        "/500": (answer(b"no", "500 Internal Server Error"), "download", 500, True),
        "/503": (busy, "download", 503, True),
        "/501": (answer(b"no", "501 Not Implemented"), "download", 501, False),
        "/cut": (hosts.cut, "download", None, True),
        "/no-http": (b"SSH-2.0-OpenSSH_9\r\n", "download", None, True),
        "/nothing": (b"", "download", None, True),
        "/huge": (answer(b"", Content_Length="9000000000"), "size", None, False),
        "/endless": (hosts.endless, "size", None, False),
        "/drip": (hosts.dripping, "timeout", None, True),
        "/drip-head": (hosts.dripping_head, "timeout", None, True),
        "/silent": (hosts.silent, "timeout", None, True),
        "/nowhere": (answer(b"", "302 Found"), "redirect", 302, False),
        "/loop": (answer(b"", "302 Found", Location="/loop"), "redirect", None, False),
        "/file": (answer(b"", "302 Found", Location="file:///etc/passwd"), "redirect", 302, False),
        "/secret": (answer(b"", "302 Found", Location="http://a:b@example.org/"), "redirect", 302, False),
    }
    host.pages.update({path: page for path, (page, _, _, _) in cases.items()})
    for path, (_, stage, status, may_pass) in cases.items():
        started = time.monotonic()
        made = refused(fetcher(blobs, limits=quick), host.url(path + "?secret=1") if path == "/404" else host.url(path))
        assert (made.extensions["stage"], made.extensions.get("upstream_status")) == (stage, status), path
        assert made.remedy.retryable == may_pass, path
        assert made.remedy.hint
        assert "secret=" not in made.detail
        assert path in made.detail or stage == "redirect"
        assert time.monotonic() - started < 5
    assert refused(fetcher(blobs), host.url("/503")).retry_after == 7
    assert host.hits("/loop") == 6, "the first, and five redirects"
    assert leftovers(blobs) == []


def test_hosts_that_cannot_be_had_end_at_the_stage_they_came_to(blobs: LocalBlobs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert refused(fetcher(blobs), f"http://127.0.0.1:{port}/").extensions["stage"] == "connect"

    resolve = hosts.names(
        none_example=socket.gaierror(socket.EAI_NONAME, "unknown"),
        busy_example=socket.gaierror(socket.EAI_AGAIN, "try again"),
        slow_example=TimeoutError(),
        empty_example=[],
    )
    fetching = fetcher(blobs, resolve=resolve)
    for name, stage, may_pass in (
        ("none", "resolve", False),
        ("busy", "resolve", True),
        ("slow", "timeout", True),
        ("empty", "resolve", False),
    ):
        made = refused(fetching, f"http://{name}.example/")
        assert (made.extensions["stage"], made.remedy.retryable) == (stage, may_pass)


def test_a_certificate_that_is_not_trusted_is_refused_for_good_and_the_name_is_asked_for(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                hello.append(connection.recv(4_096))

        thread = threading.Thread(target=accept)
        thread.start()
        port = listener.getsockname()[1]
        made = refused(fetcher(blobs, resolve=hosts.names(files_example="127.0.0.1")), f"https://files.example:{port}/")
        thread.join()
    assert made.extensions["stage"] == "connect"
    assert b"files.example" in hello[0], "the server is told which name is wanted, though an address was connected to"


def test_a_full_disk_is_our_own_trouble(host: Host, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    host.pages["/a"] = answer(b"a")
    monkeypatch.setattr("amends.blobs.BlobWriter.write", _no_room)
    made = refused(fetcher(blobs), host.url("/a"))
    assert (made.extensions["stage"], made.remedy.retryable, made.remedy.fault) == ("internal", True, "service")


def _no_room(*_: Any) -> None:
    raise ProblemError(problem("insufficient_storage"))


# Where it must not reach


INSIDE = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://0.0.0.0:{port}/", "http://[::]:{port}/",
    "http://127.1:{port}/", "http://2130706433:{port}/", "http://0x7f.1:{port}/", "http://0177.0.0.1:{port}/",
    "http://127。0。0。1:{port}/", "http://inside.example:{port}/", "http://mixed.example:{port}/",
    "http://good.example@127.0.0.1:{port}/", "http://good.example\\@127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/", "http://metadata.example/computeMetadata/v1/",
    "http://[fd00:ec2::254]/latest/meta-data/", "http://100.100.100.200/", "http://224.0.0.1/", "http://100.64.0.1/",
]  # fmt: skip


@pytest.mark.parametrize("url", INSIDE)
def test_no_trick_reaches_inside(host: Host, blobs: LocalBlobs, url: str) -> None:
    resolve = hosts.names(
        localhost=["127.0.0.1", "::1"],
        inside_example="127.0.0.1",
        mixed_example=["1.1.1.1", "127.0.0.1"],
        metadata_example="169.254.169.254",
    )
    before = host.connections
    made = refused(Fetcher(blobs, resolve=resolve), url.format(port=host.port))
    assert made.extensions["stage"] == "blocked"
    assert not made.remedy.retryable
    assert host.connections == before


def test_each_redirect_is_looked_at_like_the_first_url(host: Host, blobs: LocalBlobs) -> None:
    for number, location in enumerate(
        ("http://169.254.169.254/latest/meta-data/", "http://inside.example/", "//10.0.0.1/", "http://[::1]/")
    ):
        host.pages[f"/to/{number}"] = answer(b"", "302 Found", Location=location)
        made = refused(fetcher(blobs, resolve=hosts.names(inside_example="192.168.0.1")), host.url(f"/to/{number}"))
        assert made.extensions["stage"] == "blocked"


def test_a_name_is_resolved_once_and_only_what_was_looked_at_is_connected_to(host: Host, blobs: LocalBlobs) -> None:
    """DNS rebinding: a name that answers well when it is looked at, and with an address inside when it is asked again."""
    asked: list[str] = []

    def rebinding(name: str, port: int, seconds: float) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    host.pages["/rebound"] = answer(b"from where it was looked at")
    fetched = fetcher(blobs, resolve=rebinding).fetch(host.url("/rebound", "rebinding.example"))
    assert fetched.size == 27
    assert asked == ["rebinding.example"]
    assert f"Host: rebinding.example:{host.port}" in host.requests[-1]

    # The other way round: the second request to the same name is a fetch of its own, and is refused.
    assert (
        refused(fetcher(blobs, resolve=rebinding), host.url("/rebound", "rebinding.example")).extensions["stage"]
        == "blocked"
    )


def test_a_name_that_changes_between_redirects_is_refused_at_the_next(host: Host, blobs: LocalBlobs) -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    host.pages["/again"] = answer(b"", "307 Temporary Redirect", Location="/again")
    made = refused(fetcher(blobs, resolve=hosts.names(turning_example=answers)), host.url("/again", "turning.example"))
    assert made.extensions["stage"] == "blocked"
    assert "169.254.169.254" in made.detail


def test_other_addresses_of_a_host_are_tried_where_one_does_not_answer(host: Host, blobs: LocalBlobs) -> None:
    host.pages["/second"] = answer(b"second")
    allowed = Allowed.of(["127.0.0.0/8"])
    resolve = hosts.names(two_example=["127.0.0.2", "127.0.0.1"])
    assert fetcher(blobs, resolve=resolve, allowed=allowed).fetch(host.url("/second", "two.example")).size == 6
