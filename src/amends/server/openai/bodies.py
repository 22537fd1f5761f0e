"""Request bodies of this surface. What is wrong with one is answered 400, naming the parameter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from amends.server.wire import MetadataKey, MetadataValue

LEAST_SECONDS = 3_600
MOST_SECONDS = 2_592_000

Seconds = Annotated[int, Field(ge=LEAST_SECONDS, le=MOST_SECONDS, description="From the file's creation on.")]
Endpoint = Literal["/v1/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/completions"]


class ExpiresAfter(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    anchor: Literal["created_at"]
    seconds: Seconds


class CreateBatch(BaseModel):
    """``metadata.validation: "per_item"`` lets the good lines of a bad input file run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input_file_id: Annotated[str, Field(min_length=1, max_length=128)]
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] | None = None
    output_expires_after: ExpiresAfter | None = None
