"""Idempotency keys on requests: the work behind a key is done once, and its answer given again.

    async with idempotent(request, digest) as guard:
        if guard.replay:
            return guard.replay
        …
        await asyncio.wrap_future(database.submit(lambda tx: (do(tx), guard.store(tx, 200, body))))

The response is stored in the transaction of the effect, so a crash leaves both or neither. A request without a key passes through.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
from fastapi import Request
from starlette.responses import Response

from amends.database import Database, Transaction
from amends.problems import ProblemError, idempotency_conflict, idempotency_in_progress, problem
from amends.server.services import caller, services
from amends.store import Claim, IdempotencyKeys, Scope

_RETRY_SECONDS = 1.0


class Idempotency:
    """The keys in use in this process. Whoever holds one here is alive; claims of other processes are dead, see ``store``."""

    def __init__(self, database: Database, keys: IdempotencyKeys) -> None:
        self.database = database
        self.keys = keys
        self.held: set[bytes] = set()


class Guard:
    """One request under a key.

    key: None for a request without one. replay: the answer to give instead of doing the work, None where the work is to be done. is_known: the key has been answered,
    but a streamed body must be read to the end before it is clear that it is the same; see ``settle``.
    """

    def __init__(
        self,
        service: Idempotency | None = None,
        scope: Scope | None = None,
        digest: bytes | None = None,
        key: str | None = None,
    ) -> None:
        self.key = key
        self._service = service
        self._scope = scope
        self._digest = digest
        self._holder = uuid4().hex
        self._answered: Claim | None = None
        self._is_claimed = False
        self._is_stored = False
        self.replay: Response | None = None

    @property
    def is_known(self) -> bool:
        return self._answered is not None

    def settle(self, digest: bytes) -> Response | None:
        """Say what the body was, now that it is read: the answer to give again, None to go on. Conflict: it was another body."""
        self._digest = digest
        if self._answered is not None:
            if self._answered.digest != digest:
                raise ProblemError(idempotency_conflict())
            self.replay = _replayed(self._answered)
        return self.replay

    def claim(self, tx: Transaction) -> None:
        """Claim the key in the transaction where the work begins. Unneeded where ``store`` follows in the same transaction."""
        if self._service and self._scope:
            self._service.keys.take(tx, self._scope, self._holder, digest=self._digest)
            self._is_claimed = True

    def store(
        self,
        tx: Transaction,
        status: int,
        body: bytes | Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        resource_id: str | None = None,
    ) -> None:
        """Store the answer in the transaction of the effect. resource_id: what was created; its key is kept as long as that lives."""
        if not (self._service and self._scope):
            return
        if self._digest is None:
            raise RuntimeError("the digest of a streamed body is settled before its answer is stored")
        if not self._is_claimed:
            self.claim(tx)
        stored = (
            body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        )
        whole = {"content-type": "application/json"} if stored else {}
        whole |= {name.lower(): value for name, value in (headers or {}).items()}
        self._service.keys.answer(
            tx,
            self._scope,
            self._holder,
            digest=self._digest,
            status=status,
            headers=whole,
            body=stored,
            resource_id=resource_id,
        )
        self._is_stored = True

    def release(self, tx: Transaction) -> None:
        """Free the key again, in the transaction where the work is given up."""
        if self._service and self._scope and self._is_claimed:
            self._service.keys.release(tx, self._scope, self._holder)

    async def _enter(self, service: Idempotency, scope: Scope) -> None:
        found = await asyncio.to_thread(service.keys.get, scope)
        if found is None:
            return
        if found.status is None:
            if service.keys.is_held(found):
                raise ProblemError(idempotency_in_progress(_RETRY_SECONDS))
            return
        self._answered = found
        if self._digest is not None:
            self.settle(self._digest)

    async def _leave(self) -> None:
        if self._service and self._is_claimed:
            # Harmless when the answer is stored: only an unanswered claim is released.
            await asyncio.wrap_future(self._service.database.submit(self.release))


@asynccontextmanager
async def idempotent(
    request: Request, digest: bytes | None, *, workspace_id: str | None = None
) -> AsyncIterator[Guard]:
    """Guard a mutating request by its ``Idempotency-Key``, if it has one.

    digest: of the parsed body (``digest_of``); None for a body that is streamed (say it by ``guard.settle`` later).
    workspace_id: whose key it is, where that is not the caller's.
    Raises ProblemError: conflict for another body under the same key or a first request that still runs.
    """
    key = _key_of(request)
    if key is None:
        yield Guard()
        return
    service = services(request).idempotency
    whose = caller(request).workspace_id if workspace_id is None else workspace_id
    scope = Scope.of(whose, request.method, request.url.path, key)
    if scope.digest in service.held:
        raise ProblemError(idempotency_in_progress(_RETRY_SECONDS))
    service.held.add(scope.digest)
    try:
        guard = Guard(service, scope, digest, key)
        await guard._enter(service, scope)
        try:
            yield guard
        finally:
            await guard._leave()
    finally:
        service.held.discard(scope.digest)


def digest_of(content: Any) -> bytes:
    """The digest of a body as parsed content: order of members, blanks and multipart boundaries do not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


async def body_digest(request: Request) -> bytes:
    """The digest of a JSON body, or of none.

    ProblemError malformed_request for what the framework's parser takes and is no JSON: ``NaN``, half a surrogate pair.
    """
    body = await request.body()
    if not body:
        return digest_of(None)
    try:
        msgspec.json.decode(body)
        return digest_of(json.loads(body))
    except (msgspec.DecodeError, ValueError) as error:
        raise ProblemError(problem("malformed_request", f"The body is not JSON: {error}")) from error


def _key_of(request: Request) -> str | None:
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(set(keys)) > 1 or not 1 <= len(keys[0]) <= 255 or not all(" " <= letter <= "~" for letter in keys[0]):
        raise ProblemError(problem("malformed_request", "Idempotency-Key must be 1 to 255 printable characters."))
    return keys[0]


def _replayed(claim: Claim) -> Response:
    return Response(claim.body, claim.status or 200, {**claim.headers, "Idempotency-Replayed": "true"})
