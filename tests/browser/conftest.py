"""Fixtures: Debian's Chromium, and pages in it that are watched for errors.

Where there is no Chromium the tests skip with the reason; in CI they fail.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.servers import RunningServer, running_server

_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_UNREACHED = re.compile(r"net::ERR_(INTERNET_DISCONNECTED|CONNECTION_\w+|EMPTY_RESPONSE)")
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}

expect.set_options(timeout=20_000)  # a loaded machine takes its time; what does not come fails all the same

NewContext = Callable[..., BrowserContext]


# A module's and not a session's: while Playwright runs there is an event loop in this thread, which other tests start themselves.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of a module."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(missing)
        pytest.skip(missing)  # outside CI, whose script installs it
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def watching(chromium: Browser) -> Iterator[tuple[NewContext, list[str]]]:
    """Makes people: each context has cookies and storage of its own. With what any of their pages says of errors."""
    opened: list[BrowserContext] = []
    errors: list[str] = []

    def make(viewport: dict[str, int] = DESKTOP, **options: Any) -> BrowserContext:
        context = chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        context.on("console", lambda said: errors.append(said.text) if _is_error(said) else None)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        opened.append(context)
        return context

    yield make, errors
    for context in opened:
        context.close()


@pytest.fixture
def new_context(chromium: Browser) -> Iterator[NewContext]:
    """Makes people for a test, which fails by any error that one of their pages tells of."""
    with watching(chromium) as (make, errors):
        yield make
    assert errors == []


def _is_error(said: ConsoleMessage) -> bool:
    """What a page says of errors; that there is no connection says the browser, where a test has cut it or killed the server."""
    return said.type in ("error", "warning") and not _UNREACHED.search(said.text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A whole server with a worker, whose webhooks may go to this machine."""
    data = tmp_path_factory.mktemp("site") / "data"
    with running_server(data, webhooks__allow=("127.0.0.0/8",)) as running:
        yield running


@pytest.fixture(scope="module")
def owner(chromium: Browser, site: RunningServer) -> Iterator[tuple[BrowserContext, list[str]]]:
    """Somebody who is signed in as the owner, for all tests of a module; with what the pages say of errors."""
    with watching(chromium) as (make, errors):
        context = make()
        come_in(context, site)
        yield context, errors


@pytest.fixture
def page(owner: tuple[BrowserContext, list[str]]) -> Iterator[Page]:
    """A new page of the owner's."""
    context, errors = owner
    page = context.new_page()
    yield page
    page.close()
    told = list(errors)
    errors.clear()
    assert told == []


def come_in(context: BrowserContext, server: RunningServer) -> None:
    """Sign in with the owner's key, as the form does it."""
    form = {"key": server.key}
    answer = context.request.post(f"{server.base_url}/ui/sign-in", form=form, headers={"origin": server.base_url})
    assert answer.ok
    assert answer.url == f"{server.base_url}/"


def sign_in(page: Page, server: RunningServer, key: str | None = None) -> None:
    """Come in by a key, the owner's by default, as a person does."""
    page.goto(f"{server.base_url}/ui/sign-in")
    page.get_by_label("API key").fill(key or server.key)
    page.get_by_role("button", name="Sign in with the key").click()
    page.wait_for_url(f"{server.base_url}/")
