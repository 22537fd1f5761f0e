"""Workspaces and the users in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from amends.database import Database, Transaction, load_queries, new_id

QUERIES = load_queries(__package__, "workspaces.sql")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant. name: unique in the installation."""

    id: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class User:
    """A person of a workspace. id: a plain UUID; name: unique in the workspace."""

    id: str
    workspace_id: str
    name: str
    created_at: float


class Workspaces:
    """Finding and making them; a name that is new makes what it names."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def named(self, name: str) -> Workspace | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_workspace_by_name, {"name": name})
        return Workspace(*row) if row else None

    def ensure(self, tx: Transaction, name: str) -> Workspace:
        """The workspace of that name, made if it is new."""
        tx.lock(QUERIES.lock_name, (name,))
        if row := tx.one(QUERIES.get_workspace_by_name, {"name": name}):
            return Workspace(*row)
        made = Workspace(new_id("ws_", now=self._now()), name, self._now())
        tx.execute(QUERIES.insert_workspace, {"id": made.id, "name": name, "created_at": made.created_at})
        return made

    def ensure_user(self, tx: Transaction, workspace_id: str, name: str) -> User:
        """The workspace's user of that name, made if new."""
        tx.lock(QUERIES.lock_name, (f"{workspace_id} {name}",))
        if row := tx.one(QUERIES.get_user_by_name, {"workspace_id": workspace_id, "name": name}):
            return User(*row)
        made = User(str(uuid4()), workspace_id, name, self._now())
        values = {"id": made.id, "workspace_id": workspace_id, "name": name, "created_at": made.created_at}
        tx.execute(QUERIES.insert_user, values)
        return made
