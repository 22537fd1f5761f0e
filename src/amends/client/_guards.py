"""What keeps a client, with all of its calls and copies, from multiplying load in an outage."""

from __future__ import annotations

from amends.resilience import Breaker, RetryBudget


class Guards:
    """A retry budget, and a breaker for each route group. A client has one base URL, so each is of one host.

    budget: None for none. breaker: the settings of all of them; None for the usual ones, which then hold back only bulk
    work, and make it pause where a single call would fail.
    """

    def __init__(self, budget: RetryBudget | None, breaker: Breaker | None) -> None:
        self.budget = budget
        self.guards_single_calls = breaker is not None
        self._template = Breaker() if breaker is None else breaker
        self._breakers: dict[str, Breaker] = {}

    def breaker_for(self, group: str) -> Breaker:
        """Return the breaker of a route group."""
        found = self._breakers.get(group)
        # Two threads may both make one; setdefault gives both the same.
        return found if found is not None else self._breakers.setdefault(group, self._template.another())


def route_group(path: str) -> str:
    """Return the part of a path that names a collection, ``/v1/files``: what fails together."""
    return "/".join(path.split("/", 3)[:3])
