"""What the SDK raises; the tree is drawn in ``amends.client._exceptions``."""

from amends.client._exceptions import (
    AmendsError,
    ApiError,
    Attempt,
    AuthError,
    CircuitOpenError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    GoneError,
    NetworkError,
    NotFoundError,
    PaymentRequiredError,
    PollTimeoutError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    ValidationError,
)
from amends.client._failed_uploads import FailedUploadError, FailedUploadException

__all__ = [
    "AmendsError",
    "ApiError",
    "Attempt",
    "AuthError",
    "CircuitOpenError",
    "ConfigurationError",
    "ConflictError",
    "FailedUploadError",
    "FailedUploadException",
    "ForbiddenError",
    "GoneError",
    "NetworkError",
    "NotFoundError",
    "PaymentRequiredError",
    "PollTimeoutError",
    "RateLimitError",
    "RequestTimeoutError",
    "ServerError",
    "ValidationError",
]
