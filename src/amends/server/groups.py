"""Groups of routes, each made when the first request comes that one of them may answer.

To make the routes, with the models of all that they take and give, is much of what a start takes, and a process that runs one batch
is asked for three of thirty groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib import import_module

from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


class Group(BaseRoute):
    """The routes of a module's ``router``. paths: what their paths begin with, each whole or before a slash."""

    def __init__(self, module: str, *paths: str) -> None:
        self.module = module
        self._beginnings = tuple(f"{path}/" for path in paths)

    @cached_property
    def routes(self) -> Sequence[BaseRoute]:
        routes: Sequence[BaseRoute] = import_module(self.module).router.routes
        return routes

    def may_answer(self, path: str) -> bool:
        """Whether a route of the group can be meant. Quick, and makes none."""
        return f"{path}/".startswith(self._beginnings)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found: tuple[Match, Scope] = (Match.NONE, {})
        for route in self.routes if scope["type"] == "http" and self.may_answer(scope["path"]) else ():
            match, child = route.matches(scope)
            if match == Match.FULL:
                return match, child
            if match == Match.PARTIAL and found[0] == Match.NONE:
                found = (match, child)
        return found

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the request answered by the route that ``matches`` found, which is in the scope."""
        await scope["route"].handle(scope, receive, send)


def each_route(routes: Iterable[BaseRoute], path: str | None = None) -> Iterator[BaseRoute]:
    """The routes themselves, those of groups in their place. path: only those of groups that may answer there."""
    for route in routes:
        if not isinstance(route, Group):
            yield route
        elif path is None or route.may_answer(path):
            yield from route.routes
