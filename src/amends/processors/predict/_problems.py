"""What an exception is to the item that met it."""

from __future__ import annotations

import logging

from amends.engine.processor import WorkItem
from amends.models import WeightsUnusable
from amends.problems import Problem, ProblemError, problem

__all__ = ["problem_of"]

_NO_WEIGHTS = "The model's weights are not installed here, or are not those that were reviewed"
_INSTALL = "Whoever runs the service installs them with: amends models install. Then retry the item."

_log = logging.getLogger("amends.processors.predict")


def problem_of(error: Exception, item: WorkItem) -> Problem:
    """The item's problem; what nobody expected is logged and told without the inside."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, MemoryError):
        return problem("batch_item_processing_failed", error_code="ITEM_OUT_OF_MEMORY")
    if isinstance(error, WeightsUnusable):
        _log.error("weights_unusable", extra={"item": item.key, "detail": str(error)})
        return problem("batch_item_processing_failed", _NO_WEIGHTS, hint=_INSTALL)
    _log.error("item_failed", exc_info=error, extra={"item": item.key})
    return problem("batch_item_processing_failed")
