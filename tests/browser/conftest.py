"""Fixtures: Debian's Chromium, and pages in it that are watched for errors.

Where there is no Chromium the tests skip with the reason; in CI they fail.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
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


@pytest.fixture
def new_context(chromium: Browser) -> Iterator[NewContext]:
    """Makes people: each context has cookies and storage of its own. What any of their pages says of errors fails the test."""
    opened: list[BrowserContext] = []
    errors: list[str] = []

    def make(viewport: dict[str, int] = DESKTOP, **options: Any) -> BrowserContext:
        context = chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        context.on("console", lambda said: errors.append(said.text) if _is_error(said) else None)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()
    assert errors == []


def _is_error(said: ConsoleMessage) -> bool:
    """What a page says of errors; that there is no connection says the browser, where a test has cut it or killed the server."""
    return said.type in ("error", "warning") and not _UNREACHED.search(said.text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A whole server with a worker."""
    with running_server(tmp_path_factory.mktemp("site") / "data") as running:
        yield running


def sign_in(page: Page, server: RunningServer, key: str | None = None) -> None:
    """Come in by a key, the owner's by default, as a person does."""
    page.goto(f"{server.base_url}/ui/sign-in")
    page.get_by_label("API key").fill(key or server.key)
    page.get_by_role("button", name="Sign in with the key").click()
    page.wait_for_url(f"{server.base_url}/")
