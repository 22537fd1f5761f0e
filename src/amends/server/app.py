"""The ASGI application: which routes there are, and what every request passes on its way to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request

from amends import __version__
from amends.problems import ProblemError, problem
from amends.server import batches, files, health, keys, metrics, pages, reference, runs
from amends.server.auth import Authentication
from amends.server.errors import ErrorHandling
from amends.server.limits import Limits
from amends.server.openapi import openapi
from amends.server.requests import RequestContext
from amends.server.services import Services

ROUTERS: Final[Sequence[APIRouter]] = (
    files.router,
    batches.router,
    runs.router,
    keys.router,
    pages.router,
    health.router,
    metrics.router,
    reference.router,
)
_DESCRIPTION: Final = (
    "Bulk AI-data work in which every item ends in a result or in a typed failure that says why, whose fault it is, whether to try "
    "again, and how to put it right."
)


def create_app(services: Services, *, routers: Iterable[APIRouter] = ROUTERS) -> FastAPI:
    """Put the application together. A request passes, from outside in: its id, the error handler, authentication, limits, a route."""
    app = FastAPI(
        title="Amends",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        exception_handlers={HTTPException: _pass_on, RequestValidationError: _pass_on},
        middleware=[
            Middleware(RequestContext, metrics=services.metrics),
            Middleware(ErrorHandling, public_url=services.public_url),
            Middleware(Authentication, services=services),
            Middleware(Limits, limits=services.settings.limits),
        ],
    )
    for router in routers:
        app.include_router(router)
    app.state.amends = services
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app


async def _pass_on(request: Request, error: Exception) -> Any:
    """What the framework would answer itself is left to ErrorHandling, with what only the router knows: the methods allowed."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        raise ProblemError(problem("method_not_allowed", allow=_allowed(request))) from error
    raise error


def _allowed(request: Request) -> list[str]:
    """Every method of the path; the framework names those of the first route only."""
    found: set[str] = set()
    for route in _routes(request.app.routes):
        if route.path_regex.match(request.url.path):
            found |= route.methods
    return sorted(found)


def _routes(routes: Iterable[Any]) -> Iterable[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from _routes(getattr(route, "routes", ()))


def _operation_id(route: APIRoute) -> str:
    return route.name
