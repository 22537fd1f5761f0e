"""Everything the SDK raises.

    AmendsError
    ├── ConfigurationError        set it right: a missing key, an invalid base URL
    ├── NetworkError              try later: connection, DNS, TLS
    │   └── RequestTimeoutError   the request outlasted its timeout
    ├── PollTimeoutError          wait on: a long-running job did not finish in time; it goes on
    ├── CircuitOpenError          wait: this client's breaker for the host is open
    ├── FailedUploadException     mend those datapoints that failed; see ``_failed_uploads``
    └── ApiError                  the server answered with a problem; any status without a class of its own
        ├── AuthError             401  authenticate again
        ├── PaymentRequiredError  402  top up
        ├── ForbiddenError        403  ask for access
        ├── NotFoundError         404  ┐
        ├── ConflictError         409  │ fix the request
        ├── GoneError             410  │
        ├── ValidationError       400 and 422 ┘
        ├── RateLimitError        429  ┐ try later
        └── ServerError           5xx  ┘

All of them pickle, and so cross process pools.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from amends.problems import CATALOGUE, Problem, Remedy
from amends.resilience import Reason


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a request.

    ``number`` from 1, ``started_at`` in UTC. ``status_code``: None where no answer came; ``error`` then says what
    did. ``waited_seconds``: the pause before this try.
    """

    number: int
    started_at: datetime
    status_code: int | None
    error: str | None
    waited_seconds: float


class AmendsError(Exception):
    """Whatever the SDK raises of its own."""


class ConfigurationError(AmendsError):
    """The client cannot work as it was set up; the message names what to set."""


class NetworkError(AmendsError):
    """No answer came: connection, DNS or TLS.

    ``attempts``: what was tried. ``gave_up``: why it was not tried again, None where that was not decided.
    """

    def __init__(self, message: str, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message, attempts)
        self.message = message
        self.attempts = attempts
        self.gave_up: Reason | None = None

    def __str__(self) -> str:
        return self.message + _refusal(self.gave_up)


class RequestTimeoutError(NetworkError):
    """The request outlasted its timeout budget."""


class Resume(Protocol):
    """Waits on for a job."""

    def __call__(self, timeout: float | None = None) -> Any:
        """Wait up to ``timeout`` seconds, None without end; returns what the first wait would have returned."""


class PollTimeoutError(AmendsError):
    """A long-running job did not finish in time. It goes on.

    ``status``: the last one seen. ``elapsed``: seconds waited.
    """

    def __init__(self, run_id: str, status: str, elapsed: float, resume: Resume | None = None) -> None:
        super().__init__(run_id, status, elapsed)
        self.run_id = run_id
        self.status = status
        self.elapsed = elapsed
        self._resume = resume

    def resume(self, timeout: float | None = None) -> Any:
        """Wait on, up to ``timeout`` seconds more, as the call that raised this did; awaitable where that was.

        Raises ConfigurationError on a copy that came from another process, which holds no client.
        """
        if self._resume is None:
            raise ConfigurationError(f"This exception holds no client: call client.runs.wait({self.run_id!r}) instead")
        return self._resume(timeout=timeout)

    def __str__(self) -> str:
        return (
            f"{self.run_id} is still {self.status} after {self.elapsed:.0f} s. "
            "It goes on: call resume() on this exception to wait on."
        )

    def __reduce__(self) -> tuple[type[PollTimeoutError], tuple[str, str, float]]:
        # A client, with its open connections, stays in the process it belongs to.
        return type(self), (self.run_id, self.status, self.elapsed)


class CircuitOpenError(AmendsError):
    """This client's breaker for ``host`` is open; ``retry_at`` (UTC) is when it tries again.

    ``attempts``: what was tried before it opened, nothing where it was open already.
    """

    def __init__(self, host: str, retry_at: datetime, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(host, retry_at, attempts)
        self.host = host
        self.retry_at = retry_at
        self.attempts = attempts

    def __str__(self) -> str:
        return f"Requests to {self.host} are held back, since it keeps failing. It is tried again at {self.retry_at}."


class ApiError(AmendsError):
    """The server, or a gateway before it, answered with a failing status.

    ``problem``: the whole answer. ``attempts``: what was tried, when, with what result. ``retry_after``: seconds the
    answer asked to wait, None where it did not. ``gave_up``: why it was not tried again, such as ``budget_refused``; None
    where that was not decided.
    """

    def __init__(
        self,
        problem: Problem,
        status_code: int | None = None,
        attempts: tuple[Attempt, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, status_code, attempts, retry_after)
        self.problem = problem
        self.status_code = problem.status if status_code is None else status_code
        self.attempts = attempts
        self.retry_after = problem.retry_after if retry_after is None else retry_after
        self.gave_up: Reason | None = None

    @property
    def error_code(self) -> str:
        """What went wrong, in upper snake: ``COLLECTION_NOT_FOUND``."""
        return self.problem.error_code

    @property
    def code(self) -> str:
        """The same in lower case."""
        return self.problem.code

    @property
    def request_id(self) -> str | None:
        """The request's id in the server's log; None where a gateway answered."""
        return self.problem.request_id

    @property
    def remedy(self) -> Remedy:
        """What to do about it."""
        return self.problem.remedy

    def __str__(self) -> str:
        sentence = self.problem.detail.rstrip()
        if not sentence.endswith((".", "!", "?", "…")):
            sentence += "."
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{sentence} {self.remedy.hint}{_refusal(self.gave_up)}{request}"


class AuthError(ApiError):
    """401: the key or token is missing, wrong, revoked or expired."""


class PaymentRequiredError(ApiError):
    """402: not enough credits. Members the answer did not carry are None."""

    @property
    def required(self) -> float | None:
        """Credits the work needs."""
        return _number(self.problem, "required")

    @property
    def remaining(self) -> float | None:
        """Credits there are."""
        return _number(self.problem, "remaining")

    @property
    def unit(self) -> str | None:
        """What is counted."""
        return _text(self.problem, "unit")

    @property
    def upgrade_url(self) -> str | None:
        """Where to top up."""
        return _text(self.problem, "upgrade_url")


class ForbiddenError(ApiError):
    """403: the role does not allow it."""


class NotFoundError(ApiError):
    """404: not in this workspace."""


class ConflictError(ApiError):
    """409: not with the present state of the resource or key."""


class GoneError(ApiError):
    """410: it was there and is kept no longer."""


class ValidationError(ApiError):
    """400 and 422: the request has to change."""

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Each fault as ``{"loc", "msg", "type"}``, with ``pointer`` and ``custom_id`` where known."""
        faults = []
        for error in self.problem.errors:
            fault: dict[str, Any] = {"loc": list(error.loc), "msg": error.message, "type": error.type}
            if error.pointer:
                fault["pointer"] = error.pointer
            if error.custom_id is not None:
                fault["custom_id"] = error.custom_id
            faults.append(fault)
        return faults


class RateLimitError(ApiError):
    """429: throttled, or too much runs already; ``retry_after`` says for how many seconds."""

    @property
    def policy(self) -> str | None:
        """Which limit it is: ``reads``, ``writes``, ``uploads``, ``searches`` or ``running_batches``."""
        return _text(self.problem, "policy")

    @property
    def limit(self) -> float | None:
        """What it allows, in a minute or at once."""
        return _number(self.problem, "limit")


class ServerError(ApiError):
    """5xx: the fault is on the other side."""


def _refusal(reason: Reason | None) -> str:
    """What a message says of the one reason that is the client's own and no fault of this call."""
    return " It was not tried again: the client's retry budget is spent." if reason == "budget_refused" else ""


def _number(problem: Problem, name: str) -> float | None:
    value = problem.extensions.get(name)
    return value if isinstance(value, int | float) else None


def _text(problem: Problem, name: str) -> str | None:
    value = problem.extensions.get(name)
    return value if isinstance(value, str) else None


_BY_NAME: Final[dict[str, type[ApiError]]] = {
    cls.__name__: cls
    for cls in (
        ApiError,
        AuthError,
        PaymentRequiredError,
        ForbiddenError,
        NotFoundError,
        ConflictError,
        GoneError,
        ValidationError,
        RateLimitError,
        ServerError,
    )
}

_BY_STATUS: Final = {
    row.status: _BY_NAME[row.exception] for row in CATALOGUE.values() if "E" in row.where and row.exception
}


def error_class(problem: Problem, status_code: int) -> type[ApiError]:
    """Return the class for a problem: of its row, else, where that is unknown or of another status, of the status."""
    row = CATALOGUE.get(problem.slug)
    if row is not None and row.exception and row.status == status_code:
        return _BY_NAME[row.exception]
    if status_code >= 500:
        return ServerError
    return _BY_STATUS.get(status_code, ApiError)


def error_from(
    problem: Problem,
    status_code: int,
    attempts: tuple[Attempt, ...] = (),
    retry_after: float | None = None,
) -> ApiError:
    """Make the exception for an answer: ``retry_after`` is that of the header, in seconds, None without one."""
    return error_class(problem, status_code)(problem, status_code, attempts, retry_after)
