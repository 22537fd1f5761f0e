"""One catalogue: nothing that is derived from it knows an error that it does not, nor the other way round."""

import inspect

import pytest

from amends import exceptions
from amends.client._exceptions import error_from
from amends.problems import CATALOGUE, Row, exit_code, problem

every_row = pytest.mark.parametrize("row", CATALOGUE.values(), ids=CATALOGUE.keys())

OF_THE_CLIENT_ONLY = {
    "AmendsError",
    "ConfigurationError",
    "NetworkError",
    "RequestTimeoutError",
    "PollTimeoutError",
    "CircuitOpenError",
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
