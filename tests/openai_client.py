"""What the tests of ``/openai/v1`` share: OpenAI's own client, with nothing changed but its base URL and key."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import openai
from openai.types import Batch

from tests.servers import RunningServer

CHAT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


def client_of(server: RunningServer, key: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.base_url}/openai/v1", api_key=key or server.key, max_retries=0)


def chat_line(custom_id: str, text: str = "hi", *, url: str = CHAT, model: str = "local/echo", **body: Any) -> str:
    """A line of an input file."""
    whole = {"model": model, "messages": [{"role": "user", "content": text}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": whole})


def submit(client: openai.OpenAI, lines: Iterable[str] | bytes, *, endpoint: str = CHAT, **options: Any) -> Batch:
    data = lines if isinstance(lines, bytes) else "\n".join(lines).encode()
    file = client.files.create(file=("input.jsonl", data), purpose="batch")
    made: Batch = client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,  # type: ignore[arg-type]
        completion_window="24h",
        **options,
    )
    return made


def ended(client: openai.OpenAI, batch: Batch, seconds: float = 120) -> Batch:
    until = time.monotonic() + seconds
    while batch.status not in ENDED:
        assert time.monotonic() < until, batch
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    text = client.files.content(file_id).text
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def faults_of(batch: Batch) -> list[tuple[str | None, int | None, str | None]]:
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert all(fault.message for fault in batch.errors.data)
    return [(fault.code, fault.line, fault.param) for fault in batch.errors.data]


def named(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    return [line["custom_id"] for line in lines]
