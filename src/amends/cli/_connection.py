"""Whom a command speaks to: a server, the owner of the data directory, or, where none runs, an owner it becomes itself.

Always the SDK over HTTP: one code path, whatever is behind it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from amends.client import NO_KEY, Client

from ._exits import BadUsage, LocalFailure
from ._options import Common
from ._sources import Sources

if TYPE_CHECKING:
    from amends.server.settings import Settings

# Nobody resolves it: requests to it go through the owner's socket.
LOCAL_URL = "http://local"


@dataclass(frozen=True, slots=True)
class Connection:
    """client: how to speak to it. sources: what this machine remembers of its runs.

    is_remote: reached with --server, so that a refusal is the server's and not this command's. is_embedded: this process is the
    owner, so that work goes on only while it lives.
    """

    client: Client
    sources: Sources
    is_remote: bool = False
    is_embedded: bool = False


def settings_of(common: Common) -> Settings:
    """All settings as file, environment and flags give them; BadUsage for one that cannot be taken."""
    from amends.server.settings import SettingsError, load_settings

    try:
        return load_settings(flags={"data": common.data}, environ=os.environ, config=common.config)
    except SettingsError as error:
        raise BadUsage(str(error)) from error


@contextmanager
def connect(
    common: Common, *, is_run: bool = False, is_test: bool = False, moves_runs: bool = False
) -> Iterator[Connection]:
    """Open the connection that the flags ask for.

    moves_runs: whether an owner that this command becomes needs workers; without them it starts sooner and touches no run.
    is_test: work in test mode, which the key decides on a server, and this command where it is the owner.
    is_run: ``amends run`` submits to a server of the directory but not to another ``amends run``, which would end before its
    items have.
    """
    if common.server:
        with Client(base_url=common.server) as client:
            if is_test and client.me().mode != "test":
                raise BadUsage("--test needs a key of test mode: amends keys create --test")
            yield Connection(client, Sources(settings_of(common).server.data), is_remote=True)
        return
    settings = settings_of(common).with_flags(test=is_test or None)
    with server_extra():
        from amends.server.directory import find_owner
    found = find_owner(settings.server.data)
    if found is None:
        with _owning(settings, "run" if is_run else "command", has_engine=is_run or moves_runs) as connection:
            yield connection
        return
    if is_run and found.command != "serve":
        raise LocalFailure(f"{settings.server.data} is held by another amends {found.command} (process {found.pid})")
    if is_test:
        raise BadUsage(f"A server runs on {settings.server.data}: --test needs --server and a key of test mode")
    with _over(found.socket) as client:
        yield Connection(client, Sources(settings.server.data))


@contextmanager
def _owning(settings: Settings, command: str, *, has_engine: bool) -> Iterator[Connection]:
    with server_extra():
        from amends.server.composition import make_engine
        from amends.server.owner import Owner
    engine = make_engine if has_engine else None
    with (
        as_local_failure(settings),
        Owner(settings, command=command, engine=engine) as owner,
        _over(owner.socket) as client,
    ):
        yield Connection(client, Sources(settings.server.data), is_embedded=True)


@contextmanager
def _over(socket: Path) -> Iterator[Client]:
    # No TLS on a socket of this machine: a context that trusts nobody, since to load those whom the others trust takes a while.
    transport = httpx2.HTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with (
        httpx2.Client(transport=transport, base_url=LOCAL_URL, trust_env=False) as http,
        Client(api_key=NO_KEY, base_url=LOCAL_URL, http_client=http) as client,
    ):
        yield client


@contextmanager
def server_extra() -> Iterator[None]:
    """Turn a missing extra into the one line that says which."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "amends":
            raise  # a fault of ours, not a missing package
        raise LocalFailure(
            f"{error.name} is not installed: pip install 'amends[server,models]' works here, or name a server with --server"
        ) from error


@contextmanager
def as_local_failure(settings: Settings) -> Iterator[None]:
    """Turn what stops an owner from starting into its one line."""
    import apsw

    from amends.database import DatabaseUnusable, NewerDatabase
    from amends.server.directory import StartError

    try:
        yield
    except (StartError, NewerDatabase, DatabaseUnusable) as error:
        raise LocalFailure(str(error)) from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise LocalFailure(f"The database in {settings.server.data} is damaged ({error}): put a copy back") from error
    except apsw.Error as error:  # not writable, disk full
        raise LocalFailure(f"The database in {settings.server.data}: {error}") from error
