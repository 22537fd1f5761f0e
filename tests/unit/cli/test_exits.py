"""Exit codes and the one line."""

from __future__ import annotations

import pytest

from amends.cli._exits import BadUsage, LocalFailure, code_of, line_of
from amends.client._exceptions import error_from
from amends.exceptions import ConfigurationError, NetworkError
from amends.problems import CATALOGUE, problem


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LocalFailure("x"), 1),
        (BadUsage("x"), 2),
        (ConfigurationError("x"), 2),
        (NetworkError("x"), 5),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 1),
    ],
)
def test_each_kind_of_failure_has_its_code(error: BaseException, code: int) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize("slug", [slug for slug, row in CATALOGUE.items() if row.exception])
def test_everything_a_server_refuses_with_is_4(slug: str) -> None:
    found = problem(slug, **CATALOGUE[slug].example)
    assert code_of(error_from(found, found.status)) == 4


def test_line_is_one_line() -> None:
    assert line_of(LocalFailure("a\n  b")) == "a b"
    assert line_of(OSError(28, "No space left on device", "/x")) == "/x: No space left on device"
