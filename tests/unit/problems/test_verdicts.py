import pytest

from amends.problems import (
    CATALOGUE,
    exit_code,
    headers,
    idempotency_in_progress,
    invalid_credentials,
    not_authenticated,
    problem,
    rate_limited,
    x_should_retry,
)


@pytest.mark.parametrize("slug", CATALOGUE)
def test_what_can_refuse_a_request_exits_4_and_what_only_ends_items_exits_3(slug: str) -> None:
    assert exit_code(slug) == exit_code(problem(slug)) == (4 if "E" in CATALOGUE[slug].where else 3)


def test_the_place_where_a_problem_was_met_decides_over_its_row() -> None:
    assert exit_code("internal_server_error", where="L") == 3
    assert exit_code("credit_exceeded", where="B") == 3
    assert exit_code("a_type_of_a_newer_server") == 4


@pytest.mark.parametrize(
    ("seconds", "sent"), [(0, "1"), (0.2, "1"), (1.01, "2"), (59.5, "60"), (60, "60"), (3600, "60")]
)
def test_retry_after_is_whole_seconds_from_1_to_60(seconds: float, sent: str) -> None:
    assert headers(rate_limited(seconds))["retry-after"] == sent


def test_429_and_503_always_carry_retry_after() -> None:
    for row in CATALOGUE.values():
        for code in row.error_codes if row.status in (429, 503) else ():
            assert "retry-after" in headers(problem(row.slug, error_code=code))


def test_only_the_request_in_progress_is_told_to_retry() -> None:
    assert headers(idempotency_in_progress()) == {"retry-after": "1", "x-should-retry": "true"}
    for row in CATALOGUE.values():
        assert x_should_retry(problem(row.slug)) is (None if row.remedy.retryable else False)
    assert headers(problem("conflict")) == {"x-should-retry": "false"}


def test_401_carries_a_challenge() -> None:
    assert headers(not_authenticated())["www-authenticate"] == 'Bearer realm="amends"'
    assert headers(invalid_credentials())["www-authenticate"] == 'Bearer realm="amends", error="invalid_token"'


def test_405_lists_what_is_allowed() -> None:
    assert headers(problem("method_not_allowed", allow=["GET", "POST"]))["allow"] == "GET, POST"
    assert "allow" not in headers(problem("method_not_allowed"))
