"""Pure decisions on failure: how long to wait, whether to try again, when to stop. No I/O, no clock of its own."""

from ._backoff import Draw, Jitter, backoff
from ._deadline import Deadline
from ._items import Defer, End, item_decision
from ._retry import MAX_RETRY_AFTER_SECONDS, GiveUp, Reason, Retry, retry_decision
from ._retry_after import parse_retry_after

__all__ = [
    "MAX_RETRY_AFTER_SECONDS",
    "Deadline",
    "Defer",
    "Draw",
    "End",
    "GiveUp",
    "Jitter",
    "Reason",
    "Retry",
    "backoff",
    "item_decision",
    "parse_retry_after",
    "retry_decision",
]
