"""Every page, as one finds it: by keyboard, for eyes and screen readers, on a desktop and on a phone, light and dark, quickly, without errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import DESKTOP, PHONE, come_in, watching
from tests.browser.furnishing import furnish
from tests.browser.looking import (
    LOADS,
    MOST_MS,
    SEEN,
    first_paint_ms,
    focus_is_kept,
    is_wider_than_its_window,
    open_by_keyboard,
    pass_by_tab,
    serious,
)
from tests.receivers import running_receiver
from tests.servers import RunningServer


class Place(NamedTuple):
    """Where a page is. address: with the ids that ``furnish`` tells. is_strangers: whether one sees it who has not come in.

    shows: what is there once the page is whole.
    """

    address: str
    status: int = 200
    is_strangers: bool = False
    shows: str = "h1"


PLACES = {
    "sign-in": Place("/ui/sign-in", is_strangers=True),
    "runs": Place("/"),
    "run": Place("/ui/runs/{run}"),
    "run that stands": Place("/ui/runs/{standing}"),
    "item": Place("/ui/runs/{run}/item?custom_id=refused"),
    "datasets": Place("/ui/datasets"),
    "dataset": Place("/ui/datasets/{dataset}", shows=".thumb img"),
    "orders": Place("/ui/orders"),
    "order, created": Place("/ui/orders/{created}"),
    "order, running": Place("/ui/orders/{running}"),
    "order with answers": Place("/ui/orders/{answered}"),
    "upstreams": Place("/ui/upstreams"),
    "limits": Place("/ui/limits"),
    "credits": Place("/ui/credits"),
    "keys": Place("/ui/keys"),
    "webhooks": Place("/ui/webhooks"),
    "webhook": Place("/ui/webhooks/{webhook}"),
    "nothing there": Place("/ui/runs/bpred_none", status=404),
    "invitation": Place("/label/{running}", is_strangers=True),
    "labelling: classification": Place("/label/{running}", shows="#label .below"),
    "labelling: compare": Place("/label/{compare}", shows="#label .below"),
    "labelling: free text": Place("/label/{free_text}", shows="#label .below"),
    "labelling: locate": Place("/label/{locate}", shows="#label .below"),
    "problem types": Place("/errors", is_strangers=True),
    "problem type": Place("/errors/file_not_found", is_strangers=True),
}


class House(NamedTuple):
    """A server with something on every page, and the pages of somebody who is signed in and of somebody who is not."""

    site: RunningServer
    places: Mapping[str, str]
    owner: Page
    stranger: Page
    errors: list[str]


@pytest.fixture(scope="module")
def house(chromium: Browser, site: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_receiver() as receiver, watching(chromium) as (make, errors):
        places = furnish(site, tmp_path_factory.mktemp("photos"), receiver)
        owner, stranger = make().new_page(), make().new_page()
        come_in(owner.context, site)
        for order in ("running", "compare", "free_text", "locate"):
            address = f"{site.base_url}/label/{places[order]}/join"
            joined = owner.request.post(address, form={"name": "Anna"}, headers={"origin": site.base_url})
            assert joined.ok
        with site.client() as api:
            invitation = api.post(f"/v1/orders/{places['running']}/invitations").json()["url"]
        stranger.goto(invitation)
        yield House(site, places, owner, stranger, errors)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_page_is_sound(house: House, place: Place) -> None:
    page = house.stranger if place.is_strangers else house.owner
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="light")
    answer = page.goto(house.site.base_url + place.address.format_map(house.places))
    assert answer is not None
    assert answer.status == place.status
    paint = first_paint_ms(page, place.shows)
    print(f"{paint:4.0f} ms to the first paint of {place.address}, the median of {LOADS} loads")
    assert paint < MOST_MS
    assert page.locator("h1").count() == 1
    assert not is_wider_than_its_window(page)
    assert serious(page) == []
    open_by_keyboard(page)
    pass_by_tab(page)
    focus_is_kept(page)
    page.evaluate("document.activeElement.blur()")  # a link that skips to the content lies above others while it has it
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="dark")
    assert not is_wider_than_its_window(page)
    assert serious(page, SEEN) == []
    errors = [error for error in house.errors if place.status == 200 or "the server responded" not in error]
    house.errors.clear()
    assert errors == []


def test_the_reference_fits_a_phone_with_all_of_it_open(house: House) -> None:
    page = house.stranger
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(f"{house.site.base_url}/docs")
    assert page.locator("h1").count() == 1
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert not is_wider_than_its_window(page)
    assert house.errors == []
