"""What an exception is to the item that met it."""

from __future__ import annotations

import logging

from amends.engine.processor import WorkItem
from amends.problems import Problem, ProblemError, problem

__all__ = ["problem_of"]

_log = logging.getLogger("amends.processors.predict")


def problem_of(error: Exception, item: WorkItem) -> Problem:
    """The item's problem; what nobody expected is logged and told without the inside."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, MemoryError):
        return problem("batch_item_processing_failed", error_code="ITEM_OUT_OF_MEMORY")
    _log.error("item_failed", exc_info=error, extra={"item": item.key})
    return problem("batch_item_processing_failed")
