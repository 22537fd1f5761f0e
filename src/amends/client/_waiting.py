"""Waiting for a run to end."""

from __future__ import annotations

from typing import Final, TypeVar

from ._context import Context, ReadOptions
from ._exceptions import NetworkError, PollTimeoutError, Resume, ServerError
from ._exchange import Call, exchange
from ._flow import Flow, Sleep
from ._models import Run, read

R = TypeVar("R", bound=Run)

_UNTIL_EXTENDED: Final = ("limit", "cost_cap")
_FIRST_PAUSE_SECONDS: Final = 0.1
_LAST_PAUSE_SECONDS: Final = 5.0
_GROWTH: Final = 1.3
_PATIENCE_SECONDS: Final = 600.0
"""Without an answer, once there was one. A server that restarts for long is worth waiting for, a wrong address is not."""


def wait(context: Context, call: Call, model: type[R], run_id: str, timeout: float | None, resume: Resume) -> Flow[R]:
    """Ask after a run until it ended or holds until it is extended (without credit it goes on by itself); each pause is longer, up to 5 s.

    timeout: seconds in all, None for no end. ``resume``: what the PollTimeoutError will wait on with. Once the server has answered,
    it may be away for ten minutes beyond what is retried anyway.
    """
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout is a number of seconds, or None; not {timeout!r}")
    started, pause, status = context.clock.monotonic(), _FIRST_PAUSE_SECONDS, "unknown"
    away_after: float | None = None
    while True:
        elapsed = context.clock.monotonic() - started
        options: ReadOptions = {}
        if timeout is not None and timeout > elapsed:  # a timeout of 0 asks once all the same
            options = {"deadline": timeout - elapsed}
        elif timeout is not None and away_after is not None:
            options = {"deadline": _LAST_PAUSE_SECONDS}  # a last look, which a server that is away does not draw out
        try:
            run = read(model, (yield from exchange(context, call, options)))
        except (NetworkError, ServerError) as error:
            now = context.clock.monotonic()
            if timeout is not None and now - started >= timeout:
                raise PollTimeoutError(run_id, status, now - started, resume) from error
            if away_after is None or now >= away_after or not _may_pass(error):
                raise
        else:
            if run.is_ended or run.paused_reason in _UNTIL_EXTENDED:
                return run
            status = run.status or status
            away_after = context.clock.monotonic() + _PATIENCE_SECONDS
        elapsed = context.clock.monotonic() - started
        if timeout is not None and elapsed >= timeout:
            raise PollTimeoutError(run_id, status, elapsed, resume)
        yield Sleep(pause if timeout is None else min(pause, timeout - elapsed))
        pause = min(_LAST_PAUSE_SECONDS, pause * _GROWTH)


def _may_pass(error: NetworkError | ServerError) -> bool:
    return isinstance(error, NetworkError) or error.problem.remedy.retryable
