"""What a person does at the labelling page."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import BrowserContext, Page, expect


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
    _told(page, "document.querySelector('[data-part=\"task\"]').hidden || !document.querySelector('[data-old]')")


def has_task(page: Page) -> bool:
    """Whether a task is on the screen, once the page knows."""
    return bool(
        _told(page, f"document.querySelector('[data-part=\"task\"]').hidden ? {_KNOWS_OF_NONE} && 'no' : 'yes'")
        == "yes"
    )


def next_photo(page: Page) -> str:
    """The name of a photo that was not looked at yet, once the page shows one; "" where it says that there is none now."""
    found = _told(
        page,
        f"""(() => {{
          if (document.querySelector('[data-part="task"]').hidden) return {_KNOWS_OF_NONE} && ' ';
          const stage = document.querySelector('.stage:not([data-old])');
          if (!stage) return null;
          stage.dataset.old = 'yes';
          return stage.getAttribute('aria-label').split('. ')[0];
        }})()""",
    )
    return str(found).strip()


_KNOWS_OF_NONE = "!/One moment/.test(document.querySelector('[data-part=\"nothing\"]').textContent)"


def _told(page: Page, claim: str) -> Any:
    """What the expression says of the page, once it is true: looked at whenever the page changes, and not at every frame."""
    return page.evaluate(
        f"""() => new Promise((told) => {{
          const look = () => {{ const found = {claim}; if (found) told(found); return found; }};
          if (look()) return;
          const watch = new MutationObserver(() => {{ if (look()) watch.disconnect(); }});
          watch.observe(document.getElementById('label'), {{ subtree: true, childList: true, attributes: true, characterData: true }});
        }})"""
    )


def is_done(page: Page) -> bool:
    return "Done" in page.locator('[data-part="nothing"]').inner_text()
