"""Users of workspaces, and their accounts: those who have an email and a password can sign in."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from amends.database import Database, Transaction, load_queries
from amends.store._keys import Role

QUERIES = load_queries(__package__, "accounts.sql")


class EmailTaken(Exception):
    """Another account of the installation has this email."""


class NameTaken(Exception):
    """Another user of the workspace has this name."""


class LastOwner(Exception):
    """Nobody else owns the workspace."""


@dataclass(frozen=True, slots=True)
class User:
    """A person of a workspace. id: a plain UUID; name: unique in the workspace. email: None for who comes by keys only."""

    id: str
    workspace_id: str
    name: str
    email: str | None
    role: Role
    created_at: float


@dataclass(frozen=True, slots=True)
class Account:
    """A user who can sign in. password: what argon2id made of it."""

    user: User
    password: str = field(repr=False)


def comparable(email: str) -> str:
    """The email as it is stored and compared: NFC, case folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


class Accounts:
    """Every question but that of a signing in is bound to a workspace. An email belongs to one account of the installation."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def ensure(self, tx: Transaction, workspace_id: str, name: str, role: Role = "member") -> User:
        """The workspace's user of that name, made with the role if new."""
        tx.lock(QUERIES.lock_name, (f"{workspace_id} {name}",))
        if row := tx.one(QUERIES.get_by_name, {"workspace_id": workspace_id, "name": name}):
            return User(*row)
        return self._insert(tx, workspace_id, name, None, None, role)

    def add(self, tx: Transaction, workspace_id: str, *, name: str, email: str, password: str, role: Role) -> User:
        """Make an account. Raises EmailTaken, NameTaken."""
        tx.lock(QUERIES.lock_name, (email,))
        if tx.one(QUERIES.get_account, {"email": email}):
            raise EmailTaken
        self._refuse_name(tx, workspace_id, name)
        return self._insert(tx, workspace_id, name, email, password, role)

    def _insert(
        self, tx: Transaction, workspace_id: str, name: str, email: str | None, password: str | None, role: Role
    ) -> User:
        made = User(str(uuid4()), workspace_id, name, email, role, self._now())
        tx.execute(QUERIES.insert_user, {**{key: getattr(made, key) for key in User.__slots__}, "password": password})
        return made

    def by_email(self, email: str) -> Account | None:
        """The account of that email, in whatever workspace."""
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_account, {"email": comparable(email)})
        return None if row is None else Account(User(*row[:-1]), row[-1])

    def of_user(self, user_id: str) -> Account | None:
        """The user's account; None for one who has none."""
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_account_of, {"id": user_id})
        return None if row is None else Account(User(*row[:-1]), row[-1])

    def get(self, workspace_id: str, user_id: str) -> User | None:
        with self._database.read() as tx:
            return self._get(tx, workspace_id, user_id)

    def find(self, workspace_id: str, *, limit: int, after: str | None = None) -> list[User]:
        """The workspace's users, newest first."""
        with self._database.read() as tx:
            values = {"workspace_id": workspace_id, "after": after, "limit": limit}
            return [User(*row) for row in tx.execute(QUERIES.list_users, values)]

    def current(self, tx: Transaction, account: Account) -> User | None:
        """The user as it stands, which stays so until the transaction ends; None where the password was changed since."""
        tx.lock(QUERIES.lock_user, (account.user.id,))
        row = tx.one(QUERIES.get_current, {"id": account.user.id, "password": account.password})
        return User(*row) if row else None

    def set_password(self, tx: Transaction, account: Account, password: str) -> bool:
        """Give the account another password; False where it has been given one since it was read."""
        values = {"id": account.user.id, "password": password, "was": account.password}
        tx.execute(QUERIES.set_password, values)
        return tx.changes == 1

    def change(self, tx: Transaction, user: User, *, role: Role | None = None, name: str | None = None) -> User | None:
        """Give the user a role or a name; None for one who is gone. Raises LastOwner, NameTaken."""
        found = self._to_change(tx, user)
        if found is None:
            return None
        if role is not None and role != found.role:
            self._refuse_last_owner(tx, found)
            tx.execute(QUERIES.set_role, {"id": user.id, "role": role})
        if name is not None and name != found.name:
            self._refuse_name(tx, user.workspace_id, name)
            tx.execute(QUERIES.set_name, {"id": user.id, "name": name})
        return self._get(tx, user.workspace_id, user.id)

    def delete(self, tx: Transaction, user: User) -> bool:
        """Forget all of the user but the id; whether there was one. Raises LastOwner."""
        found = self._to_change(tx, user)
        if found is None:
            return False
        self._refuse_last_owner(tx, found)
        tx.execute(QUERIES.delete_user, {"id": user.id, "now": self._now()})
        return True

    def _to_change(self, tx: Transaction, user: User) -> User | None:
        """The user as it stands. Owners are looked at together, so that no two go at once."""
        tx.lock(QUERIES.lock_owners, (user.workspace_id,))
        tx.lock(QUERIES.lock_user, (user.id,))
        return self._get(tx, user.workspace_id, user.id)

    def _get(self, tx: Transaction, workspace_id: str, user_id: str) -> User | None:
        row = tx.one(QUERIES.get_user, {"id": user_id, "workspace_id": workspace_id})
        return User(*row) if row else None

    def _refuse_name(self, tx: Transaction, workspace_id: str, name: str) -> None:
        tx.lock(QUERIES.lock_name, (f"{workspace_id} {name}",))
        if tx.one(QUERIES.get_by_name, {"workspace_id": workspace_id, "name": name}):
            raise NameTaken

    def _refuse_last_owner(self, tx: Transaction, user: User) -> None:
        if user.role == "owner" and tx.value(QUERIES.owners, {"workspace_id": user.workspace_id}) == 1:
            raise LastOwner
