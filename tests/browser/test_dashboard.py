"""What people do at the dashboard in a real browser: by keyboard alone, without a script, and while things move."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.batches import PATH
from tests.browser.conftest import NewContext, sign_in, watching
from tests.browser.furnishing import ended_run
from tests.browser.looking import press_on, tab_to
from tests.jobs import Job
from tests.receivers import Receiver, running_receiver
from tests.servers import RunningServer


@pytest.fixture(scope="module")
def run_id(site: RunningServer) -> str:
    return ended_run(site)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def test_one_comes_in_and_goes_by_keyboard_alone_with_a_key_and_with_an_account(
    chromium: Browser, site: RunningServer
) -> None:
    account = {"email": "anna@example.org", "password": "correct horse battery staple"}
    with site.client("") as api:
        assert api.post("/api/auth/register", json=account).status_code == 201
    with watching(chromium) as (make, errors):
        page = make().new_page()
        page.goto(f"{site.base_url}/ui/credits")
        page.wait_for_url("**/ui/sign-in?next=/ui/credits")
        page.keyboard.type(site.key)  # the field has the focus
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.base_url}/ui/credits")
        press_on(page, page.get_by_role("button", name="Sign out"))
        page.wait_for_url("**/ui/sign-in")
        tab_to(page, page.get_by_label("E-mail address"))
        page.keyboard.type(account["email"])
        page.keyboard.press("Tab")
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("Password")).to_be_focused()
        page.keyboard.type(account["password"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.base_url}/")
    assert [error for error in errors if "401 (Unauthorized)" not in error] == []  # the wrong password's


def test_a_failed_run_is_understood_and_retried_by_keyboard_alone(page: Page, site: RunningServer, run_id: str) -> None:
    page.goto(site.base_url)
    link = page.get_by_role("link", name=run_id)
    tab_to(page, link)
    page.evaluate("() => new Promise((told) => document.addEventListener('htmx:afterSwap', told, { once: true }))")
    expect(link).to_be_focused()  # what was there is gone, and the same stands there
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ui/runs/{run_id}")
    group = page.locator("article", has_text="file_not_found")
    expect(group).to_contain_text("Fix the input")
    expect(group).to_contain_text("missing-0")
    press_on(page, group.get_by_role("button", name="Retry these 3"))
    page.wait_for_url(re.compile(r"/ui/runs/bpred_(?!.*" + run_id[6:] + ")"))
    expect(page.locator("#progress")).to_contain_text("completed", timeout=30_000)
    expect(page.get_by_role("heading", name="Other runs of the same items")).to_be_visible()


def test_an_order_left_behind_is_found_run_and_paused_by_keyboard_alone(page: Page, site: RunningServer) -> None:
    job = Job(site, "free_text", "Left behind", [["a text"]], run=False)
    page.goto(f"{site.base_url}/ui/orders?status=created")
    press_on(page, page.get_by_role("link", name="Left behind"))
    page.wait_for_url(job.page)
    press_on(page, page.get_by_role("button", name="Run"))
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    press_on(page, page.get_by_role("button", name="Make an invitation link"))
    expect(page.locator("#secret")).to_contain_text(f"/label/{job.id}?invitation=")
    assert job.shown()["status"] == "running"
    press_on(page, page.get_by_role("button", name="Pause"))
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    assert job.shown()["status"] == "paused"
    press_on(page, page.get_by_text("Cancel…"))
    press_on(page, page.get_by_role("button", name="Cancel this order"))
    expect(page.locator("#progress")).to_contain_text("cancelled")


def test_a_run_moves_before_ones_eyes(page: Page, site: RunningServer) -> None:
    items = [{"custom_id": str(number), "input": "text"} for number in range(8)]
    with site.client() as client:
        run_id = client.post(PATH, json={"items": items, "model": "local/echo", "limit_items": 2}).json()["id"]
        page.goto(f"{site.base_url}/ui/runs/{run_id}")
        expect(page.locator("#progress .badge")).to_have_text("paused: limit")
        expect(page.locator("#progress")).to_contain_text("2 of 8")
        assert client.post(f"{PATH}/{run_id}/extend").status_code == 200
    expect(page.locator("#progress .badge")).to_have_text("completed")
    expect(page.locator("#progress")).to_contain_text("100 %")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text().count("\n") == 9


def test_a_key_is_made_and_revoked_by_keyboard_alone(page: Page, site: RunningServer) -> None:
    page.goto(f"{site.base_url}/ui/keys")
    press_on(page, page.get_by_text("Make a key"))
    page.keyboard.press("Tab")
    page.keyboard.type("from the page")
    page.keyboard.press("Tab")
    page.keyboard.type("viewer")
    press_on(page, page.get_by_role("button", name="Make the key"))
    secret = page.locator("#secret").inner_text()
    with site.client(secret) as client:
        assert client.get("/v1/me").json()["role"] == "viewer"
    row = page.get_by_role("row", name="from the page")
    press_on(page, row.get_by_text("Revoke…"))
    page.keyboard.press("Escape")
    expect(row.get_by_role("button")).to_be_hidden()
    press_on(page, row.get_by_text("Revoke…"))
    press_on(page, row.get_by_role("button"))
    expect(page.get_by_role("row", name="from the page")).to_contain_text("revoked")
    with site.client(secret) as client:
        assert client.get("/v1/me").status_code == 401


def test_credits_are_added_by_keyboard_alone(page: Page, site: RunningServer) -> None:
    page.goto(f"{site.base_url}/ui/credits")
    press_on(page, page.get_by_text("Add credits"))
    page.keyboard.press("Tab")
    page.keyboard.type("7.5")
    page.keyboard.press("Tab")
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name="by hand")).to_contain_text("+7.5")


def test_a_webhook_is_made_tested_and_deleted_by_keyboard_alone(
    page: Page, site: RunningServer, receiver: Receiver
) -> None:
    page.goto(f"{site.base_url}/ui/webhooks")
    tab_to(page, page.get_by_label("Address"))  # open, since there is none yet
    page.keyboard.type(receiver.url)
    tab_to(page, page.get_by_label("order.completed"))
    page.keyboard.press("Space")
    press_on(page, page.get_by_role("button", name="Make the webhook"))
    secret = page.locator("#secret").inner_text()
    press_on(page, page.get_by_role("link", name=receiver.url))
    expect(page.locator("main")).to_contain_text("told of order.completed")
    press_on(page, page.get_by_role("button", name="Send a test"))
    [test] = receiver.wait_for(1)
    assert test.verified(secret)["type"] == "webhook.test"
    expect(page.locator("#deliveries")).to_contain_text("delivered")
    press_on(page, page.get_by_text("Delete…"))
    press_on(page, page.get_by_role("button", name="Delete this webhook"))
    expect(page.get_by_text("No webhook yet")).to_be_visible()


def test_pages_work_without_a_script(new_context: NewContext, site: RunningServer, run_id: str) -> None:
    page = new_context(java_script_enabled=False).new_page()
    sign_in(page, site)
    page.get_by_role("link", name=run_id).click()
    expect(page.locator("article").first).to_be_visible()
    page.goto(f"{site.base_url}/ui/credits")
    page.get_by_text("Add credits").click()
    page.get_by_label("Amount").fill("3")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("table")).to_contain_text("+3")


def test_a_link_from_elsewhere_finds_one_still_signed_in(page: Page, site: RunningServer, run_id: str) -> None:
    # As the browser does it: the strict cookie is not sent when another site leads here.
    page.route("http://elsewhere.test/", lambda route: route.fulfill(
        body=f'<a href="{site.base_url}/ui/runs/{run_id}">look</a>', content_type="text/html"))  # fmt: skip
    page.goto("http://elsewhere.test/")
    page.get_by_role("link").click()
    page.wait_for_url(f"**/ui/runs/{run_id}")
    expect(page.get_by_role("heading", name=run_id)).to_be_visible()
