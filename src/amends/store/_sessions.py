"""Who is signed in: sessions of people on the pages and of whoever logged in for tokens, looked up in memory as keys are.

Within a transaction a session is known from ``open`` on and forgotten from ``close`` on, before that is durable. Where the
transaction then fails, the one has a secret that nobody was told, and the other has to sign in again: both harm nobody.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from amends.database import Database, Transaction, load_queries, new_id
from amends.store._keys import Mode, Role, digest_of

QUERIES = load_queries(__package__, "login_sessions.sql")

MOST_SESSIONS: Final = 1_000
"""Of one user or key; whoever signs in once more ends the oldest."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in. user_id, key_id: who it is, either or both. generation: of the refresh token that is good now."""

    id: str
    workspace_id: str
    user_id: str | None
    key_id: str | None
    role: Role
    mode: Mode
    digest: bytes = field(repr=False)
    generation: int
    created_at: float
    expires_at: float


class Sessions:
    """All open sessions of the installation. One process owns the database, so what it ends is ended everywhere at once."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        with database.read() as tx:
            found = [Session(*row) for row in tx.execute(QUERIES.all_open, {"now": now()})]
        self._by_id = {session.id: session for session in found}
        self._id_of = {session.digest: session.id for session in found}

    def get(self, session_id: str) -> Session | None:
        """The session, if it is open."""
        found = self._by_id.get(session_id)
        return found if found is not None and found.expires_at > self._now() else None

    def find(self, secret: str) -> Session | None:
        """The open session of that secret. The look-up is by hash, so its duration tells nothing of any secret."""
        session_id = self._id_of.get(digest_of(secret))
        return None if session_id is None else self.get(session_id)

    def open(
        self,
        tx: Transaction,
        workspace_id: str,
        user_id: str | None,
        key_id: str | None,
        role: Role,
        mode: Mode,
        seconds: float,
    ) -> tuple[Session, str]:
        """Sign somebody in for so long; the session and its secret, which is told once."""
        secret, now = secrets.token_urlsafe(32), self._now()
        session = Session(
            new_id("login_", now=now), workspace_id, user_id, key_id, role, mode, digest_of(secret), 0, now, now + seconds
        )  # fmt: skip
        tx.execute(QUERIES.insert_session, {name: getattr(session, name) for name in Session.__slots__})
        with self._lock:
            self._by_id[session.id] = session
            self._id_of[session.digest] = session.id
        oldest = {"principal": user_id or key_id, "most": MOST_SESSIONS}
        self._forget(row[0] for row in tx.execute(QUERIES.delete_oldest, oldest))
        return session, secret

    def renew(self, tx: Transaction, session_id: str, generation: int, seconds: float) -> Session | None:
        """Make the session last so long from now, and the next generation the good one.

        None where ``generation`` is not the good one: somebody else has used it, so the session is ended.
        """
        now = self._now()
        values = {"id": session_id, "generation": generation, "now": now, "expires_at": now + seconds}
        tx.execute(QUERIES.renew_session, values)
        known = self._by_id.get(session_id)
        if tx.changes != 1 or known is None:
            self.close(tx, session_id)
            return None
        renewed = replace(known, generation=generation + 1, expires_at=now + seconds)
        with self._lock:
            self._by_id[session_id] = renewed
        return renewed

    def close(self, tx: Transaction, session_id: str) -> None:
        """End the session; no effect where it has ended."""
        tx.execute(QUERIES.delete_session, {"id": session_id})
        self._forget([session_id])

    def close_of_user(self, tx: Transaction, user_id: str, *, but: str | None = None) -> None:
        """End all of the user's sessions but the one."""
        self._forget(row[0] for row in tx.execute(QUERIES.delete_of_user, {"user_id": user_id, "but": but or ""}))

    def close_of_key(self, tx: Transaction, key_id: str) -> None:
        """End all sessions that were opened with the key."""
        self._forget(row[0] for row in tx.execute(QUERIES.delete_of_key, {"key_id": key_id}))

    def delete_expired(self, tx: Transaction, limit: int = 1_000) -> int:
        """Forget up to ``limit`` sessions that have expired; how many they were."""
        gone = [row[0] for row in tx.execute(QUERIES.delete_expired, {"now": self._now(), "limit": limit})]
        self._forget(gone)
        return len(gone)

    def _forget(self, ids: Iterable[str]) -> None:
        gone = list(ids)  # a statement goes on only as long as its rows are read
        with self._lock:
            for session_id in gone:
                session = self._by_id.pop(session_id, None)
                if session is not None:
                    self._id_of.pop(session.digest, None)
