"""What follows from a problem beyond its body: headers of the answer and the exit code of the CLI."""

from __future__ import annotations

import math
from typing import Final

from ._catalogue import CATALOGUE
from ._row import ITEMS_FAILED, REFUSED, Where
from ._value import Problem

_MAX_RETRY_AFTER_SECONDS: Final = 60


def exit_code(problem: Problem | str, *, where: Where | None = None) -> int:
    """Return the CLI's exit code: 4, refused by the server; 3, ended with items that failed.

    ``where`` says where it was met; None takes what the row says, and a row that can refuse a request counts as
    that. A type the catalogue does not know can only come from a server, and counts as refused.
    """
    if where is not None:
        return REFUSED if where == "E" else ITEMS_FAILED
    row = CATALOGUE.get(problem if isinstance(problem, str) else problem.slug)
    return row.exit_code if row else REFUSED


def x_should_retry(problem: Problem) -> bool | None:
    """Return the value of ``x-should-retry``; None where the header is left out.

    False wherever repetition cannot help, since generated clients retry a 409 otherwise. True for
    ``idempotency_in_progress`` alone: that is usually the caller's own request that timed out.
    """
    if problem.error_code == "IDEMPOTENCY_IN_PROGRESS":
        return True
    return None if problem.remedy.retryable else False


def headers(problem: Problem) -> dict[str, str]:
    """Return the headers that an answer with this problem carries, names in lower case.

    ``retry-after`` is whole seconds from 1 to 60: widely used clients ignore longer ones and cannot read dates.
    """
    answer: dict[str, str] = {}
    if problem.remedy.retryable and problem.retry_after is not None:
        answer["retry-after"] = str(min(_MAX_RETRY_AFTER_SECONDS, max(1, math.ceil(problem.retry_after))))
    should_retry = x_should_retry(problem)
    if should_retry is not None:
        answer["x-should-retry"] = "true" if should_retry else "false"
    if problem.status == 401:
        answer["www-authenticate"] = _challenge(problem)
    if problem.status == 405 and (allow := problem.extensions.get("allow")):
        answer["allow"] = ", ".join(allow)
    return answer


def _challenge(problem: Problem) -> str:
    # RFC 6750, 3.1: a request without any credential is told no error code.
    without_credential = problem.detail == CATALOGUE["no_authentication"].detail
    return 'Bearer realm="amends"' + ("" if without_credential else ', error="invalid_token"')
