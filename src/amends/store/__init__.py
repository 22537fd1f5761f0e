"""The rest of the database: workspaces and users, keys, files, idempotency keys."""

from amends.store._files import FileRecord, FileRef, Files
from amends.store._idempotency import Claim, Fenced, IdempotencyKeys, Scope
from amends.store._keys import IssuedKey, Key, Keys, Mode, Role, make_secret
from amends.store._store import Store
from amends.store._workspaces import User, Workspace, Workspaces

__all__ = [
    "Claim",
    "Fenced",
    "FileRecord",
    "FileRef",
    "Files",
    "IdempotencyKeys",
    "IssuedKey",
    "Key",
    "Keys",
    "Mode",
    "Role",
    "Scope",
    "Store",
    "User",
    "Workspace",
    "Workspaces",
    "make_secret",
]
