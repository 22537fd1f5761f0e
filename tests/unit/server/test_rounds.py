"""Threads that look after something: at once when they are told, and on after what went wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from amends.problems import ProblemError, problem
from amends.server.rounds import Rounds

LONG = 300.0


def rounds(look: Callable[[], bool], told: threading.Event, *, soon: float = 0.0, rest: float = 0.0) -> Rounds:
    return Rounds(
        "test", look, event="test_not_seen_to", told=told, soon_seconds=soon, late_seconds=LONG, rest_seconds=rest
    )


def test_who_is_told_looks_at_once_and_who_is_not_waits() -> None:
    told, looked = threading.Event(), threading.Semaphore(0)
    thread = rounds(lambda: bool(looked.release()), told)
    thread.start()
    try:
        assert looked.acquire(timeout=30)
        assert not looked.acquire(timeout=0.2)
        told.set()
        assert looked.acquire(timeout=30)
    finally:
        thread.close()


def test_where_there_may_be_more_it_looks_again() -> None:
    left, done = [3, 2, 1], threading.Event()

    def look() -> bool:
        left.pop()
        if not left:
            done.set()
        return bool(left)

    thread = rounds(look, threading.Event())
    thread.start()
    assert done.wait(30)
    thread.close()


def test_it_goes_on_after_what_went_wrong_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    failures, done = [ProblemError(problem("service_unavailable")) for _ in range(20)], threading.Event()

    def look() -> bool:
        if failures:
            raise failures.pop()
        done.set()
        return False

    thread = rounds(look, threading.Event())
    thread.start()
    assert done.wait(30)
    thread.close()
    assert [record.message for record in caplog.records] == ["test_not_seen_to"]


def test_closing_waits_for_no_rest() -> None:
    failed = threading.Event()

    def look() -> bool:
        failed.set()
        raise ProblemError(problem("service_unavailable"))

    thread = rounds(look, threading.Event(), rest=LONG)
    thread.start()
    assert failed.wait(30)
    thread.close()
