"""Tokens of who logged in: an access token, which is a JWT and tried a thousand times, and a refresh token, which is good once.

An access token says which session it belongs to and until when it is good; what the session may do stands in the session, which is
looked up in memory. So a token ends with its session at once, and no request waits for the database.
"""

from __future__ import annotations

import binascii
import hmac
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, NamedTuple

from amends.problems import ProblemError, invalid_credentials, token_expired
from amends.server.sealing import Sealing
from amends.store import Session

_ALGORITHM: Final = "HS256"
_MOST_REMEMBERED: Final = 10_000
_LONGEST: Final = 2_048
_REFRESH: Final = "rt_"


class _Access(NamedTuple):
    """What an access token says. expires_at: seconds since the epoch."""

    session_id: str
    expires_at: float


class Tokens:
    """Makes and reads tokens. now: seconds since the epoch."""

    def __init__(self, sealing: Sealing, *, now: Callable[[], float]) -> None:
        self._sealing = sealing
        self._now = now
        self._lock = threading.Lock()
        self._read: dict[str, _Access] = {}

    @cached_property
    def _key(self) -> Any:
        from joserfc.jwk import OctKey  # large, and not wanted where nobody logs in

        return OctKey.import_key(self._sealing.key("access tokens"))

    def access(self, session: Session, seconds: int) -> str:
        """An access token of the session, good for so long."""
        from joserfc import jwt

        now = int(self._now())
        claims = {"sub": session.user_id, "sid": session.id, "iat": now, "exp": now + seconds}
        return jwt.encode({"alg": _ALGORITHM}, claims, self._key)

    def session_id(self, token: str) -> str:
        """Whose session an access token belongs to. ProblemError: it is none of ours, or its time is over."""
        found = self._read.get(token)
        if found is None:
            found = self._remember(token, self._verified(token))
        if found.expires_at <= self._now():
            raise ProblemError(token_expired())
        return found.session_id

    def refresh(self, session: Session) -> str:
        """The refresh token that is good now."""
        text = f"{session.id}.{session.generation}"
        return (
            _REFRESH + _encoded(text.encode()) + "." + _encoded(self._sealing.digest("refresh tokens", text.encode()))
        )

    def read_refresh(self, token: str) -> tuple[str, int]:
        """Session and generation of a refresh token. ProblemError: it is none of ours."""
        front, _, mac = token.removeprefix(_REFRESH).partition(".")
        try:
            text = urlsafe_b64decode(front + "=" * (-len(front) % 4))
            right = _encoded(self._sealing.digest("refresh tokens", text))
            if not (token.startswith(_REFRESH) and hmac.compare_digest(mac.encode(), right.encode())):
                raise ProblemError(invalid_credentials())
        except (binascii.Error, ValueError) as error:  # of what is no ASCII, too
            raise ProblemError(invalid_credentials()) from error
        session_id, _, generation = text.decode().partition(".")
        return session_id, int(generation)

    def _verified(self, token: str) -> _Access:
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            if len(token) > _LONGEST:
                raise ValueError("longer than any of ours")
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ProblemError(invalid_credentials()) from error
        session_id, expires_at = claims.get("sid"), claims.get("exp")
        if not isinstance(session_id, str) or not isinstance(expires_at, int):
            raise ProblemError(invalid_credentials())
        return _Access(session_id, expires_at)

    def _remember(self, token: str, read: _Access) -> _Access:
        """A signature is looked at once; what is remembered is dropped when it gets much."""
        with self._lock:
            if len(self._read) >= _MOST_REMEMBERED:
                self._read.clear()
            self._read[token] = read
        return read


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
