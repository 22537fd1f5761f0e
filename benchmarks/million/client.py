"""The client of the measurement, a process of its own so that its memory is its own: the SDK, items in, result lines out.

Items come from a seeded generator, and so do the custom_ids that the results are checked against: nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from random import Random
from typing import Any

from amends import Client

TEXT_BYTES = 140


def items(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Items of about 200 bytes with random custom_ids, the same again for the same seed."""
    draw = Random(seed)
    for _ in range(count):
        yield {"custom_id": draw.randbytes(12).hex(), "input": {"text": draw.randbytes(TEXT_BYTES // 2).hex()}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    phases = {}
    with Client(base_url=options.url, api_key=os.environ["BENCH_KEY"]) as client:
        started = time.perf_counter()
        batch = client.batch_predictions.create(items(options.items, options.seed), model="local/echo")
        phases["create"] = time.perf_counter() - started
        batch = client.batch_predictions.wait(batch.id)
        phases["last outcome"] = time.perf_counter() - started - phases["create"]
        read = 0
        expected = items(options.items, options.seed)
        for line, item in zip(client.batch_predictions.results(batch.id), expected, strict=True):
            assert line["custom_id"] == item["custom_id"], f"line {read} is another item's"
            assert line["output"] == item["input"], f"line {read} holds another item's output"
            read += 1
        phases["last result read"] = time.perf_counter() - started - sum(phases.values())
    print(json.dumps({"read": read, "phases": {name: round(seconds, 2) for name, seconds in phases.items()}}))


if __name__ == "__main__":
    main()
