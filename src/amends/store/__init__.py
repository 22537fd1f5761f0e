"""The rest of the database: everything but runs and their items."""

from amends.store._datasets import (
    Added,
    Asset,
    Content,
    DatapointRecord,
    DatasetRecord,
    Datasets,
    NewDatapoint,
)
from amends.store._fetches import Fetched, Fetches, FetchRecord, WaitingOutcome
from amends.store._files import ExpiredFile, FileRecord, FileRef, Files
from amends.store._idempotency import Claim, Fenced, IdempotencyKeys, Scope
from amends.store._installation import installation_id
from amends.store._keys import IssuedKey, Key, Keys, Mode, Role, make_secret
from amends.store._openai_batches import BatchState, OpenAIBatch, OpenAIBatches, Written
from amends.store._sessions import Session, Sessions
from amends.store._store import Store
from amends.store._uploads import UploadRecord, Uploads
from amends.store._workspaces import User, Workspace, Workspaces

__all__ = [
    "Added",
    "Asset",
    "BatchState",
    "Claim",
    "Content",
    "DatapointRecord",
    "DatasetRecord",
    "Datasets",
    "ExpiredFile",
    "Fenced",
    "FetchRecord",
    "Fetched",
    "Fetches",
    "FileRecord",
    "FileRef",
    "Files",
    "IdempotencyKeys",
    "IssuedKey",
    "Key",
    "Keys",
    "Mode",
    "NewDatapoint",
    "OpenAIBatch",
    "OpenAIBatches",
    "Role",
    "Scope",
    "Session",
    "Sessions",
    "Store",
    "UploadRecord",
    "Uploads",
    "User",
    "WaitingOutcome",
    "Workspace",
    "Workspaces",
    "Written",
    "installation_id",
    "make_secret",
]
