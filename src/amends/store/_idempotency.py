"""Idempotency keys: who claimed one, and what was answered.

The claim is a lease with a fence: ``holder`` is random, and whoever stores an answer must still be the one written down.
A holder is dead when its lease ran out or, on SQLite with its one owner, when it belonged to another process::

    (nothing) ──take──► claimed ──answer──► answered (replayed until it expires)
                        │   ▲
              release ──┘   └── take, by another holder: the old one's answer now hits no row
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from amends.database import Database, Transaction, load_queries

QUERIES = load_queries(__package__, "idempotency.sql")

KEEP_SECONDS: Final = 86_400.0
LEASE_SECONDS: Final = 60.0


class Fenced(Exception):
    """Another holder has taken the key: what this one did must not land."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a key means: its workspace, the method and path it was sent to, the key itself (hashed)."""

    workspace_id: str
    digest: bytes
    key_hash: bytes

    @classmethod
    def of(cls, workspace_id: str, method: str, path: str, key: str) -> Scope:
        whole = json.dumps([workspace_id, method, path, key]).encode()
        return cls(workspace_id, hashlib.sha256(whole).digest(), key_hash(workspace_id, key))


@dataclass(frozen=True, slots=True)
class Claim:
    """A key as it stands. digest: of the body; None while a streamed one is still read. status: None while unanswered."""

    scope: bytes
    digest: bytes | None
    holder: str
    process: str
    lease_until: float
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    resource_id: str | None


def key_hash(workspace_id: str, key: str) -> bytes:
    return hashlib.sha256(json.dumps([workspace_id, key]).encode()).digest()


class IdempotencyKeys:
    """The claims of all workspaces. keep_seconds: how long an answer is kept that created nothing."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float],
        keep_seconds: float = KEEP_SECONDS,
        process: str | None = None,
    ) -> None:
        self._database = database
        self._now = now
        self._keep_seconds = keep_seconds
        self.process = process or uuid4().hex

    def get(self, scope: Scope) -> Claim | None:
        """The key as it stands; None for one that is free or has expired."""
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_claim, {"scope": scope.digest, "now": self._now()})
        if row is None:
            return None
        scope_digest, digest, holder, process, lease_until, status, headers, body, resource_id = row
        return Claim(
            scope_digest,
            digest,
            holder,
            process,
            lease_until,
            status,
            json.loads(headers or "{}"),
            body or b"",
            resource_id,
        )

    def is_held(self, claim: Claim) -> bool:
        """Whether the holder of an unanswered claim may still be at work."""
        return claim.process == self.process and claim.lease_until > self._now()

    def find_resource(self, workspace_id: str, key: str) -> str | None:
        """The id of what was created under the key."""
        values = {"workspace_id": workspace_id, "key_hash": key_hash(workspace_id, key)}
        with self._database.read() as tx:
            found: str | None = tx.value(QUERIES.find_resource, values)
        return found

    def take(
        self,
        tx: Transaction,
        scope: Scope,
        holder: str,
        *,
        digest: bytes | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Claim the key, also from a dead holder; Fenced when somebody alive has it or it is answered."""
        now = self._now()
        values = {
            "scope": scope.digest,
            "workspace_id": scope.workspace_id,
            "key_hash": scope.key_hash,
            "digest": digest,
            "holder": holder,
            "process": self.process,
            "lease_until": now + lease_seconds,
            "now": now,
            "expires_at": now + max(self._keep_seconds, lease_seconds),
        }
        tx.execute(QUERIES.take, values)
        if tx.changes != 1:
            raise Fenced

    def answer(
        self,
        tx: Transaction,
        scope: Scope,
        holder: str,
        *,
        digest: bytes,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        resource_id: str | None = None,
    ) -> None:
        """Store the response under a claim of the holder's; Fenced. With ``resource_id`` it is kept as long as that lives."""
        values = {
            "scope": scope.digest,
            "holder": holder,
            "digest": digest,
            "status": status,
            "headers": json.dumps(dict(headers)),
            "body": body,
            "resource_id": resource_id,
            "expires_at": None if resource_id else self._now() + self._keep_seconds,
        }
        tx.execute(QUERIES.answer, values)
        if tx.changes != 1:
            raise Fenced

    def release(self, tx: Transaction, scope: Scope, holder: str) -> None:
        """Give up an unanswered claim; no effect on anything else."""
        tx.execute(QUERIES.release, {"scope": scope.digest, "holder": holder})

    def release_dead(self) -> None:
        """Free what other processes had claimed: for the owner at its start."""

        def write(tx: Transaction) -> None:
            tx.execute(QUERIES.release_dead, {"process": self.process})

        self._database.write(write)

    def forget_resource(self, tx: Transaction, resource_id: str) -> None:
        """What was created is deleted: its key is kept no longer than any other."""
        values = {"resource_id": resource_id, "keep_seconds": self._keep_seconds, "now": self._now()}
        tx.execute(QUERIES.forget_resource, values)

    def expire_orphans(self, tx: Transaction) -> None:
        """Let the keys go whose run the ledger has deleted."""
        tx.execute(QUERIES.expire_orphans, {"keep_seconds": self._keep_seconds, "now": self._now()})

    def delete_expired(self, tx: Transaction, limit: int = 1_000) -> int:
        tx.execute(QUERIES.delete_expired, {"now": self._now(), "limit": limit})
        return tx.changes
