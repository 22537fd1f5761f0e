"""Amends: ``amends serve`` with two workers, one batch through the SDK. Variant ``told``: its configuration has the limit."""

from __future__ import annotations

import time

from amends import Client
from benchmarks._serving import serving
from benchmarks.provider.candidates._shared import Task, prompt, run

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def measure(task: Task) -> tuple[float, int]:
    task.data.mkdir(exist_ok=True)
    limit = f"requests_per_minute = {task.limit * 60}\n" if task.variant == "told" else ""
    config = f'[providers.bench]\nbase_url = "{task.base_url}"\nconcurrency = {task.concurrency}\n{limit}'
    (task.data / "amends.toml").write_text(config)
    with (
        serving(task.data, {"AMENDS_ENGINE_WORKERS": "2"}) as server,
        Client(api_key=server.key, base_url=server.url, timeout=600) as client,
    ):
        started = time.perf_counter()
        items = ({"custom_id": f"c{number}", "input": prompt(number)} for number in range(task.prompts))
        batch = client.batch_predictions.create(items=items, model="bench/m", output_schema=SCHEMA)
        client.batch_predictions.wait(batch.id, timeout=900)
        return started, sum(line["status"] == "succeeded" for line in client.batch_predictions.results(batch.id))


if __name__ == "__main__":
    run(measure)
