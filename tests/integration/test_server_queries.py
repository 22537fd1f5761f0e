"""A misspelt filter must not show everything."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute

from amends.server.app import GROUPS, describe
from amends.server.groups import each_route
from amends.server.queries import known_parameters
from tests.problem_shape import assert_problem
from tests.servers import RunningServer


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("/v1/batch-predictions?statuss=completed", "statuss"),
        ("/v1/runs?limit=1&x=1", "x"),
        ("/v1/files/file_none/content?download=1", "download"),
        ("/v1/batch-predictions/bpred_none/results?stauts=errored", "stauts"),
        ("/v1/batch-predictions/bpred_none/items/a/b?full=1", "full"),
        ("/v1/me?%00=1", "\0"),
    ],
)
def test_an_unknown_query_parameter_is_refused_by_name(shell: RunningServer, path: str, unknown: str) -> None:
    with shell.client() as client:
        answer = client.get(path)
    assert_problem(answer, "validation_failed")
    (fault,) = answer.json()["errors"]
    assert fault["loc"] == ["query", unknown]
    assert fault["code"] == "extra_forbidden"


def test_what_is_known_is_what_the_openapi_document_lists() -> None:
    document = describe()["paths"]
    for route in (one for one in each_route(GROUPS) if isinstance(one, APIRoute)):
        for method in (name.lower() for name in route.methods if route.include_in_schema):
            listed = document[route.path_format][method].get("parameters", ())
            assert known_parameters(route.dependant) == {one["name"] for one in listed if one["in"] == "query"}, (
                route.path
            )


def test_known_parameters_pass(shell: RunningServer) -> None:
    with shell.client() as client:
        assert client.get("/v1/batch-predictions?status=completed&limit=2").status_code == 200
        assert client.get("/health/live?probe=1").status_code == 200


def test_a_key_made_without_a_user_is_a_principal_of_its_own(shell: RunningServer) -> None:
    with shell.client() as owner:
        maker = owner.get("/v1/me").json()["user_id"]
        made = owner.post("/v1/api-keys", json={"role": "member"}).json()
        mine = owner.post("/v1/files", files={"file": ("a.txt", b"of the owner")}).json()
    assert made["user_id"] is None
    with shell.client(made["key"]) as member:
        assert member.get("/v1/me").json()["user_id"] is None
        assert maker
        assert_problem(member.delete(f"/v1/files/{mine['id']}"), "insufficient_permissions")
