"""The ground floor: the catalogue of everything that can go wrong, and problems as values. Imports nothing of amends.

raise ProblemError(not_found("collection", collection_id))
raise ProblemError(problem("unprocessable_content", "The image ends too soon", error_code="IMAGE_CORRUPTED"))
"""

from ._catalogue import CATALOGUE
from ._dialects import DIALECTS, Dialect, render
from ._parse import parse
from ._row import Row, Where
from ._sentences import (
    MAX_ERRORS,
    asset_failed,
    credit_exceeded,
    duplicate,
    duplicate_custom_id,
    empty_items,
    file_not_found,
    idempotency_conflict,
    idempotency_in_progress,
    invalid_credentials,
    invalid_state,
    no_permission,
    not_authenticated,
    not_found,
    problem,
    rate_limited,
    results_gone,
    spoken,
    token_expired,
    too_many_batches,
    validation_failed,
)
from ._simulation import DROP, BadSimulation, Simulation, parse_simulation, take_simulation
from ._value import (
    STANDARD_MEMBERS,
    Action,
    Fault,
    FieldError,
    Problem,
    ProblemError,
    Remedy,
    pointer_to,
)
from ._verdicts import exit_code, headers, x_should_retry

__all__ = [
    "CATALOGUE",
    "DIALECTS",
    "DROP",
    "MAX_ERRORS",
    "STANDARD_MEMBERS",
    "Action",
    "BadSimulation",
    "Dialect",
    "Fault",
    "FieldError",
    "Problem",
    "ProblemError",
    "Remedy",
    "Row",
    "Simulation",
    "Where",
    "asset_failed",
    "credit_exceeded",
    "duplicate",
    "duplicate_custom_id",
    "empty_items",
    "exit_code",
    "file_not_found",
    "headers",
    "idempotency_conflict",
    "idempotency_in_progress",
    "invalid_credentials",
    "invalid_state",
    "no_permission",
    "not_authenticated",
    "not_found",
    "parse",
    "parse_simulation",
    "pointer_to",
    "problem",
    "rate_limited",
    "render",
    "results_gone",
    "spoken",
    "take_simulation",
    "token_expired",
    "too_many_batches",
    "validation_failed",
    "x_should_retry",
]
