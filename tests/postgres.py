"""A private PostgreSQL for tests: one server a test process, one database a test.

Where none can be started the tests that need it skip with the reason; in CI they fail.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from amends.database import Database

_USER = "postgres"
# Nothing of a test has to survive the machine; tests of crashes start a server of their own.
_CARELESS = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "autovacuum_naptime": "5s",
    "timezone": "UTC",
}
# As another user where this one is root, and killed by Linux when the process that started it dies, however it dies.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.argv[1]:
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[1]))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
os.execv(sys.argv[3], sys.argv[3:])
"""

ASKED = os.environ.get("AMENDS_TEST_DATABASE")
"""Which half of the tests is wanted, ``sqlite`` or ``postgres``; None for all of both."""
DIALECT = ASKED or "sqlite"
"""Of the servers, engines and programs that tests start by themselves, without saying on which database."""

_numbers = itertools.count()
_own: dict[Path, str] = {}
_spare: list[str] = []


class NoPostgres(Exception):
    """PostgreSQL cannot be started here; the sentence says why."""


class PostgresServer:
    """A server of its own in a folder of its own, reached through a socket there. careless: it need not survive the machine."""

    def __init__(self, *, careless: bool = True) -> None:
        self._programs = _programs()
        # Not in pytest's folder, into which only this user may look.
        self._folder = Path(tempfile.mkdtemp(prefix="amends-pg-"))
        self._data = self._folder / "data"
        self._careless = careless
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if os.getuid() == 0:
                shutil.chown(self._folder, _USER, _USER)
            self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", _USER, "-E", "UTF8", "--no-locale", "-N")
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{_USER}@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start it, also again after ``kill``, and return when it answers."""
        settings = _SETTINGS | (_CARELESS if self._careless else {}) | {"unix_socket_directories": str(self._folder)}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        command = [sys.executable, "-c", _LAUNCH, *_user(), str(self._programs / "postgres"), "-D", str(self._data)]
        self._process = subprocess.Popen(
            [*command, *options], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise NoPostgres(f"PostgreSQL did not start: {error}") from error
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill the server with -9, and what it started, as a crash of the machine's memory would."""
        assert self._process is not None
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        for pid in [self.pid, *map(int, children)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait()

    def new_database(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{next(_numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"create database {name}")  # type: ignore[arg-type]
        return self.url(name)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # at once
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [sys.executable, "-c", _LAUNCH, *_user(), str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoPostgres(f"{program}: {done.stderr.strip()}")


def shared_server() -> PostgresServer:
    """The server of this test process; skips where none can be started, in CI fails."""
    try:
        return _shared_server()
    except NoPostgres as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{error}: .ci/run installs it")
        pytest.skip(str(error))


@contextmanager
def postgres_url() -> Iterator[str]:
    """A migrated database for one test, as good as new: emptied, which takes a hundredth of making one."""
    server = shared_server()
    if not _spare:
        _spare.append(server.new_database())
        Database.open(_spare[-1]).close()
    url = _spare.pop()
    yield url
    _empty(url)
    _spare.append(url)


@contextmanager
def database_of(dialect: str) -> Iterator[str | None]:
    """The setting ``database`` of a server: an address of its own, None for SQLite."""
    if dialect == "sqlite":
        yield None
        return
    with postgres_url() as url:
        yield url


def own_database(place: Path) -> str | None:
    """The setting ``database`` of what a test starts in a folder, the same each time; None for SQLite.

    place: where commands are run, or the data directory, which in such a place is called ``data``.
    """
    if DIALECT == "sqlite":
        return None
    place = place.parent if place.name == "data" else place
    if place not in _own:
        _own[place] = shared_server().new_database()
    return _own[place]


def stored_bytes(url: str) -> bytes:
    """All that is in the database, as it is stored."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'amends'").fetchall()
        parts: list[bytes] = []
        for (table,) in tables:
            with connection.cursor().copy(f"copy amends.{table} to stdout (format binary)") as copy:  # type: ignore[arg-type]
                parts += map(bytes, copy)
    return b"".join(parts)


def nobody_is_left(url: str) -> bool:
    """Whether every connection to a database has ended, or does within a moment: the server notices after its client."""
    with psycopg.connect(url) as connection:
        for _ in range(500):
            row = connection.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            ).fetchone()
            connection.rollback()  # what a transaction sees of the activity does not change
            if row == (0,):
                return True
            time.sleep(0.01)
    return False


def _empty(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        connection.execute("set local session_replication_role = replica")  # foreign keys do not order the tables
        statements = connection.execute(
            """select format('delete from %I.%I', schemaname, tablename) from pg_tables
               where schemaname = 'amends' and tablename <> 'schema_version'
               union all select format('alter sequence %I.%I restart', schemaname, sequencename) from pg_sequences
               where schemaname = 'amends'"""
        ).fetchall()
        connection.execute(";".join(row[0] for row in statements))


@functools.cache
def _shared_server() -> PostgresServer:
    server = PostgresServer()
    atexit.register(server.close)
    return server


def _programs() -> Path:
    """The folder of the newest ``postgres`` and ``initdb``."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = [Path(found).resolve()] if (found := shutil.which("postgres")) else []
    for program in [*reversed(installed), *on_path]:
        if (program.parent / "initdb").exists():
            if os.getuid() == 0 and _USER not in {entry.pw_name for entry in pwd.getpwall()}:
                raise NoPostgres("PostgreSQL does not run as root, and there is no user postgres")
            return program.parent
    raise NoPostgres("PostgreSQL is not installed")


def _user() -> list[str]:
    """User and group to become; empty where this user is good enough."""
    if os.getuid() != 0:
        return ["", ""]
    entry = pwd.getpwnam(_USER)
    return [str(entry.pw_uid), str(entry.pw_gid)]
