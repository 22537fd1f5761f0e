"""What the items of a run in test mode ask for: a failure, a wait, or both, before any processor sees them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from amends.engine.processor import WorkItem
from amends.ledger import LeasedItem
from amends.problems import BadSimulation, Problem, parse_simulation, problem, take_simulation

_SIGN: Final = b"simulate"
"""An item without it is handed on unread."""


class SimulatedItems:
    """The simulations of one run. params: the run's; a marker in its prompt counts for the items that have none of their own."""

    def __init__(self, params: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        prompt = params.get("prompt")
        self._asked, _, cleaned = take_simulation(None, prompt if isinstance(prompt, str) else None)
        self.params: Mapping[str, Any] = {**params, "prompt": cleaned} if self._asked is not None else params

    def read(self, item: WorkItem) -> tuple[str | None, WorkItem]:
        """What the item asks for, None where nothing, and the item without it."""
        if _SIGN not in item.payload:
            return self._asked, item
        payload = json.loads(item.payload)
        own = payload.get("prompt")
        asked, value, prompt = take_simulation(payload.get("input"), own if isinstance(own, str) else None)
        if asked is None:
            return self._asked, item
        changed = {"input": value, "prompt": prompt}
        whole = {name: changed.get(name, member) for name, member in payload.items()}
        return asked, item._replace(payload=json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode())

    def failure(self, asked: str, item: LeasedItem) -> Problem | None:
        """Wait as is asked for; then the problem to end the item's try with, None to go on with the real work."""
        try:
            simulation = parse_simulation(asked, "L")
        except BadSimulation as error:
            return problem("unprocessable_content", str(error), error_code="SIMULATION_UNREADABLE")
        self._sleep(simulation.delay_seconds)
        occasion = f"{item.seq}:{item.attempts + item.deaths}"
        return simulation.problem() if simulation.happens(occasion) else None
