"""Asking one host for one answer, after looking at every address that it has."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Any

import httpcore2

from amends.problems import ProblemError

from ._addresses import Allowed, refusal_of
from ._connections import Budget, CheckedBackend, Resolve, system_resolve
from ._content import BadCoding
from ._targets import Target


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one fetch, redirects included. idle_seconds: of silence once connected."""

    total_seconds: float = 120.0
    connect_seconds: float = 10.0
    idle_seconds: float = 20.0
    bytes: int = 100_000_000


class Failure(Exception):
    """What ends a visit: what becomes the problem's stage, detail (after the URL) and members."""

    def __init__(self, stage: str, detail: str, *, may_pass: bool | None = None, **members: Any) -> None:
        super().__init__(stage, detail)
        self.stage, self.detail, self.may_pass, self.members = stage, detail, may_pass, members


class Answer:
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


class Reaching:
    """One may be used by several threads.

    allowed: what may be connected to though it is not public. resolve, monotonic: the network's names and the clock.
    """

    def __init__(
        self,
        *,
        limits: FetchLimits | None = None,
        allowed: Allowed | None = None,
        resolve: Resolve = system_resolve,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits or FetchLimits()
        self._allowed = allowed or Allowed()
        self._resolve = resolve
        self._monotonic = monotonic

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        return httpcore2.default_ssl_context()

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
                raise Failure("blocked", f"is out of reach: its host{where} is not public ({what})")
        return addresses

    def _resolved(self, target: Target, budget: Budget) -> Sequence[str]:
        try:
            addresses = self._resolve(target.host, target.port, budget.within(self._limits.connect_seconds))
        except TimeoutError:
            raise Failure("timeout", "is out of reach: its host's name was not resolved in time") from None
        except socket.gaierror as error:
            may_pass = error.errno == socket.EAI_AGAIN
            raise Failure("resolve", "is out of reach: its host's name leads nowhere", may_pass=may_pass) from error
        except (OSError, UnicodeError) as error:
            raise Failure("resolve", "is out of reach: its host's name cannot be resolved") from error
        if not addresses:
            raise Failure("resolve", "is out of reach: its host's name leads nowhere")
        return addresses

    @contextmanager
    def _answer(
        self,
        target: Target,
        addresses: Sequence[str],
        budget: Budget,
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        content: bytes | None = None,
    ) -> Iterator[Answer]:
        """The answer of one request on a connection of its own: nothing is kept between hosts, nor sent from one to another."""
        limits = self._limits
        connection = httpcore2.HTTPConnection(
            httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self._ssl_context if target.scheme == "https" else None,
            network_backend=CheckedBackend(addresses, budget, limits.connect_seconds),
        )
        waits = {"connect": limits.connect_seconds, "read": limits.idle_seconds, "write": limits.idle_seconds}
        request = httpcore2.Request(
            method,
            httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
            headers=[*_headers(target), *headers],
            content=content,
            extensions={"timeout": waits},
        )
        with _mapped(), closing(connection):
            response = connection.handle_request(request)
            with closing(response):
                yield Answer(response)


def _headers(target: Target) -> list[tuple[str, str]]:
    return [
        ("Host", target.authority),
        ("User-Agent", "amends"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]


@contextmanager
def _mapped() -> Iterator[None]:
    """What the HTTP library, the system and the disk raise, as failures of the fetch."""
    try:
        yield
    except (Failure, GeneratorExit):
        raise
    except BadCoding as error:
        raise Failure("decode", f"answered {error}") from error
    except (httpcore2.TimeoutException, TimeoutError) as error:
        raise Failure("timeout", "did not answer in time") from error
    except httpcore2.ConnectError as error:
        if isinstance(cause := error.__cause__, ssl.SSLCertVerificationError):
            why = cause.verify_message
            raise Failure("connect", f"has a certificate that is not valid: {why}", may_pass=False) from error
        raise Failure("connect", "could not be connected to") from error
    except httpcore2.RemoteProtocolError as error:
        raise Failure("download", "broke off, or answered what is no HTTP", may_pass=True) from error
    except httpcore2.NetworkError as error:
        raise Failure("download", "broke off", may_pass=True) from error
    except ProblemError as error:
        if error.problem.slug != "insufficient_storage":
            raise
        raise Failure("internal", "was answered, but there is no room here to keep it") from error
