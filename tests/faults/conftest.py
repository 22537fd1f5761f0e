"""Fixtures of the tests that break things."""

from tests.disks import disk

__all__ = ["disk"]
