"""Who signs in with an email and a password: on the pages and for tokens alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from amends.database import Database, Transaction
from amends.problems import ProblemError, invalid_credentials, rate_limited
from amends.server.guesses import Guesses, Name, network_of
from amends.server.passwords import Passwords
from amends.server.threads import in_thread
from amends.store import Account, Mode, Session, Store, comparable

log = structlog.get_logger("amends.server")


class Logins:
    """Used by the event loop. monotonic: for how long whoever guesses has to wait."""

    def __init__(
        self,
        database: Database,
        store: Store,
        passwords: Passwords,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._store = store
        self.passwords = passwords
        self._monotonic = monotonic
        self._guesses = Guesses()

    async def check(self, email: str, password: str, address: str | None) -> Account:
        """The account, if that is its password. address: where the request came from, None for the local socket.

        Raises ProblemError: no_authentication for a wrong password and an unknown email alike, after the same work;
        rate_limit_exceeded where there were too many wrong ones.
        """
        names = [Name("account", comparable(email))]
        if address is not None:
            names.append(Name("address", network_of(address)))
        self.hold_back(names)
        account = await in_thread(self._store.accounts.by_email, email)
        is_right = await self.passwords.is_right(None if account is None else account.password, password)
        if account is None or not is_right:
            log.info("login_failed", user_id=None if account is None else account.user.id, address=address)
            raise ProblemError(invalid_credentials())
        self._guesses.right(names)
        return await self._renewed(account, password)

    async def sign_in(self, account: Account, seconds: float, mode: Mode = "live") -> tuple[Session, str]:
        """Open a session of the account, as it was checked; ProblemError where its password was changed since."""

        def write(tx: Transaction) -> tuple[Session, str] | None:
            user = self._store.accounts.current(tx, account)
            if user is None:
                return None
            return self._store.sessions.open(tx, user.workspace_id, user.id, None, user.role, mode, seconds)

        opened = await asyncio.wrap_future(self._database.submit(write))
        if opened is None:
            raise ProblemError(invalid_credentials())
        log.info("login", user_id=account.user.id, session_id=opened[0].id)
        return opened

    def hold_back(self, names: Sequence[Name]) -> None:
        """Count a try against these; ProblemError rate_limit_exceeded where there were too many."""
        wait = self._guesses.begin(names, self._monotonic())
        if wait > 0:
            raise ProblemError(rate_limited(wait, policy="logins"))

    async def _renewed(self, account: Account, password: str) -> Account:
        """The account with its password stored as it would be today."""
        if not self.passwords.is_outdated(account.password):
            return account
        stored = await self.passwords.hash(password)
        write = self._database.submit(lambda tx: self._store.accounts.set_password(tx, account, stored))
        is_written = await asyncio.wrap_future(write)
        return Account(account.user, stored) if is_written else account
