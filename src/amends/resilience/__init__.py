"""Pure decisions on failure: how long to wait, whether to try again, when to stop. No I/O, no clock of its own."""

from ._backoff import Draw, Jitter, backoff
from ._breaker import (
    MAX_OPEN_SECONDS,
    Breaker,
    BreakerEvent,
    BreakerState,
    Closed,
    Opened,
    Permit,
    Refused,
    counts_against_host,
)
from ._breaker_rules import CountRule, RateRule, ThresholdMoved, TripRule
from ._budget import RetryBudget
from ._concurrency import AdaptiveLimit, LimitMoved
from ._deadline import Deadline
from ._items import Defer, End, item_decision
from ._retry import MAX_RETRY_AFTER_SECONDS, GiveUp, Reason, Repetition, Retry, repetition_of, retry_decision
from ._retry_after import parse_retry_after

__all__ = [
    "MAX_OPEN_SECONDS",
    "MAX_RETRY_AFTER_SECONDS",
    "AdaptiveLimit",
    "Breaker",
    "BreakerEvent",
    "BreakerState",
    "Closed",
    "CountRule",
    "Deadline",
    "Defer",
    "Draw",
    "End",
    "GiveUp",
    "Jitter",
    "LimitMoved",
    "Opened",
    "Permit",
    "RateRule",
    "Reason",
    "Refused",
    "Repetition",
    "Retry",
    "RetryBudget",
    "ThresholdMoved",
    "TripRule",
    "backoff",
    "counts_against_host",
    "item_decision",
    "parse_retry_after",
    "repetition_of",
    "retry_decision",
]
