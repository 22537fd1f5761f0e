"""Sending something to somebody's URL, with the same care as fetching from it, and no redirect followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from amends.resilience import parse_retry_after

from ._connections import Budget
from ._reaching import Answer, Failure, Reaching
from ._targets import BadUrl, read_url

_SHOWN_BYTES: Final = 1_024


class Sent(NamedTuple):
    """What was answered. status: None where nothing was; error: what was wrong then. text: the first kilobyte of the answer.

    retry_after: seconds that the answer asked to wait, None where it did not.
    """

    status: int | None
    error: str | None
    text: str = ""
    retry_after: float | None = None


class Sender(Reaching):
    """Posts to URLs. One may be used by several threads."""

    def post(self, url: str, headers: Mapping[str, str], content: bytes, *, now: float) -> Sent:
        """Post the content. Whatever goes wrong is told, not raised. now: wall time, for a date in ``Retry-After``."""
        budget = Budget(self._limits.total_seconds, self._monotonic)
        shown, sent = "The URL", None
        try:
            target = read_url(url)
            shown = target.shown
            given = [*headers.items(), ("Content-Length", str(len(content)))]
            addresses = self._addresses(target, budget)
            with self._answer(target, addresses, budget, method="POST", headers=given, content=content) as answer:
                asked = parse_retry_after(answer.header("retry-after"), now)
                sent = Sent(answer.status, None, "", asked)
                sent = sent._replace(text=_beginning(answer))
            return sent
        except BadUrl as error:
            return Sent(None, str(error))
        except Failure as failure:
            # The status is the answer; that the rest of it broke off is of no account.
            return sent or Sent(None, f"{shown} {failure.detail}")


def _beginning(answer: Answer) -> str:
    """As much of the answer as is kept; the rest is not waited for."""
    taken = b""
    for piece in answer.pieces():
        taken += piece[: _SHOWN_BYTES - len(taken)]
        if len(taken) >= _SHOWN_BYTES:
            break
    return taken.decode("utf-8", "replace").replace("\0", "\ufffd")
