"""The loop of a fetch: resolve, look at the addresses, connect, follow, stream into a blob."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Any, Final, NamedTuple, Protocol

import httpcore2

from amends.blobs import LocalBlobs
from amends.problems import ProblemError, asset_failed
from amends.resilience import parse_retry_after

from ._addresses import Allowed, refusal_of
from ._connections import Budget, CheckedBackend, Resolve, system_resolve
from ._content import BadCoding, decoded
from ._targets import BadUrl, Target, read_url, redirected

MAX_REDIRECTS: Final = 5
HEAD_BYTES: Final = 64 * 1024
"""So much of the content ``LookAt`` is shown before the rest is read."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAY_PASS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one fetch, redirects included. idle_seconds: of silence once connected."""

    total_seconds: float = 120.0
    connect_seconds: float = 10.0
    idle_seconds: float = 20.0
    bytes: int = 100_000_000


class Fetched(NamedTuple):
    """What a URL answered. declared: its ``Content-Type``, empty without. filename: the last segment of the URL's path."""

    sha256: str
    size: int
    declared: str
    filename: str


class LookAt(Protocol):
    def __call__(self, head: bytes, declared: str, target: Target) -> None:
        """Look at the first bytes, all where they are fewer than 64 KiB; ProblemError stops the fetch."""


class _Failure(Exception):
    """A fetch that ends: what becomes the problem's stage, detail (after the URL) and members."""

    def __init__(self, stage: str, detail: str, *, may_pass: bool | None = None, **members: Any) -> None:
        super().__init__(stage, detail)
        self.stage, self.detail, self.may_pass, self.members = stage, detail, may_pass, members


class Fetcher:
    """Fetches URLs into blobs. One may be used by several threads.

    allowed: what may be connected to though it is not public. resolve, monotonic, now: the network's names and the clocks.
    """

    def __init__(
        self,
        blobs: LocalBlobs,
        *,
        limits: FetchLimits | None = None,
        allowed: Allowed | None = None,
        resolve: Resolve = system_resolve,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._blobs = blobs
        self._limits = limits or FetchLimits()
        self._allowed = allowed or Allowed()
        self._resolve = resolve
        self._monotonic = monotonic
        self._now = now

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        return httpcore2.default_ssl_context()

    def fetch(self, url: str, look_at: LookAt | None = None) -> Fetched:
        """Fetch what the URL answers, through at most five redirects. Raises ProblemError asset_upload_failed, and look_at's."""
        budget = Budget(self._limits.total_seconds, self._monotonic)
        shown = "The URL"
        try:
            target = read_url(url)
            for _ in range(MAX_REDIRECTS + 1):
                shown = target.shown
                found = self._visit(target, budget, look_at)
                if isinstance(found, Fetched):
                    return found
                target = found
            raise _Failure("redirect", f"redirects more than {MAX_REDIRECTS} times")
        except BadUrl as error:
            raise ProblemError(asset_failed("blocked", str(error))) from error
        except _Failure as failure:
            made = asset_failed(
                failure.stage, f"{shown} {failure.detail}", may_pass=failure.may_pass, **failure.members
            )
            raise ProblemError(made) from failure

    def _visit(self, target: Target, budget: Budget, look_at: LookAt | None) -> Fetched | Target:
        """What is there, or where it leads."""
        addresses = self._addresses(target, budget)
        with self._answer(target, addresses, budget) as answer:
            if answer.status in _REDIRECTS:
                return _next(target, answer)
            if answer.status != 200:
                self._refuse(answer)
            return self._keep(target, answer, look_at)

    def _addresses(self, target: Target, budget: Budget) -> Sequence[str]:
        """The host's addresses, all of which may be connected to."""
        try:
            ip_address(target.host)
            addresses: Sequence[str] = [target.host]
        except ValueError:
            addresses = self._resolved(target, budget)
        for address in addresses:
            if (what := refusal_of(target.host, address, self._allowed)) is not None:
                where = "" if address == target.host else f" leads to {address}, which"
                raise _Failure("blocked", f"is not fetched: its host{where} is not public ({what})")
        return addresses

    def _resolved(self, target: Target, budget: Budget) -> Sequence[str]:
        try:
            addresses = self._resolve(target.host, target.port, budget.within(self._limits.connect_seconds))
        except TimeoutError:
            raise _Failure("timeout", "is not fetched: its host's name was not resolved in time") from None
        except socket.gaierror as error:
            may_pass = error.errno == socket.EAI_AGAIN
            raise _Failure("resolve", "is not fetched: its host's name leads nowhere", may_pass=may_pass) from error
        except (OSError, UnicodeError) as error:
            raise _Failure("resolve", "is not fetched: its host's name cannot be resolved") from error
        if not addresses:
            raise _Failure("resolve", "is not fetched: its host's name leads nowhere")
        return addresses

    @contextmanager
    def _answer(self, target: Target, addresses: Sequence[str], budget: Budget) -> Iterator[_Answer]:
        """The answer of one request on a connection of its own: nothing is kept between hosts, nor sent from one to another."""
        limits = self._limits
        connection = httpcore2.HTTPConnection(
            httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self._ssl_context if target.scheme == "https" else None,
            network_backend=CheckedBackend(addresses, budget, limits.connect_seconds),
        )
        waits = {"connect": limits.connect_seconds, "read": limits.idle_seconds, "write": limits.idle_seconds}
        request = httpcore2.Request(
            "GET",
            httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
            headers=_headers(target),
            extensions={"timeout": waits},
        )
        with _mapped(), closing(connection):
            response = connection.handle_request(request)
            with closing(response):
                yield _Answer(response)

    def _refuse(self, answer: _Answer) -> None:
        status = answer.status
        members: dict[str, Any] = {"upstream_status": status}
        if (asked := parse_retry_after(answer.header("retry-after"), self._now())) is not None and status in _MAY_PASS:
            members["retry_after"] = min(asked, _LONGEST_WAIT_SECONDS)
        raise _Failure("download", f"answered {status}", may_pass=status in _MAY_PASS, **members)

    def _keep(self, target: Target, answer: _Answer, look_at: LookAt | None) -> Fetched:
        limit = self._limits.bytes
        declared = answer.header("content-type")
        said = answer.header("content-length")
        if said.isascii() and said.isdigit() and int(said[:20]) > limit:
            raise _Failure("size", f"holds {said[:20]} bytes; at most {limit} are fetched", limit=limit)
        head = b""
        is_seen = look_at is None
        with self._blobs.writer() as writer:
            for piece in decoded(answer.pieces(), answer.header("content-encoding")):
                writer.write(piece)
                if writer.size > limit:
                    raise _Failure("size", f"holds more than the {limit} bytes that are fetched", limit=limit)
                if not is_seen and look_at is not None:
                    head += piece
                    if is_seen := len(head) >= HEAD_BYTES:
                        look_at(head, declared, target)
            if not is_seen and look_at is not None:
                look_at(head, declared, target)
            blob = writer.commit()
        return Fetched(blob.sha256, blob.size, declared, target.filename)


class _Answer:
    """An answer whose body is still to come."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        """The header's first value, "" without."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self._response.headers if key.lower() == wanted), "")

    def pieces(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()


def _headers(target: Target) -> list[tuple[str, str]]:
    return [
        ("Host", target.authority),
        ("User-Agent", "amends"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]


def _next(target: Target, answer: _Answer) -> Target:
    location = answer.header("location")
    if not location:
        raise _Failure("redirect", f"answered {answer.status} without Location", upstream_status=answer.status)
    try:
        return redirected(target, location)
    except BadUrl as error:
        raise _Failure(
            "redirect", f"redirects to what is not fetched. {error}", upstream_status=answer.status
        ) from error


@contextmanager
def _mapped() -> Iterator[None]:
    """What the HTTP library, the system and the disk raise, as failures of the fetch."""
    try:
        yield
    except (_Failure, GeneratorExit):
        raise
    except BadCoding as error:
        raise _Failure("decode", f"answered {error}") from error
    except (httpcore2.TimeoutException, TimeoutError) as error:
        raise _Failure("timeout", "did not answer in time") from error
    except httpcore2.ConnectError as error:
        if isinstance(cause := error.__cause__, ssl.SSLCertVerificationError):
            why = cause.verify_message
            raise _Failure("connect", f"has a certificate that is not valid: {why}", may_pass=False) from error
        raise _Failure("connect", "could not be connected to") from error
    except httpcore2.RemoteProtocolError as error:
        raise _Failure("download", "broke off, or answered what is no HTTP", may_pass=True) from error
    except httpcore2.NetworkError as error:
        raise _Failure("download", "broke off", may_pass=True) from error
    except ProblemError as error:
        if error.problem.slug != "insufficient_storage":
            raise
        raise _Failure("internal", "was answered, but there is no room here to keep it") from error
