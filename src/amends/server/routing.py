"""The class of our routes: how a request that has found its route comes to the handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, get_type_hints

from fastapi import Request
from fastapi.datastructures import DefaultPlaceholder
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from amends.problems import ProblemError
from amends.server.errors import refusal
from amends.server.queries import known_parameters, refuse_unknown_parameters
from amends.server.services import caller, hub, services, who

Handle = Callable[[Request], Coroutine[Any, Any, Response]]

_STRICT: Final = ("/v1/", "/openai/v1/")
_COLLABORATORS: Final[Mapping[Callable[..., Any], Callable[[Request], Any]]] = {hub: services, who: caller}


class Route(APIRoute):
    """A route that refuses query parameters it does not know, and calls a plain handler straight.

    Plain is a handler that takes nothing but ids from the path, the request and the collaborators that every handler has, which
    is most of what is asked in passing. What the framework does to find that out anew for each request costs more than all that
    a request passes before.
    """

    _straight: Handle | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "generate_unique_id_function": _operation_id})
        if self._straight is not None:
            self.app = _application(self._straight)

    def get_route_handler(self) -> Handle:
        plain = _Plain.of(self)
        handle = super().get_route_handler() if plain is None else plain.handle
        is_strict = (self.path + "/").startswith(_STRICT)
        known = known_parameters(self.dependant)

        async def answer(request: Request) -> Response:
            try:
                if is_strict:
                    refuse_unknown_parameters(request, known)
                return await handle(request)
            except ProblemError as error:
                # Here and not at the entrance, which is as many exceptions further out as there are layers between.
                return refusal(error, request.scope, services(request).public_url)

        self._straight = None if plain is None else answer
        return answer


def _application(answer: Handle) -> ASGIApp:
    """A plain handler needs none of what the framework sets up for dependencies that end with the answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await answer(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


class _Plain:
    """A handler that takes nothing but ids, the request and collaborators."""

    def __init__(self, route: APIRoute) -> None:
        dependant = route.dependant
        assert dependant.call is not None
        self._call = dependant.call
        self._waits = inspect.iscoroutinefunction(dependant.call)
        self._request_name = dependant.request_param_name
        self._collaborators = [(one.name or "", _COLLABORATORS[one.call]) for one in dependant.dependencies if one.call]
        self._ids = [(field.name, field.alias, field) for field in dependant.path_params]
        self._answers = route.response_field

    @classmethod
    def of(cls, route: APIRoute) -> _Plain | None:
        """The route's handler if it is plain; None where the framework has more to do for it."""
        wanted = route.dependant
        more = [
            wanted.query_params, wanted.header_params, wanted.cookie_params, wanted.body_params,
            wanted.http_connection_param_name, wanted.response_param_name, wanted.background_tasks_param_name,
            wanted.security_scopes_param_name, route.status_code,
            inspect.isgeneratorfunction(wanted.call) or inspect.isasyncgenfunction(wanted.call),
            any(one.call not in _COLLABORATORS for one in wanted.dependencies),
            not (_answers_itself(wanted.call) or isinstance(route.response_class, DefaultPlaceholder)),
        ]  # fmt: skip
        return None if any(more) else cls(route)

    async def handle(self, request: Request) -> Response:
        values = self._values(request)
        if self._waits:
            answer = await self._call(**values)
        else:
            answer = await run_in_threadpool(self._call, **values)
        return answer if isinstance(answer, Response) else self._response(answer)

    def _values(self, request: Request) -> dict[str, Any]:
        """What the handler is called with; RequestValidationError for an id that cannot be one."""
        values: dict[str, Any] = {name: find(request) for name, find in self._collaborators}
        faults: list[Any] = []
        given = request.scope["path_params"]
        for name, alias, field in self._ids:
            values[name], wrong = field.validate(given[alias], values, loc=("path", alias))
            faults += wrong
        if faults:
            raise RequestValidationError(faults)
        if self._request_name is not None:
            values[self._request_name] = request
        return values

    def _response(self, answer: Any) -> Response:
        assert self._answers is not None
        value, faults = self._answers.validate(answer, {}, loc=("response",))
        if faults:
            raise ResponseValidationError(faults, body=answer)
        return Response(self._answers.serialize_json(value), media_type="application/json")


def _answers_itself(call: Callable[..., Any] | None) -> bool:
    answer = get_type_hints(call).get("return") if call is not None else None
    return isinstance(answer, type) and issubclass(answer, Response)


def _operation_id(route: APIRoute) -> str:
    group = str(route.tags[0]).replace(" ", "_") if route.tags else "other"
    return f"{group}.{route.name}"
