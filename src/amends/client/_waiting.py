"""Waiting for a run to end."""

from __future__ import annotations

from typing import Final, TypeVar

from ._context import Context, ReadOptions
from ._exceptions import PollTimeoutError, RequestTimeoutError, Resume
from ._exchange import Call, exchange
from ._flow import Flow, Sleep
from ._models import Run, read

R = TypeVar("R", bound=Run)

_UNTIL_EXTENDED: Final = ("limit", "cost_cap")
_FIRST_PAUSE_SECONDS: Final = 0.1
_LAST_PAUSE_SECONDS: Final = 5.0
_GROWTH: Final = 1.3


def wait(context: Context, call: Call, model: type[R], run_id: str, timeout: float | None, resume: Resume) -> Flow[R]:
    """Ask after a run until it ended or holds until it is extended (without credit it goes on by itself); each pause is longer, up to 5 s.

    timeout: seconds in all, None for no end. ``resume``: what the PollTimeoutError will wait on with.
    """
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout is a number of seconds, or None; not {timeout!r}")
    started, pause, status = context.clock.monotonic(), _FIRST_PAUSE_SECONDS, "unknown"
    while True:
        elapsed = context.clock.monotonic() - started
        options: ReadOptions = {}
        if timeout is not None and timeout > elapsed:  # a timeout of 0 asks once all the same
            options = {"deadline": timeout - elapsed}
        try:
            run = read(model, (yield from exchange(context, call, options)))
        except RequestTimeoutError as error:
            elapsed = context.clock.monotonic() - started
            if timeout is None or elapsed < timeout:
                raise
            raise PollTimeoutError(run_id, status, elapsed, resume) from error
        if run.is_ended or run.paused_reason in _UNTIL_EXTENDED:
            return run
        status = run.status or status
        elapsed = context.clock.monotonic() - started
        if timeout is not None and elapsed >= timeout:
            raise PollTimeoutError(run_id, status, elapsed, resume)
        yield Sleep(pause if timeout is None else min(pause, timeout - elapsed))
        pause = min(_LAST_PAUSE_SECONDS, pause * _GROWTH)
