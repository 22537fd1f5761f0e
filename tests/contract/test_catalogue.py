"""One catalogue: nothing that is derived from it knows an error that it does not, nor the other way round."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from amends import exceptions
from amends.client._exceptions import error_from
from amends.problems import CATALOGUE, Row, exit_code, problem
from amends.server.app import describe
from tests.servers import RunningServer

every_row = pytest.mark.parametrize("row", CATALOGUE.values(), ids=CATALOGUE.keys())

OF_THE_CLIENT_ONLY = {
    "AmendsError",
    "ConfigurationError",
    "NetworkError",
    "RequestTimeoutError",
    "PollTimeoutError",
    "CircuitOpenError",
    "FailedUploadException",
    "FailedUploadError",
}


def exception_names() -> set[str]:
    classes = {name: cls for name, cls in vars(exceptions).items() if inspect.isclass(cls)}
    return {name for name, cls in classes.items() if issubclass(cls, Exception)}


def test_catalogue_and_exceptions_name_each_other() -> None:
    assert exception_names() - OF_THE_CLIENT_ONLY == {row.exception for row in CATALOGUE.values()} - {""}


@every_row
def test_a_row_that_refuses_requests_has_an_exception_and_others_reach_the_sdk_as_an_items_problem(row: Row) -> None:
    assert bool(row.exception) == ("E" in row.where)


@every_row
def test_the_sdk_raises_what_the_row_says(row: Row) -> None:
    if row.exception:
        raised = error_from(problem(row.slug, **row.example), row.status)
        assert type(raised).__name__ == row.exception


@every_row
def test_the_exit_code_says_whether_the_server_refused_or_items_failed(row: Row) -> None:
    assert exit_code(row.slug) == (4 if row.exception else 3)


def test_pages_exceptions_exit_codes_and_openapi_know_the_same_errors_as_the_catalogue(shell: RunningServer) -> None:
    """Each of them by itself, against the one list; and each status that OpenAPI documents is that of the rows it names."""
    with shell.client() as client:
        listed = client.get("/errors", headers={"Accept": "application/json"}).json()["data"]
        pages = {
            row["slug"]: client.get(f"/errors/{row['slug']}", headers={"Accept": "text/html"}).text for row in listed
        }
        unknown = client.get("/errors/no_such_error", headers={"Accept": "text/html"})
    document = describe()
    examples = document["components"]["examples"]

    assert pages.keys() == CATALOGUE.keys()
    assert [slug for slug, page in pages.items() if CATALOGUE[slug].title not in page] == []
    assert [slug for slug, page in pages.items() if CATALOGUE[slug].error_codes[0].split("{")[0] not in page] == []
    assert unknown.status_code == 404
    assert examples.keys() == {row.slug for row in CATALOGUE.values() if "E" in row.where}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, named in problems_named(operation):
                assert {CATALOGUE[slug].status for slug in named} == {status}
    for row in CATALOGUE.values():
        raised = type(error_from(problem(row.slug, **row.example), row.status)).__name__
        assert row.exception in ("", raised)
        assert exit_code(row.slug) in (3, 4)


def problems_named(operation: dict[str, Any]) -> Iterator[tuple[int, set[str]]]:
    """(status, slugs of the catalogue that the operation names for it). In envelopes a 422 is a 400."""
    for status, answer in operation["responses"].items():
        enveloped = answer.get("content", {}).get("application/json", {}).get("examples", {})
        if enveloped and int(status) >= 400:
            yield int(status), {slug for slug in enveloped if (status, CATALOGUE[slug].status) != ("400", 422)}
        content = answer.get("content", {}).get("application/problem+json")
        if content:
            assert content["examples"], "an operation names the problems it answers with"
            yield int(status), set(content["examples"])
