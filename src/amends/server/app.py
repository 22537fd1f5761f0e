"""The ASGI application: which routes there are, and what every request passes on its way to one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from amends import __version__
from amends.problems import ProblemError, problem
from amends.server.entrance import Entrance
from amends.server.groups import Group, each_route
from amends.server.openapi import openapi
from amends.server.services import Services

GROUPS: Final[Sequence[BaseRoute]] = (
    Group("amends.server.files", "/v1/files"),
    Group("amends.server.uploads", "/v1/uploads"),
    Group("amends.server.batches", "/v1/batch-predictions"),
    Group("amends.server.runs", "/v1/runs"),
    Group("amends.server.datasets", "/v1/datasets", "/v1/datapoints"),
    Group("amends.server.keys", "/v1/api-keys", "/v1/me"),
    Group("amends.server.accounts", "/api/auth"),
    Group("amends.server.users", "/v1/users"),
    Group("amends.server.invitations", "/v1/invitations"),
    Group("amends.server.webhooks", "/v1/webhooks"),
    Group("amends.server.credits", "/v1/credits"),
    Group("amends.server.job_definitions", "/v1/job-definitions"),
    Group("amends.server.orders", "/v1/orders"),
    Group("amends.server.tasks", "/v1/orders", "/v1/task-leases"),
    Group("amends.server.openai.files", "/openai/v1/files"),
    Group("amends.server.openai.batches", "/openai/v1/batches"),
    Group("amends.server.openai.models", "/openai/v1/models"),
    Group("amends.server.openai.synchronous", "/openai/v1/chat", "/openai/v1/embeddings"),
    Group("amends.server.pages", "/errors"),
    Group("amends.server.health", "/health"),
    Group("amends.server.metrics", "/metrics"),
    Group("amends.server.reference", "/docs", "/openapi.json"),
)
_DESCRIPTION: Final = (
    "Bulk AI-data work in which every item ends in a result or in a typed failure that says why, whose fault it is, whether to try "
    "again, and how to put it right. With a key of test mode, `Amends-Simulate: {problem}` makes any operation fail on demand."
)


def create_app(services: Services, *, routes: Sequence[BaseRoute] = GROUPS) -> FastAPI:
    """Put the application together: the entrance, then the routes."""
    app = _routed(routes, [Middleware(Entrance, services=services)])
    app.state.amends = services
    return app


@cache
def describe() -> dict[str, Any]:
    """The OpenAPI document, for whoever has no server at hand."""
    return openapi(_routed(GROUPS, []))


def _routed(routes: Sequence[BaseRoute], middleware: Sequence[Middleware]) -> FastAPI:
    pass_on = _pass_on(routes)
    app = FastAPI(
        title="Amends",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=list(routes),
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
        },  # the entrance's are more, and ask nothing of who has none
        exception_handlers={HTTPException: pass_on, RequestValidationError: pass_on},
        middleware=middleware,
    )
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app


def _pass_on(routes: Sequence[BaseRoute]) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    """The framework's handler for what it would answer itself: left to ErrorHandling, with what only the router knows."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            # The framework names the methods of the first matching route only.
            path = request.url.path
            known = (route for route in each_route(routes, path) if isinstance(route, APIRoute))
            matching = [route.methods or set() for route in known if route.path_regex.match(path)]
            raise ProblemError(problem("method_not_allowed", allow=sorted(set().union(*matching)))) from error
        if isinstance(error, RequestValidationError) and isinstance(error.body, bytes) and error.body:
            # Bytes are what the framework did not take for JSON. That they are no object is not what is wrong with them.
            kind = request.headers.get("content-type") or "of no type"
            what = problem("unsupported_media_type", f"A body is application/json here, and this one is {kind}")
            raise ProblemError(what) from error
        raise error

    return handle
