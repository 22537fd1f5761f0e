"""Fixtures for everybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A whole server with a worker, shared by the tests of a module; ``running_server`` makes one of a test's own."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without workers: quick to start, runs stay where they are."""
    with running_server(tmp_path_factory.mktemp("shell") / "data", engine=None) as running:
        yield running
