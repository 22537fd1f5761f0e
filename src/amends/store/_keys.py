"""API keys: 256 random bits, of which only the hash is stored, looked up in memory.

A plain SHA-256 is right here, and a slow password hash is not: nobody guesses 256 random bits, and every request pays for it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from amends.database import Database, Transaction, load_queries, new_id

QUERIES = load_queries(__package__, "keys.sql")

Role = Literal["viewer", "member", "admin", "owner"]
Mode = Literal["live", "test"]

ROLES: Final[tuple[Role, ...]] = ("viewer", "member", "admin", "owner")
KEY_PREFIX: Final = "ak_"
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. user_id: None where the key is a principal of its own.

    hint: its first characters. created_by: the key that made it, None for the installation or the local socket.
    """

    id: str
    workspace_id: str
    user_id: str | None
    name: str | None
    role: Role
    mode: Mode
    digest: bytes = field(repr=False)
    hint: str
    created_at: float
    created_by: str | None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with the secret, which is shown once."""

    key: Key
    secret: str = field(repr=False)


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def make_bits(derived_from: Sequence[bytes] = ()) -> bytes:
    """256 random bits for a new secret, or those derived from secrets that only its receiver brings again.

    derived_from: the first is the key of an HMAC-SHA256 over the others. A response that holds a derived secret can be given
    again without being kept, see ``amends.server.once``.
    """
    if not derived_from:
        return secrets.token_bytes(32)
    mac = hmac.new(derived_from[0], digestmod=hashlib.sha256)
    for part in derived_from[1:]:
        mac.update(len(part).to_bytes(8, "big") + part)
    return mac.digest()


def make_secret(mode: Mode, *, derived_from: Sequence[bytes] = ()) -> str:
    """A new key's secret, out of ``make_bits``."""
    return f"{KEY_PREFIX}{mode}_" + urlsafe_b64encode(make_bits(derived_from)).decode().rstrip("=")


class Keys:
    """All keys of the installation. The usable ones are kept in memory: no request waits for the database.

    One process owns the database, so what it revokes is revoked everywhere at once.
    """

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._lock = threading.Lock()
        with database.read() as tx:
            self._usable = {key.digest: key for key in map(_key, tx.execute(QUERIES.all_usable))}
        self._ids = {key.id for key in self._usable.values()}

    def has_any(self, tx: Transaction) -> bool:
        """Whether a key was ever made, be it revoked since."""
        return bool(tx.value(QUERIES.has_any))

    def authenticate(self, secret: str) -> Key | None:
        """The key of that secret, None for a wrong or a revoked one.

        The look-up is by hash, so its duration tells nothing of any stored key; the comparison takes constant time.
        """
        digest = digest_of(secret)
        found = self._usable.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None

    def is_usable(self, key_id: str) -> bool:
        """Whether there is such a key and it is not revoked."""
        return key_id in self._ids

    def issue(
        self,
        tx: Transaction,
        workspace_id: str,
        *,
        role: Role,
        mode: Mode = "live",
        user_id: str | None = None,
        name: str | None = None,
        created_by: str | None = None,
        secret: str | None = None,
    ) -> IssuedKey:
        """Write a new key. It can be used from ``admit`` on, to be called once the transaction is durable."""
        secret = secret or make_secret(mode)
        now = self._now()
        key = Key(
            new_id("key_", now=now), workspace_id, user_id, name, role, mode, digest_of(secret), secret[:_SHOWN], now, created_by
        )  # fmt: skip
        tx.execute(QUERIES.insert_key, {name: getattr(key, name) for name in Key.__slots__ if name != "revoked_at"})
        return IssuedKey(key, secret)

    def admit(self, key: Key) -> None:
        with self._lock:
            self._usable = {**self._usable, key.digest: key}
            self._ids.add(key.id)

    def get(self, workspace_id: str, key_id: str) -> Key | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_key, {"id": key_id, "workspace_id": workspace_id})
        return _key(row) if row else None

    def find(self, workspace_id: str, *, limit: int, after: str | None = None) -> list[Key]:
        """The workspace's keys, revoked ones too, newest first."""
        with self._database.read() as tx:
            rows = tx.execute(QUERIES.list_keys, {"workspace_id": workspace_id, "after": after, "limit": limit})
            return [_key(row) for row in rows]

    def of_user(self, user_id: str) -> list[Key]:
        """The user's keys that open something."""
        return [key for key in self._usable.values() if key.user_id == user_id]

    def revoke(self, tx: Transaction, key: Key) -> Key:
        """Write that the key is revoked; the revoked key. ``dismiss`` it once the transaction is durable."""
        now = self._now()
        tx.execute(QUERIES.revoke_key, {"id": key.id, "workspace_id": key.workspace_id, "now": now})
        return replace(key, revoked_at=key.revoked_at or now)

    def dismiss(self, key: Key) -> None:
        with self._lock:
            self._usable = {digest: other for digest, other in self._usable.items() if digest != key.digest}
            self._ids.discard(key.id)


def _key(row: tuple[Any, ...]) -> Key:
    return Key(*row)
