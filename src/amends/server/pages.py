"""``/errors``: the pages behind the ``type`` of every problem, made from the catalogue."""

from __future__ import annotations

import dataclasses
import json
from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import JSONResponse, Response

from amends.problems import CATALOGUE, ProblemError, Row, not_found, problem
from amends.server.html import html_page, wants_html
from amends.server.openapi import problems
from amends.server.routing import Route
from amends.server.services import Services, hub

router = APIRouter(prefix="/errors", tags=["errors"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]

_PLACES = {"E": "answer of an endpoint", "B": "error of a batch", "L": "error of a result line"}
_VARY = {"Vary": "Accept"}
_BOTH: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}}}
}


@router.get("", summary="Every problem type", response_class=Response, responses=_BOTH)
def list_problem_types(request: Request, hub: Hub) -> Response:
    if not wants_html(request.headers.get("accept")):
        data = [row_body(row, hub.public_url) for row in CATALOGUE.values()]
        return JSONResponse({"object": "list", "data": data, "has_more": False, "next_cursor": None}, headers=_VARY)
    rows = "".join(
        f'<tr><td><a href="/errors/{row.slug}"><code>{row.slug}</code></a></td><td>{row.status}</td>'
        f"<td>{escape(row.meaning)}</td></tr>"
        for row in CATALOGUE.values()
    )
    return html_page("Problem types", f"<table><tr><th>Type</th><th>Status</th><th>Meaning</th></tr>{rows}</table>")


@router.get("/{slug}", summary="What a problem type means and what to do about it", response_class=Response,
            responses=_BOTH | problems("resource_not_found"))  # fmt: skip
def get_problem_type(request: Request, hub: Hub, slug: Annotated[str, Path(max_length=128)]) -> Response:
    row = CATALOGUE.get(slug)
    if row is None:
        raise ProblemError(not_found("problem_type", slug))
    if wants_html(request.headers.get("accept")):
        return html_page(row.title, row_html(row, hub.public_url))
    return JSONResponse(row_body(row, hub.public_url), headers=_VARY)


def row_body(row: Row, public_url: str) -> dict[str, Any]:
    """A row of the catalogue as JSON, with its address and an example of its body."""
    return {
        "object": "problem_type",
        "type": f"{public_url}/errors/{row.slug}",
        **row.to_dict(),
        "example": problem(row.slug, **dict(row.example)).to_body(public_url),
    }


def row_html(row: Row, public_url: str) -> str:
    """A row of the catalogue as the inside of a page."""
    remedies = [("", row.remedy), *row.remedies.items(), *row.stages.items()]
    entries = [
        ("Type", f"<code>{row.slug}</code>, status {row.status}"),
        ("What it means", escape(row.meaning)),
        ("Why it happens", escape(row.cause)),
        ("What to do", "<br>".join(_remedy(code, dataclasses.asdict(remedy)) for code, remedy in remedies)),
        ("Where it is met", ", ".join(_PLACES[place] for place in sorted(row.where))),
        ("Error codes", ", ".join(f"<code>{escape(code)}</code>" for code in row.error_codes)),
        (
            "Exception of the SDK",
            f"<code>{row.exception}</code>" if row.exception else "none: it is the problem of an item",
        ),
        ("How to provoke it", escape(row.provoke)),
        ("In test mode", " or ".join(f"<code>{escape(one)}</code>" for one in row.simulations)),
    ]
    example = json.dumps(row_body(row, public_url)["example"], indent=2, ensure_ascii=False)
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in entries)
    return f'<dl>{listed}</dl><h2>Example</h2><pre tabindex="0">{escape(example)}</pre><p><a href="/errors">All problem types</a></p>'


def _remedy(code: str, remedy: dict[str, Any]) -> str:
    again = "repeating it unchanged may help" if remedy["retryable"] else "repeating it unchanged cannot help"
    fault = {"caller": "yours", "service": "the service's", "upstream": "upstream"}[remedy["fault"]]
    head = f"<code>{escape(code)}</code>: " if code else ""
    return f"{head}{escape(remedy['hint'])} (<code>{remedy['action']}</code>; {again}; the fault is {fault})"
