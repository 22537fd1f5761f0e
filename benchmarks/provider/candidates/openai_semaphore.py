"""asyncio and the ``openai`` client behind a semaphore, its own retries raised to ten in its favour."""

from __future__ import annotations

import asyncio
import json
import time

import openai

from benchmarks.provider.candidates._shared import Task, prompt, run


async def ask(client: openai.AsyncOpenAI, at_once: asyncio.Semaphore, number: int) -> bool:
    async with at_once:
        try:
            answer = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": prompt(number)}]
            )
        except openai.OpenAIError:
            return False
        return "text" in json.loads(answer.choices[0].message.content or "{}")


async def ask_all(task: Task) -> int:
    at_once = asyncio.Semaphore(task.concurrency)
    async with openai.AsyncOpenAI(base_url=task.base_url, api_key="none", max_retries=10) as client:
        return sum(await asyncio.gather(*(ask(client, at_once, number) for number in range(task.prompts))))


def measure(task: Task) -> tuple[float, int]:
    started = time.perf_counter()
    return started, asyncio.run(ask_all(task))


if __name__ == "__main__":
    run(measure)
