"""One request for a page: who looks, whether a form is really ours, and what becomes of what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.responses import RedirectResponse, Response

from amends.problems import FieldError, ProblemError, no_permission, not_authenticated, problem, validation_failed
from amends.server.auth import Caller
from amends.server.errors import note_failure, problem_of, problem_response
from amends.server.html import wants_html
from amends.server.services import Services, services
from amends.store import Role
from amends.web.rendering import render

T = TypeVar("T", bound=BaseModel)

SIGN_IN: Final = "/ui/sign-in"
NAV: Final[tuple[tuple[str, str, Role], ...]] = (
    ("/", "Runs", "viewer"),
    ("/ui/datasets", "Datasets", "viewer"),
    ("/ui/orders", "Orders", "viewer"),
    ("/ui/upstreams", "Upstreams", "viewer"),
    ("/ui/limits", "Limits", "viewer"),
    ("/ui/credits", "Credits", "viewer"),
    ("/ui/keys", "Keys", "admin"),
    ("/ui/webhooks", "Webhooks", "admin"),
)
"""The pages that all pages lead to, and the least role that is let in."""

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 100


class SignInNeeded(Exception):
    """Nobody has signed in, or not for long enough."""


class Visit:
    """Who looks at a page, and what it is made with. hub: as the API's routes have it."""

    def __init__(self, request: Request, who: Caller | None) -> None:
        self.request = request
        self.hub = services(request)
        self._who = who

    @property
    def who(self) -> Caller:
        """The visitor; SignInNeeded where that is nobody."""
        if self._who is None:
            raise SignInNeeded
        return self._who

    @property
    def is_signed_in(self) -> bool:
        return self._who is not None

    def page(self, template: str, *, code: int = 200, **values: Any) -> Response:
        """A page, with what all of them show."""
        return render(template, {**_shared(self.request, self.hub, self._who), **values}, code)

    def as_api(self, body: Any = None, *, once: str | None = None, accept: str | None = None) -> Request:
        """The same request as the API's routes would see it: their changes are made by them, and by nobody else.

        body: JSON. once: the Idempotency-Key, so that a form that is sent twice does its work once.
        """
        headers = [(b"content-type", b"application/json")]
        headers += [(b"idempotency-key", once.encode("latin-1", "replace"))] if once else []
        headers += [(b"accept", accept.encode())] if accept else []
        content = b"" if body is None else json.dumps(body).encode()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        return Request({**self.request.scope, "headers": headers, "query_string": b""}, receive)

    async def form(self) -> dict[str, str]:
        """The form's fields, empty ones left out. Raises ProblemError for what is no form."""
        if self.request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise ProblemError(problem("unsupported_media_type", f"A form comes as {_FORM}"))
        try:
            pairs = parse_qsl((await self.request.body()).decode(), max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise ProblemError(problem("malformed_request", "The form cannot be read")) from error
        return dict(pairs)


async def visit(request: Request) -> Visit:
    """Whoever looks, be it nobody. Raises ProblemError for a form that another site sent."""
    if request.method not in _READING and not _is_own_form(request):
        raise ProblemError(no_permission("send", "form"))
    return Visit(request, getattr(request.state, "caller", None))


async def signed_in(request: Request) -> Visit:
    """Whoever has signed in. Raises SignInNeeded."""
    found = await visit(request)
    _ = found.who
    return found


Anybody = Annotated[Visit, Depends(visit)]
Looking = Annotated[Visit, Depends(signed_in)]


def parsed(model: type[T], values: Mapping[str, Any]) -> T:
    """The values as the API's routes take them; ProblemError validation_failed naming each that is wrong."""
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        faults = [FieldError.at(("body", *row["loc"]), row["msg"], row["type"]) for row in error.errors()]
        raise ProblemError(validation_failed(faults)) from error


def see_other(address: str) -> Response:
    """The answer to a form: look there (RFC 9110, section 15.4.4), so that reloading sends nothing again."""
    return RedirectResponse(address, 303)


def own_path(given: str | None) -> str:
    """A path of this server to go on to, ``/`` for whatever leads elsewhere."""
    parts = urlsplit(given or "/")
    is_own = not parts.scheme and not parts.netloc and parts.path.startswith("/") and not parts.path.startswith("//")
    return given or "/" if is_own and "\\" not in (given or "") and (given or "/").isprintable() else "/"


class PageRoute(APIRoute):
    """A route whose failures are pages too, for a browser; programs get the problem."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInNeeded:
                return _to_sign_in(request)
            except Exception as error:
                return _failed(request, error)

        return guarded


def _to_sign_in(request: Request) -> Response:
    if "hx-request" in request.headers:
        seen = urlsplit(request.headers.get("hx-current-url", "/"))
        return Response(status_code=204, headers={"HX-Redirect": _sign_in_for(seen.path)})
    if not wants_html(request.headers.get("accept")):
        return problem_response(not_authenticated(), request.scope, services(request).public_url)
    target = request.url.path if request.method in _READING else "/"
    return see_other(_sign_in_for(f"{target}?{request.url.query}" if request.url.query else target))


def _sign_in_for(target: str) -> str:
    return SIGN_IN if target == "/" else f"{SIGN_IN}?next={quote(target, safe='/')}"


def _failed(request: Request, error: Exception) -> Response:
    what = problem_of(error)
    note_failure(what, error, request.scope, has_started=False)
    hub = services(request)
    answer = problem_response(what, request.scope, hub.public_url)
    if not wants_html(request.headers.get("accept")):
        return answer
    values = {
        **_shared(request, hub, getattr(request.state, "caller", None)),
        "problem": what.replace(request_id=request.state.request_id),
        "back": _came_from(request),
    }
    page = render("problem.html", values, what.status)
    page.headers.update({name: value for name, value in answer.headers.items() if name == "retry-after"})
    return page


def _came_from(request: Request) -> str:
    """The page before this one, where it was one of ours."""
    before = urlsplit(request.headers.get("referer", ""))
    return own_path(before.path) if before.netloc == request.headers.get("host") else "/"


def _shared(request: Request, hub: Services, who: Caller | None) -> dict[str, Any]:
    return {
        "path": request.url.path,
        "nav": [(address, name) for address, name, role in NAV if who is not None and who.has_role(role)],
        "who": who,
        "has_session": who is not None and who.session_id is not None,
        "public_url": hub.public_url,
        "now": hub.now(),
        "unit": hub.settings.credits.unit,
    }


def _is_own_form(request: Request) -> bool:
    """Whether a page of ours sent it. Browsers name the page's origin with every form (Fetch, section 3.2).

    Behind a proxy the scheme may differ; the host is what a foreign page cannot have. The session's cookie is not sent along
    from elsewhere either (SameSite=Strict), so this is the second of two locks.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") == "same-origin"
    own = (request.headers.get("host", ""), urlsplit(services(request).public_url).netloc)
    return origin.partition("://")[2].lower() in [name.lower() for name in own]
