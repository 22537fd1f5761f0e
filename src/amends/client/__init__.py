"""The SDK: ``Client``, ``AsyncClient``, and what they take and return. Exceptions are in ``amends.exceptions``.

Names load when they are first used, so that importing costs little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amends._lazy import front_door

if TYPE_CHECKING:
    from ._client import AsyncClient, Client
    from ._context import Clock, GiveUpEvent, ResponseEvent, RetryEvent
    from ._datapoints import Datapoint
    from ._datasets import AsyncDataset, Dataset
    from ._entries import JournalEntry
    from ._events import RunEvent
    from ._failed_uploads import FailedUpload, FailedUploadError, FailedUploadException
    from ._jobs import AsyncJobDefinition, JobDefinition
    from ._journal import Journal, read_journal
    from ._journal_places import journal_folder
    from ._labelling import Annotator, Invitation, OrderCounts
    from ._many import Upload, Uploaded, UploadProgress
    from ._models import (
        ApiKeyRecord,
        BatchPrediction,
        Conservation,
        CreditConservation,
        CreditEntry,
        CreditEstimate,
        Credits,
        DatapointAsset,
        Deleted,
        DryRun,
        FailureExample,
        FailureGroup,
        Failures,
        File,
        InvitationRecord,
        ItemAttempt,
        ItemRecord,
        Manifest,
        Me,
        Record,
        RequestCounts,
        Resource,
        Run,
        StoredDatapoint,
        UserRecord,
        WebhookDelivery,
        WebhookRecord,
        WebhookTry,
    )
    from ._operations import ResultLine, Sample
    from ._order_results import OrderResult, OrderResults
    from ._orders import AsyncOrder, Order
    from ._pages import AsyncPage, Page
    from ._rates import RateLimit
    from ._reconciling import Reconciliation
    from ._runs import Replacement
    from ._settings import NO_KEY

_HOMES = {
    "_client": ("AsyncClient", "Client"),
    "_context": ("Clock", "GiveUpEvent", "ResponseEvent", "RetryEvent"),
    "_datapoints": ("Datapoint",),
    "_datasets": ("AsyncDataset", "Dataset"),
    "_events": ("RunEvent",),
    "_entries": ("JournalEntry",),
    "_failed_uploads": ("FailedUpload", "FailedUploadError", "FailedUploadException"),
    "_jobs": ("AsyncJobDefinition", "JobDefinition"),
    "_journal": ("Journal", "read_journal"),
    "_journal_places": ("journal_folder",),
    "_labelling": ("Annotator", "Invitation", "OrderCounts"),
    "_many": ("Upload", "UploadProgress", "Uploaded"),
    "_models": (
        "ApiKeyRecord",
        "BatchPrediction",
        "Conservation",
        "CreditConservation",
        "CreditEntry",
        "CreditEstimate",
        "Credits",
        "DatapointAsset",
        "Deleted",
        "DryRun",
        "FailureExample",
        "FailureGroup",
        "Failures",
        "File",
        "ItemAttempt",
        "ItemRecord",
        "Manifest",
        "Me",
        "Record",
        "RequestCounts",
        "Resource",
        "Run",
        "StoredDatapoint",
        "InvitationRecord",
        "UserRecord",
        "WebhookDelivery",
        "WebhookRecord",
        "WebhookTry",
    ),
    "_operations": ("ResultLine", "Sample"),
    "_order_results": ("OrderResult", "OrderResults"),
    "_orders": ("AsyncOrder", "Order"),
    "_pages": ("AsyncPage", "Page"),
    "_rates": ("RateLimit",),
    "_reconciling": ("Reconciliation",),
    "_runs": ("Replacement",),
    "_settings": ("NO_KEY",),
}
_HOME_OF = {name: f".{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "NO_KEY",
    "Annotator",
    "ApiKeyRecord",
    "AsyncClient",
    "AsyncDataset",
    "AsyncJobDefinition",
    "AsyncOrder",
    "AsyncPage",
    "BatchPrediction",
    "Client",
    "Clock",
    "Conservation",
    "CreditConservation",
    "CreditEntry",
    "CreditEstimate",
    "Credits",
    "Datapoint",
    "DatapointAsset",
    "Dataset",
    "Deleted",
    "DryRun",
    "FailedUpload",
    "FailedUploadError",
    "FailedUploadException",
    "FailureExample",
    "FailureGroup",
    "Failures",
    "File",
    "GiveUpEvent",
    "Invitation",
    "InvitationRecord",
    "ItemAttempt",
    "ItemRecord",
    "JobDefinition",
    "Journal",
    "JournalEntry",
    "Manifest",
    "Me",
    "Order",
    "OrderCounts",
    "OrderResult",
    "OrderResults",
    "Page",
    "RateLimit",
    "Reconciliation",
    "Record",
    "Replacement",
    "RequestCounts",
    "Resource",
    "ResponseEvent",
    "ResultLine",
    "RetryEvent",
    "Run",
    "RunEvent",
    "Sample",
    "StoredDatapoint",
    "Upload",
    "UploadProgress",
    "Uploaded",
    "UserRecord",
    "WebhookDelivery",
    "WebhookRecord",
    "WebhookTry",
    "journal_folder",
    "read_journal",
]

__getattr__, __dir__ = front_door(__name__, _HOME_OF, __all__)
