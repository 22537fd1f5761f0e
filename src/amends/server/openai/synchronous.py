"""``/openai/v1/chat/completions`` and ``/openai/v1/embeddings``: answered while the caller waits.

Embedded models run in a child of their own (``amends.engine.answering``), never in the server's process. Nothing is tried again here:
the client's retries are the only ones. A caller who goes, or whose time is over (``Amends-Timeout``), takes the work along.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from amends.engine.answering import Busy
from amends.models._asked import read_chat, read_embeddings, refused
from amends.models._said import completion_events
from amends.models.providers import Provider, find_provider
from amends.problems import CATALOGUE, FieldError, Problem, ProblemError, problem, validation_failed
from amends.server.auth import Caller
from amends.server.idempotency import body_digest, idempotent
from amends.server.openai.charging import Payment, paid
from amends.server.openai.endpoints import CHAT, EMBEDDINGS, KIND, unfit
from amends.server.openai.relaying import relayed, while_wanted
from amends.server.openapi import Responses, problems
from amends.server.parameters import resolved_model
from amends.server.routing import Route
from amends.server.services import Services, hub, who

router = APIRouter(prefix="/openai/v1", tags=["openai"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]

_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_BUSY_SECONDS: Final = 2.0
_DIMENSIONS: Final = 384

_encode = msgspec.json.Encoder().encode


def _body(required: list[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": required, "properties": {"model": {"type": "string"}, **properties}}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": schema}}}}


_CHAT_BODY: Final = _body(["model", "messages"], {"messages": {"type": "array", "items": {"type": "object"}}})
_EMBEDDINGS_BODY: Final = _body(["model", "input"], {"input": {"type": ["string", "array"]}})
_CHAT_ANSWER: Final[Responses] = {
    200: {
        "description": "The completion; with `stream` its events, what it says in one piece.",
        "content": {_JSON: {"schema": {"type": "object"}}, _EVENTS: {"schema": {"type": "string"}}},
    }
}
_ANSWER: Final[Responses] = {200: {"content": {_JSON: {"schema": {"type": "object"}}}}}


@router.post("/chat/completions", summary="Answer a conversation", response_class=Response, openapi_extra=_CHAT_BODY,
             responses=_CHAT_ANSWER | problems("credit_exceeded", "payload_too_large"))  # fmt: skip
async def create_chat_completion(request: Request, hub: Hub, who: Who) -> Response:
    """``local/smollm2`` converses; ``local/extract`` and ``local/classify`` answer in the form of a ``json_schema``."""
    body = await _read(request, hub, who, CHAT)
    is_streamed, counts = bool(body.get("stream")), body.get("stream_options")
    if _provider_of(hub, body) is None:
        read_chat(body)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        plain = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        async with paid(hub, who, body["model"], CHAT) as payment:
            completion = await _answered(request, payment, CHAT, plain)
            media_type, content = _JSON, _encode(completion)
            if is_streamed:
                wants_usage = isinstance(counts, dict) and counts.get("include_usage") is True
                events = completion_events(completion, include_usage=wants_usage)
                media_type, content = _EVENTS, "".join(events).encode()
            await payment.store(guard, content, media_type)
    return Response(content, headers={"content-type": media_type})


@router.post("/embeddings", summary="Embed texts", response_class=Response, openapi_extra=_EMBEDDINGS_BODY,
             responses=_ANSWER | problems("credit_exceeded"))  # fmt: skip
async def create_embeddings(request: Request, hub: Hub, who: Who) -> Response:
    """``local/minilm`` embeds up to 2,048 texts at once, the first 256 tokens of each."""
    body = await _read(request, hub, who, EMBEDDINGS)
    if _provider_of(hub, body) is None:
        read_embeddings(body, dimensions=_DIMENSIONS)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        async with paid(hub, who, body["model"], EMBEDDINGS) as payment:
            content = _encode(await _answered(request, payment, EMBEDDINGS, body))
            await payment.store(guard, content, _JSON)
    return Response(content, media_type=_JSON)


async def _read(request: Request, hub: Services, who: Caller, endpoint: str) -> dict[str, Any]:
    """The body, whose model can answer at the endpoint."""
    who.authorize("create", "completion")
    try:
        body = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(problem("malformed_request", f"The body is not JSON: {error}")) from error
    if not isinstance(body, dict):
        raise refused((), "The body must be an object", "invalid_type")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise refused(("model",), "Missing required parameter: 'model'", "missing_required_parameter")
    if (what := unfit(model, endpoint, hub.settings)) is not None:
        raise refused(("model",), what.message, what.code)
    return body


def _provider_of(hub: Services, body: Mapping[str, Any]) -> tuple[Provider, str] | None:
    return find_provider(resolved_model(body["model"], hub.settings), hub.settings.server.providers)


async def _answered(request: Request, payment: Payment, endpoint: str, body: Mapping[str, Any]) -> Any:
    hub, who = payment.hub, payment.who
    if (provider := _provider_of(hub, body)) is not None:
        seconds = _seconds(request, provider[0].timeout_seconds)
        answer = await relayed(request, *provider, endpoint, body, seconds=seconds)
        payment.settle(answer.get("usage"), provider[0].price)
        return answer
    params = {"model": resolved_model(body["model"], hub.settings), "endpoint": endpoint}
    seconds = _seconds(request, hub.settings.engine.item_timeout_seconds)
    try:
        asked = hub.answering.ask(KIND, params, _encode({"input": body}), seconds=seconds, mode=who.mode)
    except Busy as error:
        detail = "Too many requests wait for an embedded model"
        raise ProblemError(problem("service_unavailable", detail, retry_after=_BUSY_SECONDS)) from error
    waiting = asyncio.wrap_future(asked.answer)
    try:
        line = await while_wanted(request, waiting)
    finally:
        asked.drop()
    if line["status"] != "succeeded":
        what = Problem.from_body(line["error"], int(line["error"]["status"]))
        raise ProblemError(_refusal(what, seconds).replace(instance=None, request_id=None))
    return line["output"]["body"]


def _seconds(request: Request, most: float) -> float:
    """How long the caller waits: ``Amends-Timeout``, what is left of its own deadline."""
    given = request.headers.get("amends-timeout")
    if given is None:
        return most
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise ProblemError(problem("malformed_request", "Amends-Timeout must be a number of seconds above 0."))
    return min(seconds, most)


def _refusal(what: Problem, seconds: float) -> Problem:
    """An item's problem as the answer of an endpoint."""
    if "E" in CATALOGUE[what.slug].where:
        return what
    if what.error_code == "ITEM_TIMED_OUT":
        detail = f"There was no answer within {seconds:g} seconds"
        return problem("service_unavailable", detail, retry_after=_BUSY_SECONDS)
    if what.slug == "prediction_failed":
        fault = FieldError.at(("body", "response_format"), what.detail, "prediction_failed")
        return validation_failed([fault])
    if what.error_code == "BATCH_ITEM_PROCESSING_FAILED":
        return problem("service_unavailable", what.detail, retry_after=_BUSY_SECONDS, hint=what.remedy.hint)
    return problem("internal_server_error")
