"""One call: sent, judged, repeated where that helps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NoReturn
from urllib.parse import urlencode, urlsplit

from amends import __version__
from amends.problems import Problem, parse, problem
from amends.resilience import (
    Breaker,
    BreakerEvent,
    Deadline,
    GiveUp,
    Opened,
    Permit,
    Reason,
    Refused,
    Retry,
    counts_against_host,
    parse_retry_after,
    retry_decision,
)

from ._bodies import Body
from ._context import LOGGER, Context, GiveUpEvent, ReadOptions, ResponseEvent, RetryEvent, WriteOptions, tell
from ._exceptions import AmendsError, ApiError, Attempt, CircuitOpenError, NetworkError, RequestTimeoutError, error_from
from ._flow import Answer, Failure, Flow, Request, Send, Sleep
from ._guards import route_group
from ._rates import rate_limit
from ._tracing import Trace

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_MAX_KEY_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked for, whatever the number of tries. query: members that are None are left out.

    is_bulk: its size decides how long it takes, so the timeout bounds each silence only. is_patient: it waits for a token
    of the retry budget, and while the host keeps failing, where a single call would fail; bulk always does.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_bulk: bool = False
    is_streamed: bool = False
    is_patient: bool = False


def exchange(context: Context, call: Call, options: ReadOptions | WriteOptions) -> Flow[Answer]:
    """Send ``call`` until an answer is good or nothing is left to try; closes its body.

    Raises what ``amends.exceptions`` has for the last try: ApiError and its kinds, NetworkError, RequestTimeoutError; and
    CircuitOpenError.
    """
    tries: _Tries | None = None
    try:
        tries = _Tries(context, call, options)
        while True:
            if tries.breaker is not None:
                yield from tries.enter(tries.breaker)
            outcome = yield Send(tries.next_request())
            error = tries.judge(outcome)
            if error is None:
                assert isinstance(outcome, Answer)
                return dataclasses.replace(outcome, attempts=tuple(tries.attempts))
            yield from tries.pause(error)
    finally:
        if tries is not None:
            tries.close()
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
        self._started_at = self._started = 0.0
        self._ended: float | None = None
        self._error: ApiError | NetworkError | None = None
        group, self._is_patient = route_group(call.path), call.is_bulk or call.is_patient
        is_guarded = self._is_patient or context.guards.guards_single_calls
        self.breaker: Breaker | None = context.guards.breaker_for(group) if is_guarded else None
        self._permit: Permit | None = None
        self._is_discouraged = False
        self._trace = Trace(call.method, group, self._url)
        self._end: AmendsError | str | None = "abandoned"

    def enter(self, breaker: Breaker) -> Flow[None]:
        """Ask the breaker for a try. Where it is open, bulk work of a client without one of its own waits."""
        while isinstance(entered := breaker.try_enter(self._now()), Refused):
            if not self._is_patient or self._context.guards.guards_single_calls:
                self._raise_circuit_open(entered)
            pause, remaining = max(0.0, entered.until - self._now()), self._remaining()
            LOGGER.info("waiting_for_circuit", extra={**self._fields(), "wait_seconds": round(pause, 3)})
            yield Sleep(pause if remaining is None else min(pause, remaining))
            if self._remaining() == 0:
                raise self._out_of_time()
        self._permit = entered

    def next_request(self) -> Request:
        now = self._context.clock.monotonic()
        remaining = self._remaining()
        if remaining is not None and remaining <= 0:
            raise self._out_of_time()
        timeout = min((seconds for seconds in (self._timeout, remaining) if seconds is not None), default=None)
        headers = {**self._headers, "Amends-Attempt": str(len(self.attempts))}
        # How long this try is waited for: of bulk, where the timeout bounds each silence only, the deadline alone.
        heard = remaining if self._call.is_bulk else timeout
        if heard is not None:
            headers["Amends-Timeout"] = f"{heard:.3f}"
        self._started, self._started_at = now, self._context.clock.time()
        self._trace.begin_try(len(self.attempts), headers)
        return Request(
            self._call.method,
            self._url,
            headers,
            self._call.body,
            timeout_seconds=timeout,
            is_bulk=self._call.is_bulk,
            is_streamed=self._call.is_streamed,
            expires_at=None if self._deadline is None else self._deadline.at,
        )

    def judge(self, outcome: Answer | Failure) -> ApiError | NetworkError | None:
        """Record the try; return what it would raise, None for a good one."""
        if isinstance(outcome, Failure):
            self._record(None, _spoken(outcome.error))
            self._report(None, None)
            self._trace.end_try(None, outcome.error)
            self._error = self._network_error(outcome)
            return self._error
        if 200 <= outcome.status < 300:
            self._record(outcome.status, None)
            self._report(outcome.status, None)
            self._tell_response(outcome)
            self._trace.end_try(outcome.status, None)
            self._end = None
            if (budget := self._context.guards.budget) is not None:
                budget.succeeded()
            return None
        found = _read_problem(outcome)
        self._record(outcome.status, found.error_code)
        asked = parse_retry_after(outcome.headers.get("retry-after", ""), self._context.clock.time())
        self._report(outcome.status, asked)
        self._tell_response(outcome)
        self._trace.end_try(outcome.status, str(outcome.status))
        self._is_discouraged = outcome.headers.get("x-should-retry", "").strip().lower() == "false"
        self._error = error_from(found, outcome.status, tuple(self.attempts), asked)
        return self._error

    def pause(self, error: ApiError | NetworkError) -> Flow[None]:
        """Wait before the next try, or raise ``error``."""
        decision = self._decide(error)
        if isinstance(decision, GiveUp):
            self._give_up(error, decision.reason)
        budget, pause = self._context.guards.budget, decision.after_seconds
        is_paid = budget is None or budget.try_take(self._now())
        if not (is_paid or self._is_patient):
            self._give_up(error, "budget_refused")
        self._tell_retry(error, pause)
        try:
            yield Sleep(pause)
        except GeneratorExit:  # the caller is gone, and the retry was not made
            if budget is not None and is_paid:
                budget.give_back()
            raise
        while not (is_paid or budget is None or (is_paid := budget.try_take(self._now()))):
            pause, remaining = budget.seconds_until_token(self._now()), self._remaining()
            if remaining is not None and pause >= remaining:
                self._give_up(error, "deadline")
            LOGGER.info("waiting_for_budget", extra={**self._fields(), "wait_seconds": round(pause, 3)})
            yield Sleep(pause)

    def close(self) -> None:
        """End what is left of a call that was not told to its end."""
        if self._permit is not None and self.breaker is not None:
            self.breaker.dropped(self._permit)
        self._trace.end(len(self.attempts), self._end)

    def _now(self) -> float:
        return self._context.clock.monotonic()

    def _remaining(self) -> float | None:
        return None if self._deadline is None else self._deadline.remaining(self._now())

    def _fields(self) -> dict[str, Any]:
        return {"method": self._call.method, "path": self._call.path, "attempt": len(self.attempts)}

    def _give_up(self, error: ApiError | NetworkError, reason: Reason) -> NoReturn:
        error.gave_up = reason
        self._tell_give_up(error, reason)
        raise error

    def _raise_circuit_open(self, refused: Refused) -> NoReturn:
        now = self._context.clock
        retry_at = datetime.fromtimestamp(now.time() + max(0.0, refused.until - now.monotonic()), UTC)
        host = urlsplit(self._context.base_url).netloc
        error = CircuitOpenError(host, retry_at, tuple(self.attempts))
        self._tell_give_up(error, "circuit_open")
        raise error from self._error

    def _out_of_time(self) -> RequestTimeoutError:
        error = RequestTimeoutError(self._sentence("ran out of time before it was sent"), tuple(self.attempts))
        error.gave_up, self._end = "deadline", error
        return error

    def _report(self, status: int | None, asked: float | None) -> None:
        """Tell the breaker what came."""
        permit, self._permit = self._permit, None
        if permit is None or self.breaker is None:
            return
        if counts_against_host(status):
            asked = asked if status == 503 else None
            events = self.breaker.failed(permit, self._now(), retry_after_seconds=asked)
        elif status is not None and status >= 500 and not permit.is_probe:
            return  # an answer, but no good one: neither a reason to open nor one to stay closed
        else:
            events = self.breaker.succeeded(permit, self._now())
        for event in events:
            self._tell_breaker(event)

    def _tell_breaker(self, event: BreakerEvent) -> None:
        if isinstance(event, Opened):
            seconds = round(event.until - self._now(), 3)
            LOGGER.warning("circuit_opened", extra={**self._fields(), "why": event.why, "open_seconds": seconds})
        else:
            LOGGER.warning("circuit_closed", extra=self._fields())

    def _tell_give_up(self, error: AmendsError, reason: Reason) -> None:
        self._end = error
        LOGGER.info("gave_up", extra={**self._fields(), "error": _spoken(error), "reason": reason})
        call = self._call
        tell(self._context.hooks.on_give_up, GiveUpEvent(call.method, call.path, tuple(self.attempts), reason, error))

    def _tell_retry(self, error: ApiError | NetworkError, pause: float) -> None:
        LOGGER.info("retrying", extra={**self._fields(), "error": _spoken(error), "wait_seconds": round(pause, 3)})
        retry = RetryEvent(self._call.method, self._call.path, self.attempts[-1], pause, error)
        tell(self._context.hooks.on_retry, retry)

    def _record(self, status: int | None, error: str | None) -> None:
        started_at = datetime.fromtimestamp(self._started_at, UTC)
        waited = 0.0 if self._ended is None else self._started - self._ended
        self._ended = self._now()
        self.attempts.append(Attempt(len(self.attempts) + 1, started_at, status, error, waited))

    def _decide(self, error: ApiError | NetworkError) -> Retry | GiveUp:
        answered = error if isinstance(error, ApiError) else None
        return retry_decision(
            status=answered.status_code if answered else None,
            error_code=answered.error_code if answered else None,
            attempt=len(self.attempts),
            max_retries=self._context.policy.max_retries,
            repeatable=self._call.method in _SAFE_METHODS or "Idempotency-Key" in self._headers,
            # Elsewhere than on these the header says something else, or nothing that binds us.
            retry_after_seconds=answered.retry_after if answered and answered.status_code in (409, 429, 503) else None,
            remaining_seconds=self._remaining(),
            draw=self._context.draw,
            is_discouraged=answered is not None and self._is_discouraged,
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
        if (hook := self._context.hooks.on_response) is not None:
            left = rate_limit(answer.headers)
            tell(
                hook, ResponseEvent(call.method, call.path, answer.status, request_id, self.attempts[-1], elapsed, left)
            )


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


def wait_for_token(context: Context, left: Callable[[], ReadOptions]) -> Flow[None]:
    """Pay for a retry of bulk work, waiting until it can be paid.

    left: gives the options with what is left of the deadline, and raises once nothing is.
    """
    budget = context.guards.budget
    while budget is not None and not budget.try_take(context.clock.monotonic()):
        pause = budget.seconds_until_token(context.clock.monotonic())
        deadline = left().get("deadline")
        yield Sleep(pause if deadline is None else min(pause, deadline))


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
