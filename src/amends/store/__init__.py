"""The rest of the database: everything but runs and their items."""

from amends.store._accounts import Account, Accounts, EmailTaken, LastOwner, NameTaken, User, comparable
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
from amends.store._invitations import Invitation, Invitations
from amends.store._job_definitions import JobDefinition, JobDefinitions, JobKind, LabellingSettings
from amends.store._keys import KEY_PREFIX, IssuedKey, Key, Keys, Mode, Role, digest_of, make_bits, make_secret
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
from amends.store._webhooks import ALL_EVENTS, EVENTS, Attempt, Delivery, DeliveryState, EventType, Webhook, Webhooks
from amends.store._workspaces import Workspace, Workspaces

__all__ = [
    "ALL_EVENTS",
    "EVENTS",
    "KEY_PREFIX",
    "ORDER_TRANSITIONS",
    "Account",
    "Accounts",
    "Added",
    "Annotator",
    "AnnotatorKind",
    "Annotators",
    "Asset",
    "Attempt",
    "BatchState",
    "Claim",
    "Content",
    "DatapointRecord",
    "DatasetRecord",
    "Datasets",
    "Delivery",
    "DeliveryState",
    "EmailTaken",
    "EventType",
    "ExpiredFile",
    "Fenced",
    "FetchRecord",
    "Fetched",
    "Fetches",
    "FileRecord",
    "FileRef",
    "Files",
    "IdempotencyKeys",
    "Invitation",
    "Invitations",
    "IssuedKey",
    "JobDefinition",
    "JobDefinitions",
    "JobKind",
    "Key",
    "Keys",
    "LabellingSettings",
    "LastOwner",
    "Mode",
    "ModelAnswer",
    "NameTaken",
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
    "Webhook",
    "Webhooks",
    "Workspace",
    "Workspaces",
    "Written",
    "comparable",
    "digest_of",
    "installation_id",
    "make_bits",
    "make_secret",
]
