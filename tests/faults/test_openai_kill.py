"""A server killed while it reads a batch's input, works on it and writes its files: every line is answered once, and the files stay."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import openai
import pytest

from tests.killing import free_port
from tests.openai_client import ENDED, chat_line
from tests.servers import server_process

LINES = 12_000
KILLS = 6


@pytest.mark.timeout(300)
def test_a_batch_outlives_its_servers(tmp_path: Path) -> None:
    draw, port, key, batch_id = random.Random(7), free_port(), "", ""
    interrupted: list[str] = []
    for _ in range(KILLS):
        with server_process(tmp_path / "data", port=port) as server:
            key = key or server.key
            client = openai.OpenAI(base_url=f"{server.base_url}/openai/v1", api_key=key, max_retries=0)
            if not batch_id:
                data = "\n".join(chat_line(f"r{n}", f"text {n}") for n in range(LINES)).encode()
                file = client.files.create(file=("input.jsonl", data), purpose="batch")
                made = client.batches.create(
                    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
                )
                batch_id = made.id
            time.sleep(draw.uniform(0.0, 0.7))
            interrupted.append(client.batches.retrieve(batch_id).status)
            server.kill()
    assert sum(status not in ENDED for status in interrupted) >= 2, interrupted

    with server_process(tmp_path / "data", port=port) as server:
        client = openai.OpenAI(base_url=f"{server.base_url}/openai/v1", api_key=key, max_retries=0)
        batch = client.batches.retrieve(batch_id)
        until = time.monotonic() + 200
        while batch.status not in ENDED:
            assert time.monotonic() < until, batch
            time.sleep(0.1)
            batch = client.batches.retrieve(batch_id)
        assert (batch.status, batch.error_file_id) == ("completed", None)
        assert batch.output_file_id is not None
        content = client.files.content(batch.output_file_id).content
        answers = [json.loads(line) for line in content.splitlines()]
        assert [answer["custom_id"] for answer in answers] == [f"r{n}" for n in range(LINES)]
        said = [answer["response"]["body"]["choices"][0]["message"]["content"] for answer in answers]
        assert said == [f"text {n}" for n in range(LINES)]
        assert [file.purpose for file in client.files.list()] == ["batch_output", "batch"]
        server.kill()
    with server_process(tmp_path / "data", port=port) as server:
        client = openai.OpenAI(base_url=f"{server.base_url}/openai/v1", api_key=key, max_retries=0)
        assert client.files.content(batch.output_file_id).content == content
        assert client.batches.retrieve(batch_id) == batch
