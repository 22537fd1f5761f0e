"""Secrets that an answer shows once, and again to whoever repeats the request, without being kept in between.

Such a secret follows from what only the caller brings, this time and the next: its credential and its Idempotency-Key, together
with a nonce that is stored with the answer. The credential has 256 random bits and the nonce is fresh, so the secret is as good
as a random one. Through the local socket, where there is no credential, the Idempotency-Key takes its place: it is stored hashed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from amends.server.auth import Caller
from amends.server.idempotency import Guard

NONCE: Final = "nonce"
"""The member of a stored answer that holds its nonce; it is not shown."""


def new_nonce() -> str:
    return secrets.token_hex(16)


def source_of(who: Caller, guard: Guard, nonce: str) -> Sequence[bytes]:
    """What the secret of this answer is derived from; nothing, and so a random one, where the request cannot be repeated."""
    if guard.key is None:
        return ()
    return f"{who.credential}\0{guard.key}".encode(), bytes.fromhex(nonce)
