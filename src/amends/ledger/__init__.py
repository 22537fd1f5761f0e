"""Runs, items, spans, leases and outcomes: the only truth about what happened to every item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amends._lazy import front_door
from amends.ledger._blob_lines import ReadBlob, filled_lines
from amends.ledger._credits import CREDIT, CreditEntry, CreditExceeded, CreditStanding, Funding
from amends.ledger._lines import ResultLines, line_head, line_members, pack_items, percent_encoded, unpack_items
from amends.ledger._protocol import Also, Ledger, Told
from amends.ledger._types import (
    TERMINAL,
    Answer,
    ClaimRequest,
    Commit,
    Conservation,
    Counts,
    Deferral,
    DuplicateCustomIds,
    Ending,
    FailedAttempt,
    FailureGroup,
    InvalidTransition,
    ItemRecord,
    ItemStatus,
    Lease,
    LeasedItem,
    Manifest,
    Mode,
    NewItem,
    NewRun,
    OnExhausted,
    Outcome,
    Renewal,
    ResultChunk,
    Run,
    RunNotFound,
    RunState,
    Sample,
    Share,
    Standing,
    Step,
    TooManyRuns,
)

if TYPE_CHECKING:
    from amends.ledger._memory import MemoryLedger
    from amends.ledger._postgres import PostgresLedger
    from amends.ledger._sqlite import SqliteLedger

# Worker processes speak of leases and outcomes and never open a ledger: these load when they are asked for.
_HOME_OF = {
    "MemoryLedger": "amends.ledger._memory",
    "PostgresLedger": "amends.ledger._postgres",
    "SqliteLedger": "amends.ledger._sqlite",
}

__all__ = [
    "CREDIT",
    "TERMINAL",
    "Also",
    "Answer",
    "ClaimRequest",
    "Commit",
    "Conservation",
    "Counts",
    "CreditEntry",
    "CreditExceeded",
    "CreditStanding",
    "Deferral",
    "DuplicateCustomIds",
    "Ending",
    "FailedAttempt",
    "FailureGroup",
    "Funding",
    "InvalidTransition",
    "ItemRecord",
    "ItemStatus",
    "Lease",
    "LeasedItem",
    "Ledger",
    "Manifest",
    "MemoryLedger",
    "Mode",
    "NewItem",
    "NewRun",
    "OnExhausted",
    "Outcome",
    "PostgresLedger",
    "ReadBlob",
    "Renewal",
    "ResultChunk",
    "ResultLines",
    "Run",
    "RunNotFound",
    "RunState",
    "Sample",
    "Share",
    "SqliteLedger",
    "Standing",
    "Step",
    "Told",
    "TooManyRuns",
    "filled_lines",
    "line_head",
    "line_members",
    "pack_items",
    "percent_encoded",
    "unpack_items",
]

__getattr__, __dir__ = front_door(__name__, _HOME_OF, __all__)
