"""Reaching somebody's URL without being led where its author must not reach.

A host is resolved once, every address it has is looked at, and the connection goes to one of those that were looked at,
for each redirect anew. What comes is streamed into blobs within bounds of time and size. Whatever goes wrong is raised as
the problem ``asset_upload_failed`` with its stage.
"""

from ._addresses import Allowed, BadAllowance, refusal_of
from ._fetcher import Fetched, Fetcher, LookAt
from ._reaching import FetchLimits
from ._sender import Sender, Sent
from ._targets import MAX_URL_CHARS, BadUrl, Target, read_url

__all__ = [
    "MAX_URL_CHARS",
    "Allowed",
    "BadAllowance",
    "BadUrl",
    "FetchLimits",
    "Fetched",
    "Fetcher",
    "LookAt",
    "Sender",
    "Sent",
    "Target",
    "read_url",
    "refusal_of",
]
