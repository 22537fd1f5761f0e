"""The ASGI application: which routes there are, and what every request passes on its way to one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from amends import __version__
from amends.problems import ProblemError, problem
from amends.server import (
    accounts,
    batches,
    credits,
    datasets,
    files,
    health,
    invitations,
    job_definitions,
    keys,
    metrics,
    openai,
    orders,
    pages,
    reference,
    runs,
    tasks,
    uploads,
    users,
    webhooks,
)
from amends.server.entrance import Entrance
from amends.server.openapi import openapi
from amends.server.services import Services

ROUTERS: Final[Sequence[APIRouter]] = (
    files.router,
    uploads.router,
    batches.router,
    runs.router,
    datasets.router,
    keys.router,
    accounts.router,
    users.router,
    invitations.router,
    webhooks.router,
    credits.router,
    job_definitions.router,
    orders.router,
    tasks.router,
    *openai.ROUTERS,
    pages.router,
    health.router,
    metrics.router,
    reference.router,
)
_DESCRIPTION: Final = (
    "Bulk AI-data work in which every item ends in a result or in a typed failure that says why, whose fault it is, whether to try "
    "again, and how to put it right. With a key of test mode, `Amends-Simulate: {problem}` makes any operation fail on demand."
)


def create_app(services: Services, *, routers: Iterable[APIRouter] = ROUTERS) -> FastAPI:
    """Put the application together: the entrance, then the routes."""
    app = _routed(list(routers), [Middleware(Entrance, services=services)])
    app.state.amends = services
    return app


def describe() -> dict[str, Any]:
    """The OpenAPI document, for whoever has no server at hand."""
    return openapi(_routed(ROUTERS, []))


def _routed(chosen: Sequence[APIRouter], middleware: Sequence[Middleware]) -> FastAPI:
    # Taken as they are and not included, which would have every request search its route twice.
    routes = [route for router in chosen for route in router.routes]
    pass_on = _pass_on([route for route in routes if isinstance(route, APIRoute)])
    app = FastAPI(
        title="Amends",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=routes,
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


def _pass_on(routes: Sequence[APIRoute]) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    """The framework's handler for what it would answer itself: left to ErrorHandling, with what only the router knows."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            # The framework names the methods of the first matching route only.
            matching = [route.methods or set() for route in routes if route.path_regex.match(request.url.path)]
            raise ProblemError(problem("method_not_allowed", allow=sorted(set().union(*matching)))) from error
        if isinstance(error, RequestValidationError) and isinstance(error.body, bytes) and error.body:
            # Bytes are what the framework did not take for JSON. That they are no object is not what is wrong with them.
            kind = request.headers.get("content-type") or "of no type"
            what = problem("unsupported_media_type", f"A body is application/json here, and this one is {kind}")
            raise ProblemError(what) from error
        raise error

    return handle
