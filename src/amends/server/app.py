"""The ASGI application: which routes there are, and what every request passes on its way to one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from amends import __version__
from amends.problems import ProblemError, problem
from amends.server import batches, credits, files, health, keys, metrics, openai, pages, reference, runs, uploads
from amends.server.auth import Authentication
from amends.server.errors import ErrorHandling
from amends.server.limits import Limits
from amends.server.openapi import openapi
from amends.server.queries import refuse_unknown_parameters
from amends.server.requests import RequestContext
from amends.server.services import Services
from amends.server.simulation import Simulating
from amends.server.throttle import Throttle
from amends.server.tracing import Tracing
from amends.server.tus import TusProtocol

ROUTERS: Final[Sequence[APIRouter]] = (
    files.router,
    uploads.router,
    batches.router,
    runs.router,
    keys.router,
    credits.router,
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
    """Put the application together. A request passes, from outside in: its id, the error handler, authentication, its rate,
    simulation, its size, a route."""
    tracing = [] if services.traces is None else [Middleware(Tracing, traces=services.traces)]
    app = _routed(
        list(routers),
        [
            Middleware(RequestContext, metrics=services.metrics),
            Middleware(TusProtocol),
            *tracing,
            Middleware(ErrorHandling, public_url=services.public_url),
            Middleware(Authentication, services=services),
            Middleware(Throttle, limits=services.settings.limits),
            Middleware(Simulating),
            Middleware(Limits, limits=services.settings.limits),
        ],
    )
    app.state.amends = services
    return app


def describe() -> dict[str, Any]:
    """The OpenAPI document, for whoever has no server at hand."""
    return openapi(_routed(ROUTERS, []))


def _routed(chosen: Sequence[APIRouter], middleware: Sequence[Middleware]) -> FastAPI:
    pass_on = _pass_on([route for router in chosen for route in router.routes if isinstance(route, APIRoute)])
    app = FastAPI(
        title="Amends",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        exception_handlers={HTTPException: pass_on, RequestValidationError: pass_on},
        middleware=middleware,
    )
    for router in chosen:
        strict = [Depends(refuse_unknown_parameters)] if router.prefix.startswith(("/v1", "/openai/v1")) else []
        app.include_router(router, dependencies=strict)
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


def _operation_id(route: APIRoute) -> str:
    group = str(route.tags[0]).replace(" ", "_") if route.tags else "other"
    return f"{group}.{route.name}"
