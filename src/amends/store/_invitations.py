"""Invitations into a workspace: 256 random bits, of which only the hash is stored, good for one account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from amends.database import Database, Transaction, load_queries, new_id
from amends.store._keys import Role, digest_of

QUERIES = load_queries(__package__, "invitations.sql")


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who brings the token comes into the workspace with the role. email: whom it is for, None for whoever brings it."""

    id: str
    workspace_id: str
    role: Role
    email: str | None
    digest: bytes = field(repr=False)
    created_by: str | None
    created_at: float
    expires_at: float
    used_at: float | None = None
    used_by: str | None = None


class Invitations:
    """Every question but that of a registration is bound to a workspace."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(
        self,
        tx: Transaction,
        workspace_id: str,
        *,
        role: Role,
        token: str,
        seconds: float,
        email: str | None = None,
        created_by: str | None = None,
    ) -> Invitation:
        """Invite somebody, for so long; the token is told once."""
        now = self._now()
        made = Invitation(
            new_id("invite_", now=now), workspace_id, role, email, digest_of(token), created_by, now, now + seconds
        )
        names = [name for name in Invitation.__slots__ if not name.startswith("used")]
        tx.execute(QUERIES.insert_invitation, {name: getattr(made, name) for name in names})
        return made

    def by_token(self, token: str) -> Invitation | None:
        """The invitation, if it can be used."""
        with self._database.read() as tx:
            row = tx.one(QUERIES.find_invitation, {"digest": digest_of(token), "now": self._now()})
        return Invitation(*row) if row else None

    def use(self, tx: Transaction, invitation: Invitation, user_id: str) -> bool:
        """Write down who came by it; False where somebody else did, it was withdrawn or its time is over."""
        tx.execute(QUERIES.use_invitation, {"id": invitation.id, "used_by": user_id, "now": self._now()})
        return tx.changes == 1

    def get(self, workspace_id: str, invitation_id: str) -> Invitation | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_invitation, {"id": invitation_id, "workspace_id": workspace_id})
        return Invitation(*row) if row else None

    def find(self, workspace_id: str, *, limit: int, after: str | None = None) -> list[Invitation]:
        """The workspace's invitations, used and expired ones too, newest first."""
        with self._database.read() as tx:
            values = {"workspace_id": workspace_id, "after": after, "limit": limit}
            return [Invitation(*row) for row in tx.execute(QUERIES.list_invitations, values)]

    def delete(self, tx: Transaction, workspace_id: str, invitation_id: str) -> bool:
        """Withdraw an invitation; whether it was there. Who came by it stays."""
        tx.execute(QUERIES.delete_invitation, {"id": invitation_id, "workspace_id": workspace_id})
        return tx.changes == 1

    def delete_outdated(self, tx: Transaction, *, before: float, limit: int = 1_000) -> int:
        """Forget up to ``limit`` invitations whose time was over by then; how many they were."""
        tx.execute(QUERIES.delete_outdated, {"before": before, "limit": limit})
        return tx.changes
