"""The OpenAPI 3.1 document: what FastAPI derives from the routes, and every problem each operation may answer with.

A route names the problems that are its own (``responses=problems("results_gone", …)``); those that follow from what it is (a
body, a path parameter, authentication) are added to all alike. Schema and examples come from the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from amends import __version__
from amends.problems import CATALOGUE, Dialect, problem, render
from amends.server.auth import OPEN
from amends.server.groups import each_route
from amends.server.rates import kind_of

PROBLEM_JSON: Final = "application/problem+json"
_EXAMPLE_URL: Final = "http://127.0.0.1:8080"
_MUTATING: Final = frozenset({"post", "patch", "put", "delete"})
_OPENAI: Final = "/openai/v1"
_API: Final = "/api"
_PROTECTED: Final = ("/v1", _API, _OPENAI)
_UNREPEATED: Final = frozenset({"/api/auth/login", "/api/auth/refresh", "/api/auth/logout"})
"""What takes no Idempotency-Key, see ``amends.server.accounts``."""
_METHODS: Final = _MUTATING | {"get", "head", "options"}

Responses = dict[int | str, dict[str, Any]]


def problems(*slugs: str) -> Responses:
    """``responses`` of a route that may answer with these problems; ValueError for one that no endpoint answers with."""
    answers: Responses = {}
    for slug in slugs:
        row = CATALOGUE[slug]
        if "E" not in row.where:
            raise ValueError(f"{slug} is no answer of an endpoint")
        answer = answers.setdefault(row.status, {"description": row.title, "content": {PROBLEM_JSON: {}}})
        if row.title not in answer["description"]:
            answer["description"] += f" / {row.title}"
        content = answer["content"][PROBLEM_JSON]
        content["schema"] = {"$ref": "#/components/schemas/Problem"}
        content.setdefault("examples", {})[slug] = {"$ref": f"#/components/examples/{slug}"}
    return answers


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without ``$defs``: within an OpenAPI document its references would lead elsewhere."""
    definitions = schema.pop("$defs", {})

    def put_in(value: Any) -> Any:
        if isinstance(value, list):
            return [put_in(each) for each in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            return put_in(definitions[reference.rpartition("/")[2]])
        return {name: put_in(each) for name, each in value.items()}

    inlined: dict[str, Any] = put_in(schema)
    return inlined


def _examples() -> dict[str, Any]:
    return {
        slug: {"summary": row.meaning, "value": problem(slug, **dict(row.example)).to_body(_EXAMPLE_URL)}
        for slug, row in CATALOGUE.items()
        if "E" in row.where
    }


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document, made once an application."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Amends",
            version=__version__,
            openapi_version="3.1.0",
            summary=app.summary,
            description=app.description,
            routes=list(each_route(app.routes)),
            tags=app.openapi_tags,
        )
        _complete(document)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= {"Problem": _PROBLEM, "Remedy": _REMEDY, "FieldError": _FIELD_ERROR, "Envelope": _ENVELOPE,
                "Detail": _DETAIL}  # fmt: skip
    components["examples"] = _examples()
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer ak_live_…`"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in _METHODS:
                _complete_operation(path, method, operation)


def _complete_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation.setdefault("responses", {})
    if "HTTPValidationError" in str(responses.get("422", "")):
        del responses["422"]
    for status, answer in problems(*_usual(path, method, operation)).items():
        _merge(responses, str(status), answer)
    for answer in responses.values():
        answer.setdefault("headers", {})["X-Request-Id"] = {
            "schema": {"type": "string"},
            "description": "Names the request in the log.",
        }
    if path.startswith(_OPENAI):
        responses = operation["responses"] = _in_envelopes(responses)
    elif path.startswith(_API):
        _to_detail(responses)
    if path.startswith(_PROTECTED):
        if path not in OPEN:
            if kind_of(method.upper(), path) is not None:
                for answer in responses.values():
                    answer["headers"] |= _RATE_HEADERS
            operation["security"] = [{"bearer": []}, {"key": []}]
        if method in _MUTATING and path not in _UNREPEATED:
            operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    operation["responses"] = dict(sorted(responses.items()))


def _in_envelopes(responses: Mapping[str, Any]) -> dict[str, Any]:
    """The same answers as the surface of OpenAI's clients gives them, where a request that is not valid is a 400."""
    inside: dict[str, Any] = {}
    for status, answer in responses.items():
        examples = answer.get("content", {}).pop(PROBLEM_JSON, {}).get("examples", {})
        shown = inside.setdefault("400" if status == "422" else status, answer)
        for slug in examples:
            content = shown["content"].setdefault("application/json", {"schema": _ENVELOPE_REF, "examples": {}})
            content["examples"][slug] = {"value": _enveloped(slug)}
    return inside


def _to_detail(responses: Mapping[str, Any]) -> None:
    """Have the problems among the answers said as clients of ``/api`` expect them."""
    for answer in responses.values():
        examples = answer.get("content", {}).pop(PROBLEM_JSON, {}).get("examples", {})
        if examples:
            shown = {slug: {"value": _in_dialect(slug, "detail")} for slug in examples}
            answer["content"]["application/json"] = {"schema": _DETAIL_REF, "examples": shown}


def _in_dialect(slug: str, dialect: Dialect) -> dict[str, Any]:
    return render(problem(slug, **dict(CATALOGUE[slug].example)), dialect, _EXAMPLE_URL)[1]


def _enveloped(slug: str) -> dict[str, Any]:
    what = problem(slug, **dict(CATALOGUE[slug].example))
    return render(what.replace(status=400) if what.status == 422 else what, "envelope", _EXAMPLE_URL)[1]


def _usual(path: str, method: str, operation: Mapping[str, Any]) -> Iterable[str]:
    """Problems that follow from what an operation is."""
    yield from ("malformed_request", "internal_server_error", "service_unavailable")
    if not path.startswith(_PROTECTED):
        return
    yield from ("payload_too_large", "validation_failed")
    if path not in OPEN:
        yield from ("no_authentication", "insufficient_permissions", "rate_limit_exceeded")
    if "{" in path:
        yield "resource_not_found"
    if method in _MUTATING:
        yield from ("conflict", "insufficient_storage", "unsupported_media_type")


def _merge(responses: dict[str, Any], status: str, answer: Mapping[str, Any]) -> None:
    present = responses.setdefault(status, {"description": answer["description"], "content": {}})
    content = present.setdefault("content", {}).setdefault(PROBLEM_JSON, {})
    given = answer["content"][PROBLEM_JSON]
    content["schema"] = given["schema"]
    content["examples"] = given["examples"] | content.get("examples", {})


def _whole(description: str) -> dict[str, Any]:
    return {"schema": {"type": "integer"}, "description": description}


_RATE_HEADERS: Final = {
    "X-RateLimit-Limit": _whole("Requests of this kind that the key may send in a minute."),
    "X-RateLimit-Remaining": _whole("Those of them that would pass now."),
    "X-RateLimit-Reset": _whole("When all of them are there again, in seconds since the epoch."),
    "RateLimit-Policy": {
        "schema": {"type": "string", "examples": ['"writes";q=600;w=60']},
        "description": "The limit as a structured field (draft-ietf-httpapi-ratelimit-headers-11).",
    },
    "RateLimit": {
        "schema": {"type": "string", "examples": ['"writes";r=599;t=1']},
        "description": "What is left of it, and after how many seconds all of it is there again.",
    },
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeating the request under the same key does its work once and gives the same answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
_REMEDY: Final = {
    "type": "object",
    "description": "The whole verdict on a problem.",
    "required": ["action", "retryable", "retry_after", "fault", "safe_new_key", "billed", "hint"],
    "properties": {
        "action": {
            "enum": [
                "fix_input",
                "retry",
                "wait",
                "top_up",
                "reauthenticate",
                "ask_for_access",
                "contact_operator",
                "none",
            ]
        },
        "retryable": {"type": "boolean"},
        "retry_after": {"type": ["number", "null"], "description": "Seconds."},
        "fault": {"enum": ["caller", "service", "upstream"]},
        "safe_new_key": {"type": "boolean"},
        "billed": {"type": "boolean"},
        "hint": {"type": "string"},
    },
}
_FIELD_ERROR: Final = {
    "type": "object",
    "required": ["pointer", "code", "message", "loc", "type"],
    "properties": {
        "pointer": {"type": "string", "description": "RFC 6901, into the body."},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
        "type": {"type": "string"},
        "custom_id": {"type": "string"},
    },
}
_ENVELOPE_REF: Final = {"$ref": "#/components/schemas/Envelope"}
_ENVELOPE: Final = {
    "type": "object",
    "description": "A problem as OpenAI's clients read it; `details` is the rest of it.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code", "details"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
                "details": {"type": "object"},
            },
        }
    },
}
_DETAIL_REF: Final = {"$ref": "#/components/schemas/Detail"}
_DETAIL: Final = {
    "type": "object",
    "description": "A problem as clients of `/api` read it. `detail` is a list where the status is 422, else a sentence.",
    "required": ["detail", "error_code", "remedy", "request_id"],
    "properties": {
        "detail": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "loc", "msg", "input"],
                        "properties": {
                            "type": {"type": "string"},
                            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                            "msg": {"type": "string"},
                            "input": {},
                        },
                    },
                },
            ]
        },
        "error_code": {"type": "string"},
        "field": {"type": "string", "description": "The one field at fault, where there is one."},
        "remedy": {"$ref": "#/components/schemas/Remedy"},
        "request_id": {"type": ["string", "null"]},
    },
    "additionalProperties": True,
}
_PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong, as RFC 9457 has it. Each type explains itself at its own address.",
    "required": ["type", "title", "status", "detail", "instance", "error_code", "code", "request_id", "remedy"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "error_code": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
        "errors_total": {"type": "integer"},
        "remedy": {"$ref": "#/components/schemas/Remedy"},
    },
    "additionalProperties": True,
}
