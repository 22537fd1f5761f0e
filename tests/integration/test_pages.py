"""The pages over plain HTTP: who may look, what every answer carries, and what a form of another site cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.batches import PATH
from tests.servers import RunningServer, running_server

HTML = {"Accept": "text/html,application/xhtml+xml"}
PAGES = ["/", "/ui/datasets", "/ui/orders", "/ui/upstreams", "/ui/limits", "/ui/credits", "/ui/keys", "/ui/webhooks"]


@contextmanager
def browser_of(server: RunningServer, key: str | None = None) -> Iterator[httpx2.Client]:
    """What a browser sends, signed in by the key; "" is signed in by none."""
    headers = {**HTML, "Origin": server.base_url}
    with httpx2.Client(base_url=server.base_url, headers=headers, timeout=30, trust_env=False) as client:
        if key != "":
            answer = client.post("/ui/sign-in", data={"key": server.key if key is None else key})
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
        yield client


@pytest.fixture
def browser(shell: RunningServer) -> Iterator[httpx2.Client]:
    with browser_of(shell) as client:
        yield client


def batch(shell: RunningServer, key: str | None = None) -> str:
    with shell.client(key) as client:
        answer = client.post(PATH, json={"items": [{"custom_id": "a/b <i>", "input": "x"}], "model": "local/echo"})
    return str(answer.json()["id"])


def once_of(page: str) -> str:
    found = re.search(r'name="once" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_with_headers_that_let_nothing_foreign_in(browser: httpx2.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    # Nothing inline, and no address outside.
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", answer.text)
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_whoever_is_not_signed_in_is_led_to_the_sign_in_and_back(shell: RunningServer, path: str) -> None:
    with browser_of(shell, "") as nobody:
        answer = nobody.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"] == ("/ui/sign-in" if path == "/" else f"/ui/sign-in?next={path}")
        assert nobody.get(answer.headers["location"]).status_code == 200
        assert nobody.get(path, headers={"Accept": "*/*"}).status_code == 401
        moved = nobody.get(path, headers={"HX-Request": "true", "HX-Current-URL": f"{shell.base_url}{path}"})
        assert moved.headers["hx-redirect"] == answer.headers["location"]


def test_a_wrong_key_opens_nothing(shell: RunningServer) -> None:
    with browser_of(shell, "") as nobody:
        answer = nobody.post("/ui/sign-in", data={"key": "ak_live_wrong"})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert "no key of this server" in answer.text


def test_the_session_is_in_a_cookie_that_no_script_and_no_other_site_gets(shell: RunningServer) -> None:
    with browser_of(shell, "") as client:
        cookie = client.post("/ui/sign-in", data={"key": shell.key}).headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert shell.key not in cookie


def test_the_cookie_opens_the_pages_and_not_the_api(browser: httpx2.Client) -> None:
    assert browser.get("/").status_code == 200
    assert browser.get("/v1/me").status_code == 401


def test_signing_out_ends_the_session_itself(shell: RunningServer, browser: httpx2.Client) -> None:
    kept = dict(browser.cookies)
    assert browser.post("/ui/sign-out").headers["location"] == "/ui/sign-in"
    with httpx2.Client(base_url=shell.base_url, cookies=kept, headers=HTML, trust_env=False) as thief:
        assert thief.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "", "Sec-Fetch-Site": "cross-site"},
        {"Origin": ""},
    ],
)
def test_a_form_of_another_site_changes_nothing(
    shell: RunningServer, browser: httpx2.Client, headers: dict[str, str]
) -> None:
    run_id = batch(shell)
    answer = browser.post(f"/ui/runs/{run_id}/cancel", headers=headers)
    # Whoever sends such an Origin is not even taken for signed in, see the authenticator.
    assert answer.status_code in (303, 403)
    assert answer.headers.get("location", "/ui/sign-in").startswith("/ui/sign-in")
    with shell.client() as client:
        assert client.get(f"{PATH}/{run_id}").json()["status"] == "in_progress"


def test_a_run_is_looked_at_and_cancelled(shell: RunningServer, browser: httpx2.Client) -> None:
    run_id = batch(shell)
    assert run_id in browser.get("/").text
    page = browser.get(f"/ui/runs/{run_id}")
    assert page.status_code == 200, page.text
    item = browser.get(f"/ui/runs/{run_id}/item", params={"custom_id": "a/b <i>"})
    assert item.status_code == 200
    assert "a/b &lt;i&gt;" in item.text
    assert browser.post(f"/ui/runs/{run_id}/cancel").headers["location"] == f"/ui/runs/{run_id}"
    assert "cancelling" in browser.get(f"/ui/runs/{run_id}").text
    # A page's failure is a page.
    assert browser.get("/ui/runs/bpred_never").status_code == 404
    assert "run_not_found" in browser.get("/ui/runs/bpred_never").text.lower()


def test_another_workspace_sees_nothing_of_it(shell: RunningServer) -> None:
    run_id = batch(shell)
    with browser_of(shell, shell.new_key("owner", workspace="elsewhere")) as stranger:
        assert run_id not in stranger.get("/").text
        for path in ("", "/progress", "/results.csv", "/item?custom_id=a"):
            assert stranger.get(f"/ui/runs/{run_id}{path}").status_code == 404
        for action in ("cancel", "extend", "retry"):
            assert stranger.post(f"/ui/runs/{run_id}/{action}", data={"once": "x"}).status_code == 404


def test_a_viewer_is_offered_nothing_and_may_do_nothing(shell: RunningServer) -> None:
    run_id = batch(shell)
    with browser_of(shell, shell.new_key("viewer")) as viewer:
        assert "/cancel" not in viewer.get(f"/ui/runs/{run_id}").text
        assert viewer.post(f"/ui/runs/{run_id}/cancel").status_code == 403
        assert viewer.get("/ui/keys").status_code == 403
        assert "/ui/credits/top-ups" not in viewer.get("/ui/credits").text
        assert viewer.post("/ui/credits/top-ups", data={"amount": "1"}).status_code == 403


def test_a_key_is_shown_once_and_a_form_sent_twice_makes_one(shell: RunningServer, browser: httpx2.Client) -> None:
    form: dict[str, Any] = {
        "role": "viewer",
        "mode": "test",
        "name": "for a <test>",
        "once": once_of(browser.get("/ui/keys").text),
    }
    first, again = browser.post("/ui/keys", data=form), browser.post("/ui/keys", data=form)
    secrets = re.findall(r"ak_test_[\w-]{40,}", first.text)
    assert len(set(secrets)) == 1
    assert re.findall(r"ak_test_[\w-]{40,}", again.text) == secrets
    listed = browser.get("/ui/keys").text
    assert secrets[0] not in listed
    assert listed.count("for a &lt;test&gt;") == 1
    with shell.client(secrets[0]) as client:
        assert client.get("/v1/me").json()["role"] == "viewer"
    key_id = re.findall(r"/ui/keys/(key_\w+)/revoke", listed)[0]
    assert browser.post(f"/ui/keys/{key_id}/revoke").status_code == 303
    with shell.client(secrets[0]) as client:
        assert client.get("/v1/me").status_code == 401


def test_credits_are_added_once(browser: httpx2.Client) -> None:
    form = {"amount": "12.5", "note": "<b>gift</b>", "once": once_of(browser.get("/ui/credits").text)}
    for _ in range(2):
        assert browser.post("/ui/credits/top-ups", data=form).headers["location"] == "/ui/credits"
    page = browser.get("/ui/credits").text
    assert page.count("&lt;b&gt;gift&lt;/b&gt;") == 1
    assert "+12.5" in page
    for wrong in ("-1", "much", "nan", ""):
        answer = browser.post("/ui/credits/top-ups", data={"amount": wrong, "once": wrong + "x"})
        assert answer.status_code in (400, 422)
        assert "text/html" in answer.headers["content-type"]


def test_an_account_signs_in_and_a_wrong_password_does_not(shell: RunningServer) -> None:
    account = {"email": "ada@example.org", "password": "correct horse battery"}
    with browser_of(shell, "") as client:
        assert client.post("/api/auth/register", json={**account, "name": "Ada"}).status_code == 201
        wrong = client.post("/ui/sign-in", data={**account, "password": "guessed", "next": "/ui/credits"})
        assert wrong.status_code == 401
        assert 'value="ada@example.org"' in wrong.text
        assert 'value="/ui/credits"' in wrong.text
        right = client.post("/ui/sign-in", data={**account, "next": "/ui/credits"})
        assert (right.status_code, right.headers["location"]) == (303, "/ui/credits")
        assert client.get("/ui/keys").status_code == 200
        assert client.post("/ui/sign-out").status_code == 303
        assert client.get("/ui/keys").status_code == 303


def test_a_webhook_is_made_tested_disabled_and_deleted(browser: httpx2.Client) -> None:
    form = {"url": "https://example.org/hook", "description": "<i>", "event batch.completed": "yes", "once": "b" * 32}
    made = browser.post("/ui/webhooks", data=form)
    assert re.search(r"whsec_\S{20,}</code>", made.text)
    listed = browser.get("/ui/webhooks").text
    assert "whsec_" not in listed
    webhook = re.findall(r'href="(/ui/webhooks/wh_\w+)"', listed)[0]
    assert browser.post(f"{webhook}/test").headers["location"] == webhook
    assert "webhook.test" in browser.get(webhook).text
    assert browser.post(f"{webhook}/enabled", data={"enabled": "no"}).status_code == 303
    assert "disabled" in browser.get(webhook).text
    assert browser.post(f"{webhook}/delete").headers["location"] == "/ui/webhooks"
    assert browser.get(webhook).status_code == 404
    assert browser.post("/ui/webhooks", data={"url": "ftp://example.org/"}).status_code == 422


def test_static_files_are_kept_for_ever_under_an_address_that_names_their_content(browser: httpx2.Client) -> None:
    addresses = set(re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', browser.get("/").text))
    assert len(addresses) >= 4
    for address in addresses:
        answer = browser.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert browser.get(address.replace("/static/", "/static/0")).status_code == 404


def test_without_authentication_everybody_on_the_machine_is_the_owner(tmp_path: Any) -> None:
    with running_server(tmp_path / "data", engine=None, no_auth=True) as running, browser_of(running, "") as client:
        assert client.get("/ui/keys").status_code == 200
        assert "Sign out" not in client.get("/").text
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 303
        assert client.post("/ui/credits/top-ups", headers={"Origin": "http://evil.example"}).status_code in (
            303,
            403,
        )
