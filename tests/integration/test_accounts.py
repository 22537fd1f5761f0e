"""People: registering, logging in and out, invitations, roles, and the slowing of whoever guesses."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from argon2 import PasswordHasher

from amends import Client
from amends.problems import ProblemError
from amends.server.auth import COOKIE, Authenticator, Caller
from tests.problem_shape import assert_detail, assert_problem
from tests.servers import RunningServer, running_server

PASSWORD = "correct horse battery"
NUMBERS = count()


@pytest.fixture(scope="module")
def nobody(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client("") as opened:
        yield opened


@pytest.fixture(scope="module")
def owner(shell: RunningServer) -> Iterator[httpx2.Client]:
    with shell.client() as opened:
        yield opened


def new_email() -> str:
    return f"person{next(NUMBERS)}@example.org"


def register(client: httpx2.Client, email: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/auth/register", json={"email": email, "password": PASSWORD, **more})
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json()
    return user


def login(client: httpx2.Client, email: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = client.post("/api/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    tokens: dict[str, Any] = answer.json()
    return tokens


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def whoami(client: httpx2.Client, token: str) -> httpx2.Response:
    return client.get("/v1/me", headers=bearer(token))


def test_whoever_registers_owns_a_workspace_and_logs_in_on_every_surface(nobody: httpx2.Client) -> None:
    email = new_email()
    user = register(nobody, email, name="Ada")
    assert user == {
        "id": user["id"], "object": "user", "name": "Ada", "email": email, "role": "owner",
        "workspace_id": user["workspace_id"], "created_at": user["created_at"],
    }  # fmt: skip
    tokens = login(nobody, email)
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 3_600)
    assert whoami(nobody, tokens["access_token"]).json() == {
        "user_id": user["id"], "role": "owner", "workspace_id": user["workspace_id"], "mode": "live",
    }  # fmt: skip
    for path in ("/v1/batch-predictions", "/openai/v1/models", "/v1/users"):
        assert nobody.get(path, headers=bearer(tokens["access_token"])).status_code == 200
        assert nobody.get(path, headers={"x-api-key": tokens["access_token"]}).status_code == 200
    assert [row["id"] for row in nobody.get("/v1/users", headers=bearer(tokens["access_token"])).json()["data"]] == [
        user["id"]
    ]


def test_an_email_is_one_persons_however_it_is_written(nobody: httpx2.Client) -> None:
    number = next(NUMBERS)
    register(nobody, f"Jos\u00e9.{number}@Example.org")
    again = {"email": f"JOSE\u0301.{number}@example.ORG", "password": PASSWORD}
    refused = nobody.post("/api/auth/register", json=again)
    detail = "An account with this email exists already"
    assert_detail(refused, "conflict", error_code="DUPLICATE_ACCOUNT", detail=detail)
    assert login(nobody, again["email"])["token_type"] == "bearer"


@pytest.mark.parametrize(
    ("email", "password", "code"),
    [
        ("no-address", PASSWORD, "value_error"),
        ("two@at@example.org", PASSWORD, "value_error"),
        ("with space@example.org", PASSWORD, "value_error"),
        ("a@example.org", "short", "value_error"),
        ("a@example.org", "x" * 257, "value_error"),
        ("a.person@example.org", "A.Person@example.org", "value_error"),
        ("a.person@example.org", "A.PERSON", "value_error"),
        ("a@example.org", "aaaaaaaaaaaa", "value_error"),
    ],
)
def test_what_cannot_be_an_account_is_refused_and_no_password_is_told_back(
    nobody: httpx2.Client, email: str, password: str, code: str
) -> None:
    answer = nobody.post("/api/auth/register", json={"email": email, "password": password})
    [fault] = assert_detail(answer, "validation_failed")["detail"]
    assert fault["type"] == code
    if fault["loc"][-1] == "password":
        assert fault["input"] is None
        assert password not in answer.text


def test_a_wrong_password_and_an_unknown_email_are_answered_alike(nobody: httpx2.Client) -> None:
    email = new_email()
    register(nobody, email)
    for given in ({"email": email, "password": "wrong horse"}, {"email": new_email(), "password": PASSWORD}):
        answer = nobody.post("/api/auth/login", json=given)
        detail = "Invalid authentication credentials"
        assert_detail(answer, "no_authentication", error_code="AUTHENTICATION_FAILED", detail=detail)


def test_passwords_and_tokens_are_stored_as_hashes_only(shell: RunningServer, nobody: httpx2.Client) -> None:
    email = new_email()
    secret = "a password to be looked for"
    key = {"idempotency-key": "looked for"}
    nobody.post("/api/auth/register", json={"email": email, "password": secret}, headers=key).raise_for_status()
    tokens = login(nobody, email, secret)
    stored = shell.stored_bytes()
    assert b"$argon2id$" in stored
    for told in (secret, tokens["access_token"], tokens["refresh_token"]):
        assert told.encode() not in stored
    assert (shell.data / "secret").stat().st_mode & 0o777 == 0o600
    assert (shell.data / "secret").read_bytes() not in stored


def test_a_refresh_token_is_good_once_and_its_reuse_logs_everybody_out(nobody: httpx2.Client) -> None:
    email = new_email()
    register(nobody, email)
    first = login(nobody, email)
    other = login(nobody, email)
    second = nobody.post("/api/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert whoami(nobody, second["access_token"]).status_code == 200
    stolen = nobody.post("/api/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert_detail(stolen, "no_authentication", error_code="AUTHENTICATION_FAILED")
    for token in (first["access_token"], second["access_token"]):
        detail = "Invalid authentication credentials"
        assert_problem(whoami(nobody, token), "no_authentication", detail=detail)
    late = nobody.post("/api/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert_detail(late, "no_authentication")
    assert whoami(nobody, other["access_token"]).status_code == 200


def test_of_many_who_refresh_at_once_one_is_served(nobody: httpx2.Client) -> None:
    email = new_email()
    register(nobody, email)
    token = login(nobody, email)["refresh_token"]
    with ThreadPoolExecutor(4) as threads:
        answers = list(
            threads.map(lambda _: nobody.post("/api/auth/refresh", json={"refresh_token": token}).status_code, range(4))
        )
    assert sorted(answers) == [200, 401, 401, 401]


def test_logging_out_ends_the_session_at_once_and_no_other(nobody: httpx2.Client, owner: httpx2.Client) -> None:
    email = new_email()
    register(nobody, email)
    one, other = login(nobody, email), login(nobody, email)
    answer = nobody.post("/api/auth/logout", headers=bearer(one["access_token"]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(whoami(nobody, one["access_token"]), "no_authentication", error_code="AUTHENTICATION_FAILED")
    assert_detail(nobody.post("/api/auth/refresh", json={"refresh_token": one["refresh_token"]}), "no_authentication")
    assert whoami(nobody, other["access_token"]).status_code == 200
    assert_detail(owner.post("/api/auth/logout"), "conflict", error_code="INVALID_STATE")


def test_another_password_ends_the_other_sessions(nobody: httpx2.Client, owner: httpx2.Client) -> None:
    email = new_email()
    register(nobody, email)
    mine, elsewhere = login(nobody, email), login(nobody, email)

    def change(current: str, new: str) -> httpx2.Response:
        body = {"current_password": current, "new_password": new}
        return nobody.post("/api/auth/password", json=body, headers=bearer(mine["access_token"]))

    [fault] = assert_detail(change("not it at all", "another horse battery"), "validation_failed")["detail"]
    assert (fault["loc"], fault["input"]) == (["body", "current_password"], None)
    [fault] = assert_detail(change(PASSWORD, email), "validation_failed")["detail"]
    assert fault["loc"] == ["body", "new_password"]
    assert change(PASSWORD, "another horse battery").status_code == 204
    assert whoami(nobody, mine["access_token"]).status_code == 200
    assert_problem(whoami(nobody, elsewhere["access_token"]), "no_authentication")
    assert nobody.post("/api/auth/login", json={"email": email, "password": PASSWORD}).status_code == 401
    assert login(nobody, email, "another horse battery")
    body = {"current_password": PASSWORD, "new_password": "another horse battery"}
    assert_detail(owner.post("/api/auth/password", json=body), "insufficient_permissions")


def forged(token: str, **claims: Any) -> str:
    """The token with other claims, and the signature of the old ones."""
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    whole = json.dumps({**said, **claims}).encode()
    return ".".join((head, base64.urlsafe_b64encode(whole).decode().rstrip("="), signature))


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


def test_a_token_that_is_not_ours_opens_nothing(nobody: httpx2.Client) -> None:
    email = new_email()
    register(nobody, email)
    token, refresh = (login(nobody, email)[name] for name in ("access_token", "refresh_token"))
    for wrong in (forged(token, exp=int(time.time()) + 10_000), unsigned(token), token[:-2], "a.b.c", "x" * 9_000, "ü"):
        answer = nobody.get("/v1/me", headers=[(b"authorization", b"Bearer " + wrong.encode("latin-1"))])
        assert_problem(answer, "no_authentication", error_code="AUTHENTICATION_FAILED")
    for wrong in (refresh[:-1], refresh.replace("rt_", "rt_A"), "rt_x.y", "ü", token):
        answer = nobody.post("/api/auth/refresh", json={"refresh_token": wrong})
        assert_detail(answer, "no_authentication", error_code="AUTHENTICATION_FAILED")
    assert whoami(nobody, token).status_code == 200


def test_a_token_has_its_time_and_a_restart_keeps_who_is_logged_in(tmp_path: Path) -> None:
    email = new_email()
    with running_server(tmp_path, engine=None, auth__token_seconds=1) as server, server.client("") as client:
        register(client, email)
        short = login(client, email)
        end = time.monotonic() + 30
        while (answer := whoami(client, short["access_token"])).status_code == 200:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert_problem(answer, "no_authentication", error_code="TOKEN_EXPIRED", detail="Token has expired")
    with running_server(tmp_path, engine=None) as server, server.client("") as client:
        long = client.post("/api/auth/refresh", json={"refresh_token": short["refresh_token"]}).json()
    with running_server(tmp_path, engine=None) as server, server.client("") as client:
        assert whoami(client, long["access_token"]).status_code == 200
    (tmp_path / "secret").unlink()
    with running_server(tmp_path, engine=None) as server, server.client("") as client:
        assert_problem(whoami(client, long["access_token"]), "no_authentication", error_code="AUTHENTICATION_FAILED")


# Guessing


def test_whoever_guesses_has_to_wait_longer_and_longer_account_or_not(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None) as server, server.client("") as client:
        real, made_up = new_email(), new_email()
        register(client, real)
        waits = {}
        for email in (real, made_up):
            with server.local_client() as local:  # no address, so only the account is guessed at
                answers = [
                    local.post("/api/auth/login", json={"email": email, "password": "wrong horse"}) for _ in range(7)
                ]
            assert [answer.status_code for answer in answers[:6]] == [401] * 6
            waits[email] = assert_detail(answers[6], "rate_limit_exceeded")["retry_after"]
            assert answers[6].headers["retry-after"] == "1"
        assert all(0 < wait <= 1 for wait in waits.values())
        right = client.post("/api/auth/login", json={"email": real, "password": PASSWORD})
        assert right.status_code in (200, 429), "the wait is for the account, whoever comes"


def test_many_guesses_at_once_are_no_way_around(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None) as server, server.client("") as client:
        email = new_email()
        register(client, email)

        def guess(number: int) -> int:
            return client.post("/api/auth/login", json={"email": email, "password": f"guess {number}"}).status_code

        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(guess, range(24)))
        assert 6 <= answers.count(401) <= 9
        assert set(answers) == {401, 429}


def test_an_address_that_tries_many_accounts_is_slowed(tmp_path: Path) -> None:
    with running_server(tmp_path, engine=None) as server, server.client("") as client:
        answers = [
            client.post("/api/auth/login", json={"email": new_email(), "password": PASSWORD}).status_code
            for _ in range(24)
        ]
        assert answers[:20] == [401] * 20
        assert 429 in answers


# Invitations and roles


def invite(client: httpx2.Client, role: str = "member", **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/invitations", json={"role": role, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/invitations/{made['id']}"
    return made


def test_who_is_invited_comes_into_that_workspace_with_that_role_once(
    nobody: httpx2.Client, owner: httpx2.Client
) -> None:
    made = invite(owner, "member")
    shown = owner.get(f"/v1/invitations/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "token"}
    user = register(nobody, new_email(), invitation=made["token"])
    mine = owner.get("/v1/me").json()["workspace_id"]
    assert (user["role"], user["workspace_id"]) == ("member", mine)
    used = owner.get(f"/v1/invitations/{made['id']}").json()
    assert (used["used_by"], bool(used["used_at"])) == (user["id"], True)
    body = {"email": new_email(), "password": PASSWORD, "invitation": made["token"]}
    again = nobody.post("/api/auth/register", json=body)
    assert_detail(again, "resource_not_found", error_code="INVITATION_NOT_FOUND", detail="Invitation not found")
    assert owner.get(f"/v1/users/{user['id']}").json() == user


def test_of_two_who_bring_an_invitation_at_once_one_comes_in(nobody: httpx2.Client, owner: httpx2.Client) -> None:
    token = invite(owner)["token"]

    def come(_: int) -> int:
        body = {"email": new_email(), "password": PASSWORD, "invitation": token}
        return nobody.post("/api/auth/register", json=body).status_code

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(come, range(4))) == [201, 404, 404, 404]


def test_an_invitation_may_be_somebodys_and_can_be_withdrawn(nobody: httpx2.Client, owner: httpx2.Client) -> None:
    email = new_email()
    made = invite(owner, "viewer", email=email.upper(), expires_after=60)
    body = {"email": new_email(), "password": PASSWORD, "invitation": made["token"]}
    assert_detail(nobody.post("/api/auth/register", json=body), "resource_not_found")
    assert register(nobody, email, invitation=made["token"])["role"] == "viewer"
    withdrawn = invite(owner)
    answer = owner.delete(f"/v1/invitations/{withdrawn['id']}")
    assert answer.json() == {"id": withdrawn["id"], "object": "invitation", "deleted": True}
    body["invitation"] = withdrawn["token"]
    assert_detail(nobody.post("/api/auth/register", json=body), "resource_not_found")


def test_a_repeated_invitation_is_the_same_and_its_token_is_kept_nowhere(
    shell: RunningServer, owner: httpx2.Client
) -> None:
    key = {"idempotency-key": "invite once"}
    first, again = (owner.post("/v1/invitations", json={"role": "viewer"}, headers=key) for _ in range(2))
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert first.json()["token"].encode() not in shell.stored_bytes()


def test_nobody_invites_above_their_own_role(shell: RunningServer) -> None:
    with shell.client(shell.new_key("admin")) as admin, shell.client(shell.new_key("member")) as member:
        assert_problem(admin.post("/v1/invitations", json={"role": "owner"}), "insufficient_permissions")
        assert admin.post("/v1/invitations", json={"role": "admin"}).status_code == 201
        detail = "You do not have permission to create this invitation"
        assert_problem(
            member.post("/v1/invitations", json={"role": "viewer"}), "insufficient_permissions", detail=detail
        )


def test_another_role_counts_from_the_next_login_on(nobody: httpx2.Client, owner: httpx2.Client) -> None:
    email = new_email()
    user = register(nobody, email, invitation=invite(owner, "admin")["token"])
    before = login(nobody, email)["access_token"]
    changed = owner.patch(f"/v1/users/{user['id']}", json={"role": "viewer", "name": f"Ada {email}"}).json()
    assert changed == {**user, "role": "viewer", "name": f"Ada {email}"}
    assert_problem(whoami(nobody, before), "no_authentication")
    after = login(nobody, email)["access_token"]
    assert whoami(nobody, after).json()["role"] == "viewer"
    assert_problem(nobody.get("/v1/users", headers=bearer(after)), "insufficient_permissions")


def test_a_workspace_keeps_its_last_owner(nobody: httpx2.Client) -> None:
    email = new_email()
    user = register(nobody, email)
    me = bearer(login(nobody, email)["access_token"])
    path = f"/v1/users/{user['id']}"
    for answer in (nobody.patch(path, json={"role": "admin"}, headers=me), nobody.delete(path, headers=me)):
        assert_problem(answer, "conflict", error_code="INVALID_STATE")
    invited = nobody.post("/v1/invitations", json={"role": "owner"}, headers=me).json()["token"]
    second = register(nobody, new_email(), invitation=invited)
    assert nobody.patch(path, json={"role": "admin"}, headers=me).status_code == 200
    me = bearer(login(nobody, email)["access_token"])
    their = f"/v1/users/{second['id']}"
    assert_problem(nobody.patch(their, json={"role": "member"}, headers=me), "insufficient_permissions")
    assert_problem(nobody.delete(their, headers=me), "insufficient_permissions")
    assert_problem(nobody.patch(path, json={"role": "owner"}, headers=me), "insufficient_permissions")


def test_of_two_owners_who_go_at_once_one_stays(nobody: httpx2.Client) -> None:
    email, other = new_email(), new_email()
    first = register(nobody, email)
    me = bearer(login(nobody, email)["access_token"])
    invited = nobody.post("/v1/invitations", json={"role": "owner"}, headers=me).json()["token"]
    second = register(nobody, other, invitation=invited)
    them = bearer(login(nobody, other)["access_token"])

    def go(who: tuple[str, dict[str, str]]) -> int:
        return nobody.delete(f"/v1/users/{who[0]}", headers=who[1]).status_code

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(go, [(first["id"], me), (second["id"], them)]))
    assert sorted(answers) in ([200, 409], [200, 401])


def test_a_user_who_is_removed_opens_nothing_and_leaves_no_email(
    shell: RunningServer, nobody: httpx2.Client, owner: httpx2.Client
) -> None:
    email = new_email()
    user = register(nobody, email, invitation=invite(owner)["token"], name="Grace")
    token = login(nobody, email)["access_token"]
    key = owner.post("/v1/api-keys", json={"role": "member", "user": "Grace"}).json()
    assert key["user_id"] == user["id"]
    assert whoami(nobody, key["key"]).status_code == 200
    gone = owner.delete(f"/v1/users/{user['id']}")
    assert gone.json() == {"id": user["id"], "object": "user", "deleted": True}
    for secret in (token, key["key"]):
        assert_problem(whoami(nobody, secret), "no_authentication")
    assert_problem(owner.get(f"/v1/users/{user['id']}"), "resource_not_found", detail="User not found")
    assert nobody.post("/api/auth/login", json={"email": email, "password": PASSWORD}).status_code == 401
    assert register(nobody, email, invitation=invite(owner)["token"], name="Grace")["id"] != user["id"]


@pytest.mark.parametrize(
    ("flags", "invited", "status"),
    [
        ({}, False, 201),
        ({"auth__registration": "closed"}, False, 403),
        ({"auth__registration": "closed"}, True, 403),
        ({"auth__registration": "invite"}, False, 403),
        ({"auth__registration": "invite"}, True, 201),
        ({"auth__registration": "open", "public_url": "https://amends.example"}, False, 201),
        ({"public_url": "https://amends.example"}, False, 403),
    ],
    ids=str,
)
def test_who_may_register_is_a_setting(tmp_path: Path, flags: dict[str, Any], invited: bool, status: int) -> None:
    with running_server(tmp_path, engine=None, **flags) as server, server.client("") as client:
        with server.client() as owner:
            more = {"invitation": invite(owner)["token"]} if invited else {}
        answer = client.post("/api/auth/register", json={"email": new_email(), "password": PASSWORD, **more})
    assert answer.status_code == status, answer.text
    if status == 403:
        assert_detail(answer, "insufficient_permissions")


def test_whoever_comes_through_a_proxy_is_not_this_machine(shell: RunningServer) -> None:
    body = {"email": new_email(), "password": PASSWORD}
    with shell.client("", **{"x-forwarded-for": "203.0.113.9"}) as far:
        assert_detail(far.post("/api/auth/register", json=body), "insufficient_permissions")


def test_a_cookie_is_no_way_into_the_api(shell: RunningServer, nobody: httpx2.Client) -> None:
    """The pages' own tests show that it opens those."""
    services = shell.owner.services
    opened = services.database.write(
        lambda tx: services.store.sessions.open(tx, services.default_workspace_id, None, None, "owner", "live", 60)
    )
    for path in ("/v1/me", "/openai/v1/models"):
        assert nobody.get(path, headers={"cookie": f"{COOKIE}={opened[1]}"}).status_code == 401
    assert nobody.post("/api/auth/logout", headers={"cookie": f"{COOKIE}={opened[1]}"}).status_code == 401
    assert_problem(whoami(nobody, opened[1]), "no_authentication")


def test_who_signed_in_with_a_key_is_out_when_it_is_revoked(shell: RunningServer, owner: httpx2.Client) -> None:
    services = shell.owner.services
    key = owner.post("/v1/api-keys", json={"role": "member"}).json()
    session, secret = services.database.write(
        lambda tx: services.store.sessions.open(tx, key["workspace_id"], None, key["id"], "member", "live", 60)
    )
    assert services.store.sessions.find(secret) == session
    assert owner.delete(f"/v1/api-keys/{key['id']}").status_code == 200
    assert services.store.sessions.find(secret) is None


def visitor(shell: RunningServer, path: str, **headers: str) -> Caller | None:
    """Who looks at a page, as the server sees it."""
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": given, "state": {}}
    return Authenticator(shell.owner.services).caller(scope, dict(given))


def test_a_cookie_opens_pages_of_its_own_origin_as_long_as_its_key_is_good(
    shell: RunningServer, owner: httpx2.Client
) -> None:
    services = shell.owner.services
    key = owner.post("/v1/api-keys", json={"role": "member"}).json()

    def sign_in() -> str:
        return services.database.write(
            lambda tx: services.store.sessions.open(tx, key["workspace_id"], None, key["id"], "member", "live", 60)
        )[1]

    cookie, host = f"a=b; {COOKIE}={sign_in()}; c=d", shell.base_url.partition("://")[2]
    for path in ("/", "/ui/runs", "/label/order_x"):
        found = visitor(shell, path, host=host, cookie=cookie)
        assert found is not None
        assert (found.role, found.key_id, found.workspace_id) == ("member", key["id"], key["workspace_id"])
        assert visitor(shell, path, host=host, cookie=cookie, origin=shell.base_url) == found
        assert visitor(shell, path, host=host, cookie=cookie, origin="http://127.0.0.1:1") is None
        assert visitor(shell, path, host=host, cookie=cookie, origin="null") is None
        assert visitor(shell, path, host=host, cookie=f"{COOKIE}=made-up") is None
        assert visitor(shell, path, host=host) is None
    owner.delete(f"/v1/api-keys/{key['id']}").raise_for_status()
    assert visitor(shell, "/", host=host, cookie=cookie) is None
    late = f"{COOKIE}={sign_in()}"  # by somebody whose key was good when they asked
    assert visitor(shell, "/", host=host, cookie=late) is None


def test_a_password_is_stored_as_it_would_be_today_when_its_owner_logs_in(
    shell: RunningServer, nobody: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = shell.owner.services
    email = new_email()
    user = register(nobody, email)
    token = login(nobody, email)["access_token"]
    before = services.store.accounts.of_user(user["id"])
    assert before is not None
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(services.logins.passwords, "_given", stronger)
    assert login(nobody, email)
    after = services.store.accounts.of_user(user["id"])
    assert after is not None
    assert after.password.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert not before.password.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert login(nobody, email)
    assert whoami(nobody, token).status_code == 200, "nobody is logged out by it"


def test_a_password_that_is_changed_while_somebody_logs_in_with_it_lets_them_in_no_more(
    shell: RunningServer, nobody: httpx2.Client
) -> None:
    services = shell.owner.services
    user = register(nobody, new_email())
    checked = services.store.accounts.of_user(user["id"])
    assert checked is not None
    services.database.write(lambda tx: services.store.accounts.set_password(tx, checked, "another hash"))
    with pytest.raises(ProblemError, match="Invalid authentication credentials"):
        asyncio.run(services.logins.sign_in(checked, 60))


def test_the_sdk_invites_and_changes_people(shell: RunningServer, nobody: httpx2.Client) -> None:
    with Client(shell.key, shell.base_url) as client:
        invited = client.invitations.create(role="viewer")
        assert invited.token is not None
        assert invited.token not in repr(invited)
        user = register(nobody, new_email(), invitation=invited.token)
        assert client.invitations.get(invited.id).used_by == user["id"]
        assert client.users.update(user["id"], role="member").role == "member"
        assert user["id"] in [row.id for row in client.users.list()]
        assert client.users.delete(user["id"]).deleted
        assert client.invitations.delete(client.invitations.create().id).deleted
    with Client(login(nobody, email := register(nobody, new_email())["email"])["access_token"], shell.base_url) as own:
        assert [row.email for row in own.users.list()] == [email]
