"""Exit codes and the one line."""

from __future__ import annotations

import pytest

from amends.cli._connection import server_extra
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


def test_missing_package_names_the_extra_but_a_fault_of_ours_stays_one() -> None:
    with pytest.raises(LocalFailure, match=r"apsw is not installed: pip install"), server_extra():
        raise ModuleNotFoundError("No module named 'apsw'", name="apsw")
    with pytest.raises(ImportError), server_extra():
        raise ImportError("cannot import name 'x'", name="amends.server.owner")
