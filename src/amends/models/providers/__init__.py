"""OpenAI-compatible providers: their configuration, calls to them, and what their answers and failures mean.

Knows neither HTTP servers nor SQL. Importing it is cheap: what speaks HTTP is loaded when a client is first made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amends._lazy import front_door

from ._describe import describe_model
from ._provider import (
    Endpoint,
    Operation,
    Price,
    Provider,
    endpoint_of,
    find_provider,
    operation_of,
    read_providers,
    upstream_name,
)

if TYPE_CHECKING:
    from ._chat import CHAT, EMBEDDINGS, Answer, Content, Picture, chat_body, embeddings_body, read_chat, read_embedding
    from ._client import CallFailed, ProviderClient, Reply

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "Answer",
    "CallFailed",
    "Content",
    "Endpoint",
    "Operation",
    "Picture",
    "Price",
    "Provider",
    "ProviderClient",
    "Reply",
    "chat_body",
    "describe_model",
    "embeddings_body",
    "endpoint_of",
    "find_provider",
    "operation_of",
    "read_chat",
    "read_embedding",
    "read_providers",
    "upstream_name",
]

_HOME_OF = {
    **dict.fromkeys(
        (
            "CHAT",
            "EMBEDDINGS",
            "Answer",
            "Content",
            "Picture",
            "chat_body",
            "embeddings_body",
            "read_chat",
            "read_embedding",
        ),
        "._chat",
    ),
    **dict.fromkeys(("CallFailed", "ProviderClient", "Reply"), "._client"),
}

__getattr__, __dir__ = front_door(__name__, _HOME_OF, __all__)
