"""bespokelabs-curator, told the limit, with ten retries and its cache off."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.provider.candidates._shared import Task, prompt, run


def measure(task: Task) -> tuple[float, int]:
    os.environ |= {
        "CURATOR_CACHE_DIR": str(task.data / "cache"),
        "CURATOR_DISABLE_CACHE": "true",
        "CURATOR_VIEWER": "false",
        "TELEMETRY_ENABLED": "false",
        "OPENAI_API_KEY": "none",
        "HF_DATASETS_OFFLINE": "1",
    }
    import litellm  # which carries the tokenizer that both would download

    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers")
    from bespokelabs import curator

    class Asker(curator.LLM):  # type: ignore[misc]
        def prompt(self, row: dict[str, Any]) -> str:
            return str(row["prompt"])

        def parse(self, row: dict[str, Any], response: str) -> dict[str, Any]:
            return {"prompt": row["prompt"], "text": json.loads(response)["text"]}

    asker = Asker(
        model_name="m",
        backend="openai",
        backend_params={
            "base_url": task.base_url,
            "max_requests_per_minute": int(task.limit * 60),
            "max_tokens_per_minute": 100_000_000,
            "max_concurrent_requests": task.concurrency,
            "max_retries": 10,
            "require_all_responses": False,
        },
    )
    started = time.perf_counter()
    answers = asker([{"prompt": prompt(number)} for number in range(task.prompts)])
    found = getattr(answers, "dataset", answers)
    return started, sum(1 for row in found if row["text"])


if __name__ == "__main__":
    run(measure)
