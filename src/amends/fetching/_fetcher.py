"""The loop of a fetch: resolve, look at the addresses, connect, follow, stream into a blob."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from amends.blobs import LocalBlobs
from amends.problems import ProblemError, asset_failed
from amends.resilience import parse_retry_after

from ._addresses import Allowed
from ._connections import Budget, Resolve, system_resolve
from ._content import decoded
from ._reaching import Answer, Failure, FetchLimits, Reaching
from ._targets import BadUrl, Target, read_url, redirected

MAX_REDIRECTS: Final = 5
HEAD_BYTES: Final = 64 * 1024
"""So much of the content ``LookAt`` is shown before the rest is read."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAY_PASS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS: Final = 3_600.0


class Fetched(NamedTuple):
    """What a URL answered. declared: its ``Content-Type``, empty without. filename: the last segment of the URL's path."""

    sha256: str
    size: int
    declared: str
    filename: str


class LookAt(Protocol):
    def __call__(self, head: bytes, declared: str, target: Target) -> None:
        """Look at the first bytes, all where they are fewer than 64 KiB; ProblemError stops the fetch."""


class Fetcher(Reaching):
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
        super().__init__(limits=limits, allowed=allowed, resolve=resolve, monotonic=monotonic)
        self._blobs = blobs
        self._now = now

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
            raise Failure("redirect", f"redirects more than {MAX_REDIRECTS} times")
        except BadUrl as error:
            raise ProblemError(asset_failed("blocked", str(error))) from error
        except Failure as failure:
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

    def _refuse(self, answer: Answer) -> None:
        status = answer.status
        members: dict[str, Any] = {"upstream_status": status}
        if (asked := parse_retry_after(answer.header("retry-after"), self._now())) is not None and status in _MAY_PASS:
            members["retry_after"] = min(asked, _LONGEST_WAIT_SECONDS)
        raise Failure("download", f"answered {status}", may_pass=status in _MAY_PASS, **members)

    def _keep(self, target: Target, answer: Answer, look_at: LookAt | None) -> Fetched:
        limit = self._limits.bytes
        declared = answer.header("content-type")
        said = answer.header("content-length")
        if said.isascii() and said.isdigit() and int(said[:20]) > limit:
            raise Failure("size", f"holds {said[:20]} bytes; at most {limit} are fetched", limit=limit)
        head = b""
        is_seen = look_at is None
        with self._blobs.writer() as writer:
            for piece in decoded(answer.pieces(), answer.header("content-encoding")):
                writer.write(piece)
                if writer.size > limit:
                    raise Failure("size", f"holds more than the {limit} bytes that are fetched", limit=limit)
                if not is_seen and look_at is not None:
                    head += piece
                    if is_seen := len(head) >= HEAD_BYTES:
                        look_at(head, declared, target)
            if not is_seen and look_at is not None:
                look_at(head, declared, target)
            blob = writer.commit()
        return Fetched(blob.sha256, blob.size, declared, target.filename)


def _next(target: Target, answer: Answer) -> Target:
    location = answer.header("location")
    if not location:
        raise Failure("redirect", f"answered {answer.status} without Location", upstream_status=answer.status)
    try:
        return redirected(target, location)
    except BadUrl as error:
        raise Failure(
            "redirect", f"redirects to what is not fetched. {error}", upstream_status=answer.status
        ) from error
