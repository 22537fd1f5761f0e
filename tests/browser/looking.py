"""What is looked at on a page: its first paint, its width, what axe finds, and where the keyboard gets."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Locator, Page

LOADS = 3
TRIES = 3
MOST_MS = 1_000
BACK = 10
"""How often Shift and Tab are pressed, from the end of the page."""

SEEN = ("color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size")
"""Those of axe's rules that look at how a page is laid out and coloured; all others look at its elements, which no window changes."""

_CLICKABLE = "a[href], button, summary, input:not([type=hidden]), select, textarea, audio[controls], video[controls], [tabindex='0']"
_WATCH = """(selector) => {
  const there = () => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility() && !one.disabled);
  window.known = there();
  window.passed = [];
  window.isStill = true; // what happens to the focus when a live part is replaced is looked at by itself
  window.stilling ??= document.addEventListener('htmx:beforeSwap', (event) => { if (isStill) event.preventDefault(); }) ?? true;
  window.passing ??= addEventListener('focusin', ({ target }) => {
    const { outlineStyle, outlineWidth } = getComputedStyle(target);
    passed.push([known.indexOf(target), outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1]);
  }) ?? true;
  return known.map((one) => one.outerHTML.slice(0, 200));
}"""
_PAINT = """() => new Promise((told) => new PerformanceObserver((list, observer) => {
  for (const entry of list.getEntriesByName('first-contentful-paint')) { observer.disconnect(); told(entry.startTime); }
}).observe({ type: 'paint', buffered: true }))"""


def serious(page: Page, rules: Sequence[str] = ()) -> list[Any]:
    """What axe finds serious or worse. rules: only these."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(
        """async (rules) => (await axe.run({
          resultTypes: ['violations'], preload: false, ...(rules.length ? { runOnly: rules } : {}),
        })).violations""",
        list(rules),
    )
    return [
        (one["id"], one["nodes"][0]["html"], one["nodes"][0].get("failureSummary"))
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def first_paint_ms(page: Page, shows: str) -> float:
    """The median of several loads of the page, the one before this call among them: of the best of several tries on a busy machine.

    shows: what is to be there before it is loaded anew.
    """
    best = float("inf")
    for attempt in range(TRIES):
        paints: list[float] = []
        while len(paints) < LOADS:
            if paints or attempt:
                page.reload()
            paints.append(float(page.evaluate(_PAINT)))
            page.locator(shows).first.wait_for()
        best = min(best, median(paints))
        if best < MOST_MS:
            break
    return best


def is_wider_than_its_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def open_by_keyboard(page: Page) -> None:
    """Open everything that opens, by Enter; what lies above the page closes by Escape, and leaves the focus where it was."""
    for summary in page.locator("summary:visible").all():
        summary.focus()
        details = summary.locator("xpath=..")
        if details.get_attribute("open") is None:
            page.keyboard.press("Enter")
        assert details.get_attribute("open") is not None
        if "confirm" in (details.get_attribute("class") or ""):
            page.keyboard.press("Tab")
            assert details.evaluate("one => one.contains(document.activeElement)")
            page.keyboard.press("Escape")
            assert details.get_attribute("open") is None
            assert summary.evaluate("one => one === document.activeElement")


def pass_by_tab(page: Page) -> None:
    """Press Tab as often as there is something to reach: all of it is, in the order in which it stands, and shows that it has the focus.

    Then back by Shift and Tab, from the last.
    """
    there = page.evaluate(_WATCH, _CLICKABLE)
    last, back = len(there) - 1, min(BACK, len(there) - 1)
    page.evaluate("document.activeElement.blur(); known[0].focus()")
    _hold(page, "Tab", last)
    passed = page.evaluate("passed.splice(0)")
    assert [there[place] for place, is_seen in passed if not is_seen] == []
    assert [there[place] for place, _ in passed] == there
    page.keyboard.down("Shift")
    _hold(page, "Tab", back)
    page.keyboard.up("Shift")
    assert [place for place, _ in page.evaluate("passed")] == list(range(last - 1, last - 1 - back, -1))


def _hold(page: Page, key: str, times: int) -> None:
    """A key that is held down repeats."""
    for _ in range(times):
        page.keyboard.down(key)
    page.keyboard.up(key)


def focus_is_kept(page: Page) -> None:
    """Every live part is replaced while something in it has the focus, as it is now and then by itself: the same has it afterwards."""
    lost = page.evaluate(
        """async (selector) => {
          window.isStill = false;
          const lost = [];
          for (const { id } of document.querySelectorAll('[hx-get]')) {
            const within = () => [...document.getElementById(id).querySelectorAll(selector)];
            for (const place of new Set([0, within().length >> 1, within().length - 1])) {
              const before = within()[place];
              if (!before) continue;
              before.focus();
              const live = document.getElementById(id);
              const select = live.getAttribute('hx-select') ?? undefined;
              await htmx.ajax('GET', live.getAttribute('hx-get'), { target: live, swap: 'outerHTML', select });
              const after = document.activeElement;
              if (before.isConnected || after.textContent !== before.textContent) lost.push(before.outerHTML);
            }
          }
          return lost;
        }""",
        _CLICKABLE,
    )
    assert lost == []


def tab_to(page: Page, target: Locator, most: int = 80) -> None:
    """Press Tab until the target has the focus; from the top of a page past what is on all of them, as people do who know it."""
    if page.evaluate("document.activeElement === document.body && document.querySelector('.skip') !== null"):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.skip')"):
            page.keyboard.press("Enter")
    for _ in range(most):
        if target.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("Tab does not reach it")


def press_on(page: Page, target: Locator) -> None:
    """Do by keyboard alone what a click does: press Tab until the target has the focus, then Enter."""
    tab_to(page, target)
    page.keyboard.press("Enter")
