"""What every candidate is given, and how it says what it did."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """concurrency: calls at a time, where it can be set. limit: the endpoint's calls a second, for those that can be told."""

    base_url: str
    prompts: int
    concurrency: int
    limit: float
    variant: str
    data: Path


def prompt(number: int) -> str:
    return f"Prompt {number}: say in a word what this is about."


def run(measure: Callable[[Task], tuple[float, int]]) -> None:
    """measure: does the task, and returns when it began (``time.perf_counter``) and how many results it has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--prompts", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--variant", default="")
    parser.add_argument("--data", type=Path, required=True)
    started, results = measure(Task(**vars(parser.parse_args())))
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {"seconds": round(seconds, 2), "results": results, "processor_seconds": round(time.process_time(), 2)}
        )
    )
