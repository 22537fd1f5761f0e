"""litellm's router with ten retries, told the limit as its ``rpm``, behind the same semaphore."""

from __future__ import annotations

import asyncio
import json
import time

import litellm

from benchmarks.provider.candidates._shared import Task, prompt, run


async def ask(router: litellm.Router, at_once: asyncio.Semaphore, number: int) -> bool:
    async with at_once:
        try:
            answer = await router.acompletion(model="m", messages=[{"role": "user", "content": prompt(number)}])
        except Exception:
            return False
        return "text" in json.loads(answer.choices[0].message.content or "{}")


async def ask_all(task: Task) -> int:
    deployment = {
        "model_name": "m",
        "litellm_params": {
            "model": "openai/m",
            "api_base": task.base_url,
            "api_key": "none",
            "rpm": int(task.limit * 60),
            "max_retries": 0,
        },
    }
    router = litellm.Router([deployment], num_retries=10, disable_cooldowns=True)
    at_once = asyncio.Semaphore(task.concurrency)
    return sum(await asyncio.gather(*(ask(router, at_once, number) for number in range(task.prompts))))


def measure(task: Task) -> tuple[float, int]:
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    started = time.perf_counter()
    return started, asyncio.run(ask_all(task))


if __name__ == "__main__":
    run(measure)
