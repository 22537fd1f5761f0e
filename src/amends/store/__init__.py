"""The rest of the database: workspaces and users, keys, files, uploads, idempotency keys, OpenAI's batches."""

from amends.store._files import ExpiredFile, FileRecord, FileRef, Files
from amends.store._idempotency import Claim, Fenced, IdempotencyKeys, Scope
from amends.store._installation import installation_id
from amends.store._keys import IssuedKey, Key, Keys, Mode, Role, make_secret
from amends.store._openai_batches import BatchState, OpenAIBatch, OpenAIBatches, Written
from amends.store._store import Store
from amends.store._uploads import UploadRecord, Uploads
from amends.store._workspaces import User, Workspace, Workspaces

__all__ = [
    "BatchState",
    "Claim",
    "ExpiredFile",
    "Fenced",
    "FileRecord",
    "FileRef",
    "Files",
    "IdempotencyKeys",
    "IssuedKey",
    "Key",
    "Keys",
    "Mode",
    "OpenAIBatch",
    "OpenAIBatches",
    "Role",
    "Scope",
    "Store",
    "UploadRecord",
    "Uploads",
    "User",
    "Workspace",
    "Workspaces",
    "Written",
    "installation_id",
    "make_secret",
]
