"""One call: sent, judged, repeated where that helps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from amends import __version__
from amends.problems import Problem, parse, problem
from amends.resilience import Deadline, GiveUp, Retry, parse_retry_after, retry_decision

from ._bodies import Body
from ._context import LOGGER, Context, GiveUpEvent, ReadOptions, ResponseEvent, RetryEvent, WriteOptions, tell
from ._exceptions import ApiError, Attempt, NetworkError, RequestTimeoutError, error_from
from ._flow import Answer, Failure, Flow, Request, Send, Sleep

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_MAX_KEY_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked for, whatever the number of tries. query: members that are None are left out.

    is_bulk: its size decides how long it takes, so the timeout bounds each silence only.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_bulk: bool = False
    is_streamed: bool = False


def exchange(context: Context, call: Call, options: ReadOptions | WriteOptions) -> Flow[Answer]:
    """Send ``call`` until an answer is good or nothing is left to try; closes its body.

    Raises what ``amends.exceptions`` has for the last try: ApiError and its kinds, NetworkError, RequestTimeoutError.
    """
    try:
        tries = _Tries(context, call, options)
        while True:
            outcome = yield Send(tries.next_request())
            error = tries.judge(outcome)
            if error is None:
                assert isinstance(outcome, Answer)
                return dataclasses.replace(outcome, attempts=tuple(tries.attempts))
            yield Sleep(tries.pause_or_raise(error))
    finally:
        if call.body is not None:
            call.body.close()


class _Tries:
    """The tries of one call."""

    def __init__(self, context: Context, call: Call, options: ReadOptions | WriteOptions) -> None:
        self.attempts: list[Attempt] = []
        self._context = context
        self._call = call
        policy = context.policy
        self._timeout = _seconds("timeout", options.get("timeout", policy.timeout_seconds))
        deadline = _seconds("deadline", options.get("deadline", policy.deadline_seconds))
        self._deadline = None if deadline is None else Deadline.after(deadline, context.clock.monotonic())
        self._headers = _headers(context, call, options)
        self._url = context.base_url + call.path + _query(call.query)
        self._waited = 0.0
        self._started_at = self._started = 0.0

    def next_request(self) -> Request:
        now = self._context.clock.monotonic()
        remaining = None if self._deadline is None else self._deadline.remaining(now)
        if remaining is not None and remaining <= 0:
            raise RequestTimeoutError(self._sentence("ran out of time before it was sent"), tuple(self.attempts))
        headers = {**self._headers, "Amends-Attempt": str(len(self.attempts))}
        if remaining is not None:
            headers["Amends-Timeout"] = f"{remaining:.3f}"
        self._started, self._started_at = now, self._context.clock.time()
        return Request(
            self._call.method,
            self._url,
            headers,
            self._call.body,
            timeout_seconds=min(
                (seconds for seconds in (self._timeout, remaining) if seconds is not None), default=None
            ),
            is_bulk=self._call.is_bulk,
            is_streamed=self._call.is_streamed,
            expires_at=None if self._deadline is None else self._deadline.at,
        )

    def judge(self, outcome: Answer | Failure) -> ApiError | NetworkError | None:
        """Record the try; return what it would raise, None for a good one."""
        if isinstance(outcome, Failure):
            self._record(None, _spoken(outcome.error))
            return self._network_error(outcome)
        if 200 <= outcome.status < 300:
            self._record(outcome.status, None)
            self._tell_response(outcome)
            return None
        found = _read_problem(outcome)
        self._record(outcome.status, found.error_code)
        self._tell_response(outcome)
        asked = parse_retry_after(outcome.headers.get("retry-after", ""), self._context.clock.time())
        return error_from(found, outcome.status, tuple(self.attempts), asked)

    def pause_or_raise(self, error: ApiError | NetworkError) -> float:
        """Return the seconds to wait before the next try, or raise ``error``."""
        decision = self._decide(error)
        call = self._call
        fields = {"method": call.method, "path": call.path, "attempt": len(self.attempts), "error": _spoken(error)}
        if isinstance(decision, GiveUp):
            LOGGER.info("gave_up", extra={**fields, "reason": decision.reason})
            event = GiveUpEvent(call.method, call.path, error.attempts, decision.reason, error)
            tell(self._context.hooks.on_give_up, event)
            raise error
        self._waited = decision.after_seconds
        LOGGER.info("retrying", extra={**fields, "wait_seconds": round(self._waited, 3)})
        retry = RetryEvent(call.method, call.path, self.attempts[-1], self._waited, error)
        tell(self._context.hooks.on_retry, retry)
        return self._waited

    def _record(self, status: int | None, error: str | None) -> None:
        started_at = datetime.fromtimestamp(self._started_at, UTC)
        self.attempts.append(Attempt(len(self.attempts) + 1, started_at, status, error, self._waited))

    def _decide(self, error: ApiError | NetworkError) -> Retry | GiveUp:
        now = self._context.clock.monotonic()
        answered = error if isinstance(error, ApiError) else None
        return retry_decision(
            status=answered.status_code if answered else None,
            error_code=answered.error_code if answered else None,
            attempt=len(self.attempts),
            max_retries=self._context.policy.max_retries,
            repeatable=self._call.method in _SAFE_METHODS or "Idempotency-Key" in self._headers,
            # Elsewhere than on these the header says something else, or nothing that binds us.
            retry_after_seconds=answered.retry_after if answered and answered.status_code in (409, 429, 503) else None,
            remaining_seconds=None if self._deadline is None else self._deadline.remaining(now),
            draw=self._context.draw,
        )

    def _network_error(self, failure: Failure) -> NetworkError:
        attempts = tuple(self.attempts)
        if failure.is_timeout:
            elapsed = self._context.clock.monotonic() - self._started
            return RequestTimeoutError(self._sentence(f"had no answer after {elapsed:.1f} s"), attempts)
        return NetworkError(self._sentence(f"failed: {_spoken(failure.error)}"), attempts)

    def _sentence(self, what: str) -> str:
        return f"{self._call.method} {self._context.base_url}{self._call.path} {what}."

    def _tell_response(self, answer: Answer) -> None:
        elapsed = self._context.clock.monotonic() - self._started
        call, request_id = self._call, answer.headers.get("x-request-id")
        fields = {"method": call.method, "path": call.path, "status_code": answer.status, "request_id": request_id}
        LOGGER.debug("response", extra=fields)
        event = ResponseEvent(call.method, call.path, answer.status, request_id, self.attempts[-1], elapsed)
        tell(self._context.hooks.on_response, event)


def within(context: Context, options: ReadOptions) -> Callable[[], ReadOptions]:
    """Return what gives each of a flow's calls the options with what is left of the whole flow's deadline.

    It raises RequestTimeoutError once nothing is left.
    """
    seconds = _seconds("deadline", options.get("deadline", context.policy.deadline_seconds))
    if seconds is None:
        return lambda: options
    deadline = Deadline.after(seconds, context.clock.monotonic())

    def left() -> ReadOptions:
        remaining = deadline.remaining(context.clock.monotonic())
        if remaining <= 0:
            raise RequestTimeoutError(f"The call did not end within its deadline of {seconds:g} s.")
        return {**options, "deadline": remaining}

    return left


def _read_problem(answer: Answer) -> Problem:
    found = parse(answer.status, answer.headers.get("content-type"), answer.body)
    request_id = answer.headers.get("x-request-id")
    return found.replace(request_id=request_id[:200]) if found.request_id is None and request_id else found


def malformed(answer: Answer, why: str) -> ApiError:
    """Return what is raised for a good status with a body that is not what was promised."""
    status = answer.status
    detail = (
        f"The answer ({status}) is not what this call promises: {why[:300]}. Check that base_url is an Amends server"
    )
    found = problem("internal_server_error", detail, request_id=answer.headers.get("x-request-id"))
    return error_from(found, status, answer.attempts)


def _headers(context: Context, call: Call, options: ReadOptions | WriteOptions) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": f"amends-python/{__version__}", **call.headers}
    if call.body is not None:
        headers.update(call.body.headers)
    if context.api_key is not None:
        headers["Authorization"] = f"Bearer {context.api_key.reveal()}"
    if call.method not in _SAFE_METHODS:
        given = options.get("idempotency_key")
        headers["Idempotency-Key"] = _checked_key(given) if isinstance(given, str) else context.new_key()
    return headers


def _checked_key(key: str) -> str:
    if not (0 < len(key) <= _MAX_KEY_CHARS and key.isascii() and key.isprintable() and key == key.strip()):
        raise ValueError(f"idempotency_key is 1 to {_MAX_KEY_CHARS} printable ASCII characters, not {key!r}")
    return key


def _seconds(name: str, value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise ValueError(f"{name} is a number of seconds above 0, or None; not {value!r}")
    return value


def _query(members: Mapping[str, Any]) -> str:
    given = [(name, _text(value)) for name, value in members.items() if value is not None]
    return f"?{urlencode(given)}" if given else ""


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _spoken(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
