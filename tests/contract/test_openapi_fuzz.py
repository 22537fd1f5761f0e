"""Whatever is sent, the answer is one that the OpenAPI document names, and never a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as openapi_checks

from amends.problems import CATALOGUE
from amends.server.app import describe
from amends.server.auth import OPEN
from tests.postgres import database_of
from tests.servers import RunningServer, running_server

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.unsupported_method,
]
schemathesis.serializer("application/offset+octet-stream")(lambda context, value: value)

BOUNDED = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, sql_dialect: str) -> Iterator[RunningServer]:
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("fuzzed") / "data", engine=None, database=database) as running,
    ):
        yield running


_LOADED = [found for found in schemathesis.openapi.from_dict(describe()).get_all_operations() if isinstance(found, Ok)]
OPERATIONS = {found.ok().label: found.ok() for found in _LOADED}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_with_a_key_nothing_undocumented_is_answered(fuzzed: RunningServer, operation: str) -> None:
    @settings(BOUNDED, max_examples=10)
    @given(case=OPERATIONS[operation].as_strategy())
    def send(case: schemathesis.Case[Any]) -> None:
        _send(fuzzed, case, {"Authorization": f"Bearer {fuzzed.key}"})

    send()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_a_key_nothing_undocumented_is_answered(fuzzed: RunningServer, operation: str) -> None:
    @settings(BOUNDED, max_examples=3)
    @given(case=OPERATIONS[operation].as_strategy())
    def send(case: schemathesis.Case[Any]) -> None:
        status = _send(fuzzed, case, {})
        assert status in (400, 401) or case.path in OPEN or not case.path.startswith(("/v1", "/openai", "/api"))

    send()


def _send(fuzzed: RunningServer, case: schemathesis.Case[Any], headers: dict[str, str]) -> int:
    answer = case.call(base_url=fuzzed.base_url, headers=headers)
    case.validate_response(answer, checks=CHECKS, additional_checks=[])
    if answer.status_code >= 400 and case.method != "HEAD":  # whose answers have no body
        body = answer.json()
        if case.path.startswith("/openai"):
            body = body["error"]["details"]
            assert body["status"] == answer.status_code
            assert body["type"].rpartition("/")[2] in CATALOGUE
            return int(answer.status_code)
        if case.path.startswith("/api"):
            assert {"detail", "error_code", "remedy", "request_id"} <= set(body)
            assert any(
                row.status == answer.status_code and row.admits(body["error_code"]) for row in CATALOGUE.values()
            )
            return int(answer.status_code)
        row = CATALOGUE[body["type"].rpartition("/")[2]]
        assert (row.status, row.title) == (answer.status_code, body["title"])
        assert [body["request_id"]] == answer.headers["x-request-id"]
    return answer.status_code
