"""What a provider's failure is to an item: a problem that says who refused, with which status, and whether to try again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from amends.problems import Problem, problem
from amends.resilience import parse_retry_after

__all__ = ["cut_off", "refusal_of", "timed_out", "unreadable"]

_MAX_SAID_CHARS: Final = 300
_TIMEOUTS: Final = frozenset({408, 504})
_LIMITED_SECONDS: Final = 1.0
"""How long to wait after a 429 that does not say so."""
_WITHOUT_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_HINTS: Final = {
    401: "The provider does not take the key: set the environment variable that its key_variable names, and retry.",
    402: "The provider's account has no credit: top it up there, and retry.",
    403: "The provider's key may not use this model: ask for access there, and retry.",
    404: "The provider does not know the model or the path: correct the model's name or the provider's base_url, and retry.",
    413: "The item is too large for the provider: split it, ask for single pages, and retry.",
}


def refusal_of(provider: str, status: int, headers: Mapping[str, str], body: bytes, now_epoch: float) -> Problem:
    """The problem of an answer that is none. headers: names in lower case. now_epoch: what a date of Retry-After is compared with."""
    said, code = _said(body)
    detail = f"The provider '{provider}' answered {status}" + (f": {said}" if said else "")
    if status == 429 and code not in _WITHOUT_CREDIT:
        return problem(
            "upstream_failed",
            detail,
            error_code="UPSTREAM_RATE_LIMITED",
            retry_after=_LIMITED_SECONDS if (wait := _wait(headers, now_epoch)) is None else wait,
            provider=provider,
            upstream_status=status,
        )
    if status in _TIMEOUTS or status >= 500:
        return problem(
            "upstream_failed",
            detail,
            error_code="UPSTREAM_TIMEOUT" if status in _TIMEOUTS else "UPSTREAM_ERROR",
            retry_after=_wait(headers, now_epoch),
            provider=provider,
            upstream_status=status,
        )
    return problem(
        "upstream_failed",
        detail,
        error_code="UPSTREAM_REFUSED",
        hint=_HINTS.get(402 if code in _WITHOUT_CREDIT else status),
        provider=provider,
        upstream_status=status,
    )


def timed_out(provider: str, seconds: float) -> Problem:
    """No whole answer came in time; the provider may have done the work."""
    detail = f"The provider '{provider}' did not answer within {seconds:g} seconds"
    return problem("upstream_failed", detail, error_code="UPSTREAM_TIMEOUT", provider=provider, upstream_status=None)


def cut_off(provider: str, what: str) -> Problem:
    """The connection could not be made, or broke."""
    detail = f"The connection to the provider '{provider}' failed: {what}"
    return problem("upstream_failed", detail, error_code="UPSTREAM_ERROR", provider=provider, upstream_status=None)


def unreadable(provider: str, status: int, what: str) -> Problem:
    """It answered well, but not with what an OpenAI-compatible provider answers."""
    detail = f"The provider '{provider}' answered {status} with {what}"
    return problem("upstream_failed", detail, error_code="UPSTREAM_ERROR", provider=provider, upstream_status=status)


def _wait(headers: Mapping[str, str], now_epoch: float) -> float | None:
    given = headers.get("retry-after")
    return None if given is None else parse_retry_after(given, now_epoch)


def _said(body: bytes) -> tuple[str, str | None]:
    """The sentence and the code of an error body of whatever shape; an empty sentence for what is no JSON."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", None
    if isinstance(said, list) and said:
        said = said[0]
    if isinstance(said, dict) and isinstance(said.get("error"), dict | str):
        said = said["error"]
    if isinstance(said, dict):
        code = next((said[name] for name in ("code", "type") if isinstance(said.get(name), str)), None)
        sentence = next((said[name] for name in ("message", "detail", "error") if isinstance(said.get(name), str)), "")
    else:
        code, sentence = None, said if isinstance(said, str) else ""
    sentence = " ".join(sentence.split())
    return (sentence if len(sentence) <= _MAX_SAID_CHARS else sentence[:_MAX_SAID_CHARS] + "…"), code
