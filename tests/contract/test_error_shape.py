"""Every problem that an endpoint may answer with leaves the server in the shape of the contract, in every dialect."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Depends

from amends.problems import CATALOGUE, DIALECTS, Problem, ProblemError, parse, problem
from amends.server.app import create_app, describe
from tests.problem_shape import assert_problem
from tests.servers import RunningServer

ENDPOINT_ROWS = [slug for slug, row in CATALOGUE.items() if "E" in row.where]

raising = APIRouter()


def example(slug: str) -> Problem:
    return problem(slug, **dict(CATALOGUE[slug].example))


def refuse(slug: str) -> None:
    raise ProblemError(example(slug))


@raising.get("/raised/in-the-route/{slug}")
async def in_the_route(slug: str) -> None:
    refuse(slug)


@raising.get("/raised/in-a-thread/{slug}")
def in_a_thread(slug: str) -> None:
    refuse(slug)


@raising.get("/raised/in-a-dependency/{slug}", dependencies=[Depends(refuse)])
async def in_a_dependency(slug: str) -> None:
    raise AssertionError("never reached")


@raising.get("/raised/beneath-another/{slug}")
async def beneath_another(slug: str) -> None:
    try:
        refuse(slug)
    except ProblemError as error:
        raise RuntimeError("what wraps it") from error


PLACES = ["in-the-route", "in-a-thread", "in-a-dependency", "beneath-another"]


def ask(shell: RunningServer, path: str, **headers: str) -> httpx2.Response:
    async def send() -> httpx2.Response:
        app = create_app(shell.owner.services, routes=raising.routes)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("slug", ENDPOINT_ROWS)
def test_every_row_is_answered_in_the_shape_of_the_contract_wherever_it_is_raised(
    shell: RunningServer, slug: str
) -> None:
    for place in PLACES:
        assert_problem(ask(shell, f"/raised/{place}/{slug}"), slug, error_code=example(slug).error_code)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_row_is_understood_in_every_dialect(shell: RunningServer, dialect: str) -> None:
    for slug in ENDPOINT_ROWS:
        answer = ask(shell, f"/raised/in-the-route/{slug}", accept=f"application/json; dialect={dialect}")
        kind = "application/problem+json" if dialect == "problem" else "application/json"
        assert (answer.status_code, answer.headers["content-type"]) == (CATALOGUE[slug].status, kind)
        read = parse(answer.status_code, kind, answer.content)
        assert read.status == CATALOGUE[slug].status
        assert read.error_code in (example(slug).error_code, "INVALID_API_KEY")


def test_an_extension_overwrites_no_standard_member(shell: RunningServer) -> None:
    routes = APIRouter()

    @routes.get("/sly")
    async def sly() -> None:
        raise ProblemError(
            example("conflict").replace(extensions={"status": 200, "title": "Fine", "request_id": "forged"})
        )

    async def send() -> httpx2.Response:
        app = create_app(shell.owner.services, routes=routes.routes)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/sly")

    assert_problem(asyncio.run(send()), "conflict")


# Pages, document and catalogue know the same


def test_pages_and_catalogue_know_the_same_types(shell: RunningServer) -> None:
    with shell.client("") as client:
        rows = client.get("/errors").json()["data"]
        assert [row["slug"] for row in rows] == list(CATALOGUE)
        for row in rows:
            assert client.get(f"/errors/{row['slug']}").json()["example"]["status"] == CATALOGUE[row["slug"]].status


@cache
def operations() -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, found in describe()["paths"].items()
        for method, operation in found.items()
    }


@pytest.mark.parametrize("name", operations())
def test_every_operation_lists_its_problems_from_the_catalogue(name: str) -> None:
    listed = set()
    for status, answer in operations()[name]["responses"].items():
        is_enveloped, is_detailed = " /openai/" in name, " /api/" in name
        kind = "application/json" if is_enveloped or is_detailed else "application/problem+json"
        content = answer.get("content", {}).get(kind)
        if int(status) < 400:
            assert is_enveloped or is_detailed or content is None
            continue
        shape = "Envelope" if is_enveloped else "Detail" if is_detailed else "Problem"
        assert content["schema"] == {"$ref": f"#/components/schemas/{shape}"}
        for slug in content["examples"]:
            assert int(status) == (400 if is_enveloped and CATALOGUE[slug].status == 422 else CATALOGUE[slug].status)
            listed.add(slug)
    assert {"internal_server_error", "malformed_request", "service_unavailable"} <= listed
    if " /v1" in name or is_enveloped:
        assert "no_authentication" in listed


def test_the_document_shows_an_example_of_every_problem_it_names() -> None:
    document = describe()
    assert document["openapi"].startswith("3.1")
    examples = document["components"]["examples"]
    assert set(examples) == set(ENDPOINT_ROWS)
    required = set(document["components"]["schemas"]["Problem"]["required"]) - {"instance", "request_id"}
    for slug, shown in examples.items():
        assert required <= set(shown["value"])
        assert shown["value"]["status"] == CATALOGUE[slug].status
