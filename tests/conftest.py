"""Fixtures for everybody."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from amends.server import passwords
from tests.postgres import ASKED, database_of
from tests.servers import RunningServer, running_server

TESTS = Path(__file__).parent

# A shell that starts the tests in the background has them ignore Ctrl-C, and every program that they start and interrupt, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Argon2id takes a tenth of a second on purpose, which the tests of everything else have no use for."""
    usual = dict(passwords.PARAMETERS)
    passwords.PARAMETERS.update(time_cost=1, memory_cost=8, parallelism=1)
    yield
    passwords.PARAMETERS.update(usual)


OWN = frozenset(
    {
        "browser/test_labelling.py",
        "contract/test_every_row.py", "contract/test_executors.py",
        "faults/test_create_kill.py", "faults/test_credit_runs_out.py", "faults/test_frozen.py", "faults/test_hostile_peers.py",
        "faults/test_idempotency_kill.py", "faults/test_killed_datasets.py", "faults/test_killed_journal.py",
        "faults/test_killed_run.py", "faults/test_labelling_kill.py", "faults/test_openai_kill.py", "faults/test_poison.py",
        "faults/test_provider_trouble.py", "faults/test_server_kill.py", "faults/test_two_at_once.py", "faults/test_uploads.py",
        "faults/test_webhook_kill.py",
        "integration/test_accounts.py", "integration/test_batches_changes.py", "integration/test_batches_create.py",
        "integration/test_batches_engine.py", "integration/test_batches_results.py", "integration/test_blob_sweep.py",
        "integration/test_cli_journal.py", "integration/test_cli_run.py", "integration/test_cli_server.py",
        "integration/test_cli_watch.py", "integration/test_credits.py", "integration/test_datasets.py",
        "integration/test_examples_datasets.py", "integration/test_openai_credits.py", "integration/test_openai_providers.py",
        "integration/test_pages.py", "integration/test_providers.py", "integration/test_run_events.py", "integration/test_sdk.py",
        "integration/test_sdk_datasets.py", "integration/test_server_files.py", "integration/test_server_keys.py",
        "integration/test_server_owner.py", "integration/test_server_rates.py", "integration/test_server_shell.py",
        "integration/test_server_uploads.py", "integration/test_simulation.py", "integration/test_url_items.py",
        "integration/test_watching.py", "integration/test_webhooks.py", "integration/test_workers.py",
        "unit/cli/test_commands.py", "unit/engine/test_transitions.py",
    }
)  # fmt: skip
"""Modules that start servers, engines and programs by themselves, which use the database that is asked for."""


FIRST = (
    "integration/test_cli_run.py", "integration/test_cli_server.py", "faults/test_killed_server.py",
    "faults/test_provider_trouble.py", "faults/test_two_at_once.py", "faults/test_killed_journal.py",
    "browser/test_labelling.py", "integration/test_openai_batches.py", "faults", "browser", "integration", "contract",
)  # fmt: skip
"""Modules that take long, the longest first: a process takes one after the other, and what is begun last must not keep it busy
when the others have nothing left."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the half that nobody asked for: whatever names the other database, and on PostgreSQL what uses none."""
    items.sort(key=_rank)
    if ASKED is not None:
        wanted = {item: _is_wanted(item) for item in items}
        config.hook.pytest_deselected(items=[item for item in items if not wanted[item]])
        items[:] = [item for item in items if wanted[item]]


def pytest_collection_finish() -> None:
    """Thousands of tests stay as long as the process does: they need not be looked through each time that memory is tidied."""
    gc.collect()
    gc.freeze()


def _rank(item: pytest.Item) -> int:
    path = item.path.relative_to(TESTS).as_posix()
    return next((rank for rank, place in enumerate(FIRST) if path.startswith(place)), len(FIRST))


def _is_wanted(item: pytest.Item) -> bool:
    names_postgres = "postgres" in item.nodeid.lower()
    if ASKED == "sqlite" or names_postgres:
        return names_postgres is (ASKED == "postgres")
    is_own = item.path.relative_to(TESTS).as_posix() in OWN
    return is_own and "sqlite" not in item.nodeid.lower() and item.get_closest_marker("sqlite") is None


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def sql_dialect(request: pytest.FixtureRequest) -> str:
    """What the server's database is."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sql_dialect: str) -> Iterator[RunningServer]:
    """A whole server with a worker, shared by the tests of a module; ``running_server`` makes one of a test's own."""
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("server") / "data", database=database) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, sql_dialect: str) -> Iterator[RunningServer]:
    """A server without workers: quick to start, runs stay where they are."""
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("shell") / "data", engine=None, database=database) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx2.Client]:
    """A plain client of the owner, of the module's server."""
    with server.client() as opened:
        yield opened
