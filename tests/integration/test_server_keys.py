from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

KEYS = "/v1/api-keys"


@pytest.fixture(scope="module")
def client(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client() as opened:
        yield opened


def test_the_first_start_makes_one_key_and_later_starts_none(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None) as first, first.client() as client:
        me = client.get("/v1/me").json()
        assert set(me) == {"user_id", "role", "workspace_id", "mode"}
        assert (me["role"], me["mode"]) == ("owner", "live")
        assert me["user_id"]
    with running_server(tmp_path, engine=None, key=first.key) as again, again.client() as client:
        assert again.owner.first_key is None
        assert client.get("/v1/me").json() == me


def test_a_key_is_shown_once(client: httpx2.Client) -> None:
    answer = client.post(KEYS, json={"role": "viewer", "mode": "test", "name": "for the dashboard"})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{KEYS}/{made['id']}"
    assert made["key"].startswith("ak_test_")
    assert made["key"].startswith(made["prefix"])
    shown = {name: value for name, value in made.items() if name != "key"}
    assert client.get(f"{KEYS}/{made['id']}").json() == shown
    assert client.get(KEYS).json()["data"][0] == shown
    assert made["key"] not in client.get(KEYS).text


def test_a_user_is_made_once_and_shared_by_keys(shell: RunningServer) -> None:
    first, second = (shell.new_key("member", user="Ada") for _ in range(2))
    with shell.client(first) as one, shell.client(second) as two:
        assert one.get("/v1/me").json() == two.get("/v1/me").json()


def test_a_revoked_key_opens_nothing_from_then_on(shell: RunningServer, client: httpx2.Client) -> None:
    made = client.post(KEYS, json={"role": "member"}).json()
    with shell.client(made["key"]) as holder:
        assert holder.get("/v1/me").status_code == 200
        assert client.delete(f"{KEYS}/{made['id']}").json() == {"id": made["id"], "object": "api_key", "deleted": True}
        answer = holder.get("/v1/me")
        assert_problem(answer, "no_authentication", detail="Invalid authentication credentials")
    assert client.get(f"{KEYS}/{made['id']}").json()["revoked_at"]


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_keys_are_an_admins_business(shell: RunningServer, role: Any) -> None:
    with shell.client(shell.new_key(role)) as client:
        detail = "You do not have permission to create this API key"
        assert_problem(client.post(KEYS, json={"role": "viewer"}), "insufficient_permissions", detail=detail)
        assert_problem(client.get(KEYS), "insufficient_permissions")
        assert_problem(client.delete(f"{KEYS}/key_x"), "insufficient_permissions")


def test_nobody_makes_or_revokes_a_key_above_their_own(shell: RunningServer, client: httpx2.Client) -> None:
    owners = client.post(KEYS, json={"role": "owner"}).json()
    with shell.client(shell.new_key("admin")) as admin:
        assert_problem(admin.post(KEYS, json={"role": "owner"}), "insufficient_permissions")
        assert_problem(admin.delete(f"{KEYS}/{owners['id']}"), "insufficient_permissions")
        assert admin.post(KEYS, json={"role": "admin"}).status_code == 201


def test_a_workspace_is_chosen_through_the_local_socket_only(shell: RunningServer, client: httpx2.Client) -> None:
    assert_problem(client.post(KEYS, json={"role": "owner", "workspace": "another"}), "insufficient_permissions")
    with shell.client(shell.new_key(workspace="another")) as stranger:
        assert stranger.get("/v1/me").json()["workspace_id"] != client.get("/v1/me").json()["workspace_id"]


def test_a_viewer_reads_and_a_member_changes_its_own(shell: RunningServer, client: httpx2.Client) -> None:
    def put(who: httpx2.Client) -> httpx2.Response:
        return who.post("/v1/files", files={"file": ("a.txt", b"text", "text/plain")})

    file = f"/v1/files/{put(client).json()['id']}"
    with (
        shell.client(shell.new_key("viewer", user="Vic")) as viewer,
        shell.client(shell.new_key("member", user="May")) as member,
    ):
        assert viewer.get(file).status_code == member.get(file).status_code == 200
        assert_problem(put(viewer), "insufficient_permissions", detail="You do not have permission to create this file")
        for stranger in (viewer, member):
            refused = stranger.delete(file)
            assert_problem(refused, "insufficient_permissions", detail="You do not have permission to delete this file")
            assert_problem(stranger.patch(file, json={"filename": "b"}), "insufficient_permissions")
        own = f"/v1/files/{put(member).json()['id']}"
        assert member.patch(own, json={"filename": "b"}).status_code == 200
        with shell.client(shell.new_key("member", user="May")) as same_user:
            assert same_user.delete(own).status_code == 200
        with shell.client(shell.new_key("admin")) as admin:
            assert admin.delete(file).status_code == 200
