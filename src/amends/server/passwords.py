"""Passwords: argon2id, which takes its time and memory on purpose, and so is done a few at a time beside everything else."""

from __future__ import annotations

import asyncio
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from amends.problems import FieldError, ProblemError, problem, validation_failed

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

LEAST_LETTERS: Final = 8
MOST_LETTERS: Final = 256
PARAMETERS: dict[str, Any] = {"time_cost": 3, "memory_cost": 65_536, "parallelism": 4}
"""RFC 9106, the second recommended option. What was stored with others is stored anew when its owner signs in."""
_THREADS: Final = 2
_MOST_WAITING: Final = 64
_BUSY_SECONDS: Final = 2.0


class Passwords:
    """Two at a time: each takes 64 MiB. hasher: None takes one with PARAMETERS."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._given = hasher
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="amends-passwords")
        self._lock = threading.Lock()
        self._nobodys: str | None = None
        self._waiting = 0

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        """What is stored of a password."""
        return await self._beside(lambda: self._hasher().hash(_normal(password)))

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether it is the password; as much work where there is no account (``stored`` None) as where there is one."""
        return await self._beside(lambda: self._compare(stored, password))

    def is_outdated(self, stored: str) -> bool:
        """Whether it was made with other parameters than are taken now."""
        return self._hasher().check_needs_rehash(stored)

    def _compare(self, stored: str | None, password: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        nobodys = self._somebody_unknown()
        try:
            return self._hasher().verify(stored or nobodys, _normal(password)) and stored is not None
        except (Argon2Error, InvalidHashError):
            return False

    def _hasher(self) -> PasswordHasher:
        if self._given is None:
            from argon2 import PasswordHasher  # not wanted where nobody signs in

            self._given = PasswordHasher(**PARAMETERS)
        return self._given

    def _somebody_unknown(self) -> str:
        """The hash that a password is compared with where there is no account. Made by whoever comes first, account or not."""
        with self._lock:
            if self._nobodys is None:
                self._nobodys = self._hasher().hash(secrets.token_urlsafe(16))
            return self._nobodys

    async def _beside(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise ProblemError(problem("service_unavailable", retry_after=_BUSY_SECONDS))
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def check_password(password: str, *, email: str, name: str, field: str = "password") -> None:
    """ProblemError validation_failed for a password that is too short, too long or the first that anybody would try.

    No letters of a certain kind are asked for: that makes passwords worse (NIST SP 800-63B, 3.1.1.2).
    """
    normal = _normal(password)
    said = None
    if len(normal) < LEAST_LETTERS:
        said = f"A password has at least {LEAST_LETTERS} characters", "too_short"
    elif len(normal) > MOST_LETTERS:
        said = f"A password has at most {MOST_LETTERS} characters", "too_long"
    elif normal.casefold() in {word.casefold() for word in (email, email.partition("@")[0], name)}:
        said = "A password is neither the email nor the name", "obvious_password"
    elif len(set(normal)) == 1:
        said = "A password is more than one character again and again", "obvious_password"
    if said:
        sentence, code = said
        raise ProblemError(validation_failed([FieldError.at(("body", field), sentence, "value_error", code=code)]))


def _normal(password: str) -> str:
    """The same however it was typed: RFC 8265, 4.2.2 (opaque strings are compared after NFC)."""
    return unicodedata.normalize("NFC", password)
