"""A crowd of clients that call on schedule, whatever came of earlier calls, and what came of theirs.

python load.py simulate POLICY SCENARIO SEED [CLIENTS]   on a virtual clock, in this process
python load.py real POLICY SCENARIO SEED URL             over HTTP, against benchmarks/retries/serve.py
"""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.retries.policies import POLICIES, Client, Send
from benchmarks.retries.server import Capacity, Server

TRY_SECONDS = 1.0
"""How long a client waits for one answer."""
PROMPT_SECONDS = 2.0
"""A call counts as answered promptly within this."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """seconds of load, and what the server's level is from when on."""

    seconds: float
    levels: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Setting:
    clients: int
    calls_a_second: float
    capacity: Capacity
    scenarios: dict[str, Scenario]

    def scaled(self, clients: int) -> Setting:
        """The same for another number of clients, with slots and queue in proportion."""
        factor, capacity = clients / self.clients, self.capacity
        slots, queue = round(capacity.slots * factor), round(capacity.queue * factor)
        return replace(self, clients=clients, capacity=replace(capacity, slots=slots, queue=queue))


SIMULATED = Setting(
    clients=200,
    calls_a_second=2.0,
    capacity=Capacity(slots=50, service_seconds=0.1, queue=150, refusal_seconds=0.01),
    scenarios={
        "healthy": Scenario(60, ()),
        "full outage": Scenario(60, ((5, 0),)),
        "brown-out at 50 %": Scenario(60, ((5, 0.5),)),
        "recovery": Scenario(60, ((5, 0), (35, 1))),
    },
)
REAL = Setting(
    clients=50,
    calls_a_second=2.0,
    capacity=Capacity(slots=10, service_seconds=0.08, queue=30, refusal_seconds=0.008),
    scenarios={
        "outage and recovery": Scenario(40, ((5, 0), (25, 1))),
        "brief": Scenario(3, ((0.5, 0), (1, 1))),  # for tests
    },
)


@dataclass(slots=True)
class Call:
    """begun, ended: seconds from the start of the load."""

    begun: float
    ended: float = 0.0
    is_good: bool = False


class Crowd:
    """All clients of one run, their calls, and the requests these became."""

    def __init__(self, setting: Setting, scenario: Scenario, seed: int) -> None:
        self.calls: list[Call] = []
        self.sent_at: list[float] = []
        self._setting = setting
        self._scenario = scenario
        self._random = random.Random(seed)

    def counted(self, send: Send) -> Send:
        async def sent() -> int | None:
            self.sent_at.append(time.monotonic() - self._started)
            return await send()

        return sent

    async def run(self, make: Callable[[], Client], set_level: Callable[[float], Coroutine[Any, Any, None]]) -> None:
        clients = [make() for _ in range(self._setting.clients)]
        self._started = time.monotonic()
        tasks = [asyncio.create_task(self._calls(client)) for client in clients]
        for at, level in self._scenario.levels:
            await self._until(at)
            await set_level(level)
        await asyncio.gather(*tasks)

    async def _calls(self, client: Client) -> None:
        """Call at the client's own pace; a call that takes long delays no other."""
        period = 1 / self._setting.calls_a_second
        at, pending = self._random.random() * period, []
        while at < self._scenario.seconds:
            await self._until(at)
            pending.append(asyncio.create_task(self._one(client)))
            at += period
        await asyncio.gather(*pending)

    async def _one(self, client: Client) -> None:
        call = Call(time.monotonic() - self._started)
        self.calls.append(call)
        call.is_good = await client.call()
        call.ended = time.monotonic() - self._started

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._started + at - time.monotonic()))

    def described(self) -> dict[str, Any]:
        """What came of it, in total and a second."""
        seconds = int(self._scenario.seconds)
        levels = self._scenario.levels
        recovered = next((at for at, level in levels if at and level == 1), None)
        # Budgets are spent by then, and the requests of calls that began earlier are over.
        late = (self._scenario.seconds / 2, recovered or self._scenario.seconds)
        failing = (levels[0][0], late[1]) if levels else (0.0, float(seconds))
        return {
            "calls": len(self.calls),
            "requests": len(self.sent_at),
            "requests_a_call": ratio(len(self.sent_at), len(self.calls)),
            "requests_a_call_while_failing": ratio(within(self.sent_at, *failing), self._begun(*failing)),
            "requests_a_call_once_spent": ratio(within(self.sent_at, *late), self._begun(*late)),
            "answered": ratio(sum(call.is_good for call in self.calls), len(self.calls)),
            "answered_promptly": ratio(sum(is_prompt(call) for call in self.calls), len(self.calls)),
            "seconds_to_95": None if recovered is None else self._seconds_to_95(recovered),
            "requests_each_second": [within(self.sent_at, at, at + 1) for at in range(seconds)],
            "goodput_each_second": [
                within([call.ended for call in self.calls if call.is_good], at, at + 1) for at in range(seconds)
            ],
        }

    def _begun(self, start: float, stop: float) -> int:
        return within([call.begun for call in self.calls], start, stop)

    def _seconds_to_95(self, recovered: float) -> float:
        """From the server's return until, from then on, 95 % of the calls begun in any second are answered promptly."""
        last_bad, tenth = recovered, 0.1
        start = recovered
        while start + 1 <= self._scenario.seconds:
            begun = [call for call in self.calls if start <= call.begun < start + 1]
            if sum(map(is_prompt, begun)) < 0.95 * len(begun):
                last_bad = start + tenth
            start += tenth
        return round(last_bad - recovered, 1)


def is_prompt(call: Call) -> bool:
    return call.is_good and call.ended - call.begun <= PROMPT_SECONDS


def within(times: list[float], start: float, stop: float) -> int:
    return sum(start <= at < stop for at in times)


def ratio(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


class VirtualSelector(selectors.SelectSelector):
    """Waits for nobody: where the loop would wait, its clock moves on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout:
            self.now += timeout
        return found


def run_virtually(main: Coroutine[Any, Any, None]) -> None:
    """Run with a clock that jumps from event to event, for asyncio and for every library that reads ``time.monotonic``."""
    selector = VirtualSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    time.monotonic = lambda: selector.now
    loop.run_until_complete(main)
    loop.close()


def simulate(policy: str, scenario: str, seed: int, setting: Setting = SIMULATED) -> dict[str, Any]:
    """One scenario in this process. The libraries' own draws come from the seed, too."""
    crowd = Crowd(setting, setting.scenarios[scenario], seed)
    random.seed(seed)

    async def main() -> None:
        server = Server(setting.capacity)

        async def send() -> int | None:
            try:
                return await asyncio.wait_for(asyncio.shield(server.submit()), TRY_SECONDS)
            except TimeoutError:
                return None

        async def set_level(level: float) -> None:
            server.level = level

        await crowd.run(lambda: POLICIES[policy](crowd.counted(send)), set_level)

    run_virtually(main())
    return crowd.described()


def against(policy: str, scenario: str, seed: int, url: str, setting: Setting = REAL) -> dict[str, Any]:
    """One scenario over HTTP."""
    import httpx2

    crowd = Crowd(setting, setting.scenarios[scenario], seed)
    random.seed(seed)

    async def main() -> None:
        limits = httpx2.Limits(max_connections=1_000, max_keepalive_connections=1_000)
        async with httpx2.AsyncClient(timeout=TRY_SECONDS, limits=limits, trust_env=False) as http:

            async def send() -> int | None:
                try:
                    return (await http.get(url)).status_code
                except httpx2.HTTPError:
                    return None

            async def set_level(level: float) -> None:
                (await http.put(url, content=str(level), timeout=30)).raise_for_status()

            await crowd.run(lambda: POLICIES[policy](crowd.counted(send)), set_level)

    asyncio.run(main())
    return crowd.described()


if __name__ == "__main__":
    mode, named, scenario_name, seed_text, *rest = sys.argv[1:]
    if mode == "simulate":
        setting = SIMULATED.scaled(int(rest[0])) if rest else SIMULATED
        found = simulate(named, scenario_name, int(seed_text), setting)
    else:
        found = against(named, scenario_name, int(seed_text), rest[0])
    print(json.dumps(found))
