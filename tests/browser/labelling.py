"""Orders for tests of the pages, and what a person does at one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import BrowserContext, Page, expect

from tests.servers import RunningServer


class Job:
    """An order that runs, made over the API. assets: files, or texts where ``data_type`` says so; of each datapoint one or several."""

    def __init__(
        self,
        site: RunningServer,
        kind: str,
        instruction: str,
        assets: Sequence[Sequence[Path | str]],
        *,
        options: Sequence[str] | None = None,
        run: bool = True,
        **settings: Any,
    ) -> None:
        self._site = site
        with site.client() as api:
            dataset = _made(api, "/v1/datasets", name=f"{instruction} {id(self)}")
            rows = [_datapoint(api, each) for each in assets]
            answer = api.post(f"/v1/datasets/{dataset}/datapoints", json=rows)
            assert answer.status_code == 200, answer.text
            definition = _made(
                api, "/v1/job-definitions", kind=kind, name=instruction, instruction=instruction, dataset_id=dataset,
                **({"answer_options": list(options)} if options else {}), settings=settings,
            )  # fmt: skip
            self.id = _made(api, "/v1/orders", job_definition_id=definition, run=run)
        self.page = f"{site.base_url}/ui/orders/{self.id}"

    def add_model(self, model: str) -> None:
        with self._site.client() as api:
            _made(api, f"/v1/orders/{self.id}/annotators", model=model)

    def link(self) -> str:
        """A new invitation's."""
        with self._site.client() as api:
            return str(api.post(f"/v1/orders/{self.id}/invitations").json()["url"])

    def shown(self) -> dict[str, Any]:
        with self._site.client() as api:
            return dict(api.get(f"/v1/orders/{self.id}").json())

    def results(self) -> dict[str, Any]:
        with self._site.client() as api:
            return dict(api.get(f"/v1/orders/{self.id}/results").json())


def _made(api: httpx2.Client, path: str, **body: Any) -> str:
    answer = api.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def _datapoint(api: httpx2.Client, assets: Sequence[Path | str]) -> dict[str, Any]:
    if isinstance(assets[0], str):
        return {"data_type": "text", "assets": [{"text": text} for text in assets]}
    sent = [api.post("/v1/files", files={"file": (Path(each).name, Path(each).read_bytes())}).json() for each in assets]
    return {"assets": [{"file_id": file["id"]} for file in sent]}


def join(context: BrowserContext, link: str, name: str) -> Page:
    """Come by an invitation and say a name; the page with its first task."""
    page = context.new_page()
    page.goto(link)
    page.get_by_label("Your name").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator('[data-part="task"]')).to_be_visible()
    return page


def seen(page: Page) -> str:
    """The name of the photo on the screen."""
    label = page.locator(".stage").first.get_attribute("aria-label") or ""
    return label.partition(". ")[0]


def press(page: Page, key: str) -> None:
    """Answer by a key, and wait until the task is off the screen."""
    assert has_task(page)
    page.evaluate("document.querySelector('[data-part=\"media\"]').firstElementChild.dataset.old = 'yes'")
    page.keyboard.press(key)
    page.wait_for_function(
        "document.querySelector('[data-part=\"task\"]').hidden || !document.querySelector('[data-old]')"
    )


def has_task(page: Page) -> bool:
    """Whether a task is on the screen, once the page knows."""
    page.wait_for_function(
        """() => !document.querySelector('[data-part="task"]').hidden
        || !/One moment/.test(document.querySelector('[data-part="nothing"]').textContent)"""
    )
    return page.locator('[data-part="task"]').is_visible()


def next_photo(page: Page) -> str:
    """The name of a photo that was not looked at yet, once the page shows one; "" where it says that there is none now."""
    found = page.wait_for_function(
        """() => {
          if (document.querySelector('[data-part="task"]').hidden)
            return /One moment/.test(document.querySelector('[data-part="nothing"]').textContent) ? null : ' ';
          const stage = document.querySelector('.stage:not([data-old])');
          if (!stage) return null;
          stage.dataset.old = 'yes';
          return stage.getAttribute('aria-label').split('. ')[0];
        }"""
    )
    return str(found.json_value()).strip()


def is_done(page: Page) -> bool:
    return "Done" in page.locator('[data-part="nothing"]').inner_text()
