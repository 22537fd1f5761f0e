"""Workspaces: the tenants of the installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amends.database import Database, Transaction, load_queries, new_id

QUERIES = load_queries(__package__, "workspaces.sql")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant. name: unique in the installation."""

    id: str
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
        return self._insert(tx, new_id("ws_", now=self._now()), name)

    def found(self, tx: Transaction, name: str) -> Workspace:
        """A workspace of its own, of that name where nobody has it: whoever registers comes into no other's."""
        tx.lock(QUERIES.lock_name, (name,))
        workspace_id = new_id("ws_", now=self._now())
        is_taken = tx.one(QUERIES.get_workspace_by_name, {"name": name})
        return self._insert(tx, workspace_id, f"{name} {workspace_id}" if is_taken else name)

    def _insert(self, tx: Transaction, workspace_id: str, name: str) -> Workspace:
        made = Workspace(workspace_id, name, self._now())
        tx.execute(QUERIES.insert_workspace, {"id": made.id, "name": name, "created_at": made.created_at})
        return made
