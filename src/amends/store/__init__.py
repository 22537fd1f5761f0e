"""The rest of the database: everything but runs and their items."""

from amends.store._annotators import Annotator, AnnotatorKind, Annotators
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
from amends.store._job_definitions import JobDefinition, JobDefinitions, JobKind, LabellingSettings
from amends.store._keys import IssuedKey, Key, Keys, Mode, Role, make_secret
from amends.store._openai_batches import BatchState, OpenAIBatch, OpenAIBatches, Written
from amends.store._orders import ORDER_TRANSITIONS, Order, Orders, OrderStatus
from amends.store._sessions import Session, Sessions
from amends.store._store import Store
from amends.store._tasks import (
    ModelAnswer,
    OrderSums,
    Responded,
    Response,
    Skip,
    Task,
    TaskLease,
    Tasks,
    Undone,
)
from amends.store._uploads import UploadRecord, Uploads
from amends.store._workspaces import User, Workspace, Workspaces

__all__ = [
    "ORDER_TRANSITIONS",
    "Added",
    "Annotator",
    "AnnotatorKind",
    "Annotators",
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
    "JobDefinition",
    "JobDefinitions",
    "JobKind",
    "Key",
    "Keys",
    "LabellingSettings",
    "Mode",
    "ModelAnswer",
    "NewDatapoint",
    "OpenAIBatch",
    "OpenAIBatches",
    "Order",
    "OrderStatus",
    "OrderSums",
    "Orders",
    "Responded",
    "Response",
    "Role",
    "Scope",
    "Session",
    "Sessions",
    "Skip",
    "Store",
    "Task",
    "TaskLease",
    "Tasks",
    "Undone",
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
