"""``/openapi.json``, and ``/docs``: the same document as a page that is readable without script or network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from amends.server.html import html_page
from amends.server.openapi import openapi
from amends.server.routing import Route

router = APIRouter(include_in_schema=False, route_class=Route)

_METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    return JSONResponse(openapi(request.app))


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    document = openapi(request.app)
    head = f"<p>{escape(document['info'].get('description', ''))}</p>"
    head += '<p><a href="/openapi.json">OpenAPI document</a> · <a href="/errors">Problem types</a></p>'
    return html_page("Reference", head + "".join(_operations(document)))


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    group = None
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if operation := operations.get(method):
                tag = operation.get("tags", ["other"])[0]
                if tag != group:
                    group = tag
                    yield f"<h2>{escape(tag.capitalize())}</h2>"
                yield _operation(path, method, operation)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<p>{escape(operation.get('description', ''))}</p>"]
    if parameters := operation.get("parameters"):
        rows = ((p["name"], p["in"], p.get("description", ""), _short(p.get("schema", {}))) for p in parameters)
        parts.append(_table(("Parameter", "In", "Meaning", "Type"), rows))
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(
            f"<p>Body, <code>{escape(media_type)}</code>:</p>"
            f'<pre tabindex="0">{escape(_long(content.get("schema", {})))}</pre>'
        )
    answers = (
        (status, answer.get("description", ""), _problems(answer)) for status, answer in operation["responses"].items()
    )
    parts.append(_table(("Answer", "Meaning", "Problems"), answers))
    return (
        f'<details><summary><span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
        f"{escape(operation.get('summary', ''))}</summary>{''.join(parts)}</details>"
    )


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{heading}</tr>{lines}</table>"


def _problems(answer: Mapping[str, Any]) -> str:
    return ", ".join(answer.get("content", {}).get("application/problem+json", {}).get("examples", {}))


def _short(schema: Mapping[str, Any]) -> str:
    kinds = [part.get("type", "any") for part in schema.get("anyOf", [schema])]
    return " or ".join(str(kind) for kind in kinds)


def _long(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False)
