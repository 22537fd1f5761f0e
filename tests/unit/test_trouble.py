"""What goes wrong again and again is no flood in the log."""

from __future__ import annotations

import logging

import pytest

from amends._trouble import Trouble
from amends.problems import ProblemError, problem
from amends.testing import FakeClock


def away() -> ProblemError:
    error = ProblemError(problem("service_unavailable"))
    error.__cause__ = OSError("connection refused\n\tIs the server running?")
    return error


def test_a_problem_that_lasts_is_a_line_a_minute_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    trouble = Trouble(logging.getLogger("amends.test"), monotonic=clock.monotonic)
    for _ in range(119):
        trouble.note("not_looked_at", away(), worker_id="w1")
        clock.advance(1.0)
    assert len(caplog.records) == 2
    row = vars(caplog.records[0])
    assert (row["problem"], row["reason"], row["worker_id"]) == ("service_unavailable", "connection refused", "w1")
    assert not any(record.exc_info for record in caplog.records)
    trouble.note("not_looked_at", ProblemError(problem("insufficient_storage")))
    trouble.note("not_written", away())
    assert len(caplog.records) == 4, "what is not known from just now is said at once"


def test_a_fault_of_ours_comes_with_its_traceback_each_time(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble(logging.getLogger("amends.test"))
    for error in (ZeroDivisionError("of ours"), ProblemError(problem("internal_server_error"))):
        for _ in range(2):
            trouble.note("not_looked_at", error)
    assert len(caplog.records) == 4
    assert all(record.exc_info for record in caplog.records)
