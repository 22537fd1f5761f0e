"""Waking idle workers."""

from __future__ import annotations

import math

import pytest

from amends.engine._signal import WorkSignal


def test_a_million_deferred_items_are_remembered_as_the_moments_at_which_they_fall_due() -> None:
    now = [100.0]
    signal = WorkSignal(lambda: now[0])
    for number in range(100_000):
        signal.wake_in(1.0 + number / 100_000)
        now[0] += 0.001
    assert len(signal._ticks) == len(signal._awaited)
    seen = signal.count
    assert len(signal._ticks) < 50
    now[0] += 2.0
    assert signal.count == seen + 1
    assert not signal._ticks
    assert signal.next_due() == math.inf


def test_nobody_is_woken_before_something_is_due() -> None:
    now = [100.02]
    signal = WorkSignal(lambda: now[0])
    signal.wake_in(0.5)
    seen = signal.count
    assert signal.next_due() == pytest.approx(100.55)
    now[0] += 0.49
    assert signal.count == seen
    now[0] += 0.1
    assert signal.count == seen + 1
    signal.wake()
    assert signal.count == seen + 2
