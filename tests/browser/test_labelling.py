"""People label: in browsers of their own, beside a model, with dropped tabs and dropped connections, by keys, mouse and touch."""

from __future__ import annotations

import re
import wave
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx2
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PHONE, NewContext, sign_in, watching
from tests.browser.looking import is_wider_than_its_window, press_on, serious, tab_to
from tests.browser.people import is_done, join, next_photo, press, seen
from tests.browser.photos import KINDS, kind_of, photos
from tests.jobs import Job
from tests.servers import RunningServer, server_process


def look_and_answer(page: Page, *, wrong: bool = False) -> bool:
    """Press the key of what the next photo shows, or of another option; False where there is no photo now."""
    name = next_photo(page)
    if name:
        right = KINDS.index(kind_of(name))
        page.keyboard.press(str((right + wrong) % len(KINDS) + 1))
    return bool(name)


@pytest.mark.timeout(400)
def test_two_people_and_a_model_label_sixty_photos_to_the_end(
    new_context: NewContext, site: RunningServer, tmp_path: Path
) -> None:
    truth = photos(tmp_path, 60)
    job = Job(site, "classification", "What is in the photo?", [[tmp_path / name] for name in truth], options=KINDS,
              responses_per_datapoint=3, time_limit_seconds=4)  # fmt: skip
    job.add_model("local/image-labels")
    link = job.link()
    home, away = new_context(), new_context(PHONE, has_touch=True)
    anna, ben = join(home, link, "Anna"), join(away, link, "Ben")
    for page in (anna, ben):
        assert "invitation" not in page.url
        assert not is_wider_than_its_window(page)
    assert serious(ben) == []
    # Zoe goes with her tasks, which come back to the others; Ben's tab is closed, and he goes on in another one.
    gone = new_context()
    join(gone, link, "Zoe")
    gone.close()
    ben.close()
    ben = away.new_page()
    ben.goto(link)
    left = work(home, anna, ben)
    expect(anna.locator('[data-part="nothing"]')).to_contain_text("Done", timeout=60_000)
    assert left == 0
    shown, results = job.shown(), job.results()
    with site.client() as api:
        [run] = [one for one in api.get("/v1/runs").json()["data"] if one["kind"] == "annotate"]
        assert api.post(f"/v1/runs/{run['id']}/retry").status_code == 409
    assert (shown["status"], shown["counts"]["tasks_done"], shown["counts"]["responses"]) == ("completed", 60, 180)
    check(results, truth)
    look_at_results(new_context, site, job)


def work(home: BrowserContext, anna: Page, ben: Page) -> int:
    """Both answer until nothing is left for either; Anna's connection is gone for a while. How many answers never arrived."""
    for number in range(400):
        if number == 5:
            answer_without_connection(home, anna)
        busy = look_and_answer(anna), look_and_answer(ben, wrong=number % 9 == 0)  # Ben errs now and then
        if not any(busy):
            if is_done(anna) and is_done(ben):
                break
            anna.wait_for_timeout(100)
    return len(
        anna.evaluate(
            "JSON.parse(Object.entries(localStorage).find(([key]) => key.startsWith('amends:'))?.[1] ?? '[]')"
        )
    )


def answer_without_connection(home: BrowserContext, page: Page) -> None:
    """What is answered meanwhile is kept and sent later."""
    expect(page.locator("#label")).to_have_attribute("data-ahead", "2")
    home.set_offline(True)
    assert look_and_answer(page)
    expect(page.locator('[data-part="connection"]')).to_contain_text("kept here")
    assert look_and_answer(page)
    expect(page.locator('[data-part="connection"]')).to_contain_text("2 answers are kept here")
    home.set_offline(False)
    expect(page.locator('[data-part="connection"]')).to_be_hidden(timeout=20_000)


def check(results: dict, truth: dict[str, str]) -> None:  # type: ignore[type-arg]
    counts = {one["name"]: one["responses"] for one in results["annotators"]}
    assert counts == {"Anna": 60, "Ben": 60, "local/image-labels": 60, "Zoe": 0}
    names = {one["id"]: one["name"] for one in results["annotators"] if one["responses"]}
    answers = {}
    for line in results["data"]:
        assert Counter(names[one["annotator_id"]] for one in line["responses"]) == Counter(names.values())
        answers[line["assets"][0]] = line["answer"]
    right = sum(answers[name] == what for name, what in truth.items())
    assert right >= 55
    assert 0 < results["agreement"]["percent"] < 1
    weights = {one["name"]: one["weight"] for one in results["annotators"]}
    assert weights["Anna"] > weights["local/image-labels"]


def look_at_results(new_context: NewContext, site: RunningServer, job: Job) -> None:
    page = new_context().new_page()
    sign_in(page, site)
    page.goto(job.page)
    expect(page.locator("main")).to_contain_text("of all pairs of answers", ignore_case=True)
    expect(page.locator("figure.plot")).to_have_count(2)
    expect(page.get_by_role("table", name="Agreement of each two")).to_be_visible()
    assert page.locator("td .thumb img").count() == 50
    assert serious(page) == []
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert not is_wider_than_its_window(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text().count("\n") >= 61


@pytest.fixture
def coffee(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in photos(tmp_path, 4)]


def test_an_answer_is_taken_back_and_a_task_skipped_with_a_reason_by_keyboard_alone(
    new_context: NewContext, site: RunningServer, coffee: list[Path]
) -> None:
    job = Job(
        site, "classification", "What is it?", [[each] for each in coffee], options=KINDS, responses_per_datapoint=1
    )
    page = join(new_context(), job.link(), "Cleo")
    zoom_and_pan_by_keyboard(page)
    first = seen(page)
    press(page, "4")
    assert seen(page) != first
    page.keyboard.press("u")
    expect(page.locator(".stage").first).to_have_attribute("aria-label", re.compile(re.escape(first)))
    expect(page.get_by_role("button", name="person")).to_have_attribute("aria-pressed", "true")
    press_on(page, page.get_by_role("button", name="animal"))
    expect(page.locator(".stage").first).not_to_have_attribute("aria-label", re.compile(re.escape(first)))
    second = seen(page)
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert seen(page) == second
    page.keyboard.press("s")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".stage").first).not_to_have_attribute("aria-label", re.compile(re.escape(second)))
    for _ in range(2):
        press(page, "3")
    expect(page.locator('[data-part="nothing"]')).to_contain_text("Nothing for you")
    lines = {line["assets"][0]: line for line in job.results()["data"]}
    assert lines[first]["answer"] == "animal"
    assert [skip["reason"] for skip in lines[second]["skips"]] == ["no answer fits"]


def zoom_and_pan_by_keyboard(page: Page) -> None:
    """Of the picture on the screen; in the end it is as it was."""
    fitted = page.locator(".sheet-of-points").bounding_box()
    assert fitted is not None
    tab_to(page, page.locator(".stage"))
    for key in ("+", "+", "+", "+", "Shift+ArrowRight"):
        page.keyboard.press(key)
    moved = page.locator(".sheet-of-points").bounding_box()
    assert moved is not None
    assert moved["width"] > 2 * fitted["width"]
    assert moved["x"] + moved["width"] / 2 < fitted["x"] + fitted["width"] / 2 - 20
    page.keyboard.press("0")
    assert page.locator(".sheet-of-points").bounding_box() == fitted


def test_points_are_set_by_mouse_by_touch_and_by_keyboard(
    new_context: NewContext, site: RunningServer, coffee: list[Path]
) -> None:
    job = Job(site, "locate", "Point at the middle.", [[each] for each in coffee[:3]], responses_per_datapoint=1)
    context = new_context(PHONE, has_touch=True)
    page = join(context, job.link(), "Dora")
    submit = page.locator('[data-part="submit"]')
    expect(submit).to_be_disabled()
    # Zoomed in and moved, the middle of the stage is still a place of the picture.
    page.locator(".stage").click()
    expect(submit).to_have_text("Submit 1 point")
    page.get_by_role("button", name="Take point 1 away").click()
    page.get_by_role("button", name="Zoom in").click()
    page.locator(".stage").click()
    submit.click()
    expect(submit).to_have_text("Set a point first")
    page.locator(".stage").tap()
    submit.tap()
    expect(submit).to_have_text("Set a point first")
    page.locator(".stage").focus()
    for key in [
        "ArrowRight",
        "ArrowLeft",
        "ArrowDown",
        "ArrowUp",
        "Space",
        "Shift+ArrowRight",
        "Space",
        "Backspace",
        "Enter",
    ]:
        page.keyboard.press(key)
    expect(page.locator('[data-part="nothing"]')).to_contain_text("Done")
    for line in job.results()["data"]:
        [point] = line["responses"][0]["answer"]
        assert abs(point["x"] - 0.5) < 0.02
        assert abs(point["y"] - 0.5) < 0.02


def test_two_pictures_are_compared_side_by_side(
    new_context: NewContext, site: RunningServer, coffee: list[Path]
) -> None:
    job = Job(site, "compare", "Which is nicer?", [coffee[:2], coffee[2:]], responses_per_datapoint=1)
    page = join(new_context(), job.link(), "Emil")
    boxes = [stage.bounding_box() for stage in page.locator(".stage").all()]
    assert len(boxes) == 2
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    assert serious(page) == []
    press(page, "2")
    press(page, "1")
    expect(page.locator('[data-part="nothing"]')).to_contain_text("Done")
    assert [line["answer"] for line in job.results()["data"]] == [1, 0]


def test_two_fingers_zoom_the_picture_between_them_and_set_no_point(
    new_context: NewContext, site: RunningServer, coffee: list[Path]
) -> None:
    job = Job(site, "locate", "Point at the middle.", [[coffee[0]]], responses_per_datapoint=1)
    context = new_context(PHONE, has_touch=True)
    page = join(context, job.link(), "Ina")
    page.wait_for_function("() => document.querySelector('.sheet-of-points').clientWidth > 0")
    stage, before = page.locator(".stage").bounding_box(), page.locator(".sheet-of-points").bounding_box()
    assert stage is not None
    assert before is not None
    x, y = stage["x"] + stage["width"] / 2 - 20, stage["y"] + stage["height"] / 2
    touch = context.new_cdp_session(page)
    for kind, spread in [("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchMove", 120)]:
        fingers = [{"x": x, "y": y, "id": 0}, {"x": x + spread, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    after = page.locator(".sheet-of-points").bounding_box()
    assert after is not None
    assert abs(after["width"] / before["width"] - 3) < 0.1
    # Each finger stays on what it lies on: the one that rests, and the one that went from 40 pixels beside it to 120.
    for was, now in ((x, x), (x + 40, x + 120)):
        assert abs((was - before["x"]) / before["width"] - (now - after["x"]) / after["width"]) < 0.02
    expect(page.locator('[data-part="submit"]')).to_have_text("Set a point first")
    page.touchscreen.tap(x, y)
    expect(page.locator('[data-part="submit"]')).to_have_text("Submit 1 point")


def test_video_and_sound_are_played_by_key(new_context: NewContext, site: RunningServer, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "tone.wav"), "wb") as tone:
        tone.setparams((1, 2, 8_000, 0, "NONE", ""))
        tone.writeframes(bytes(8 * 16_000))
    media = [[film(tmp_path / "film.webm")], [tmp_path / "tone.wav"]]
    job = Job(site, "free_text", "What happens?", media, responses_per_datapoint=1)
    context = new_context()
    page = join(context, job.link(), "Hal")
    for kind in ("video", "audio"):
        player = page.locator(kind)
        page.wait_for_function(f"() => document.querySelector('{kind}')?.readyState >= 1")
        assert abs(player.evaluate("one => one.duration") - 8) < 0.5
        expect(player).to_have_attribute("aria-label", re.compile("film|tone"))
        assert {"play", "mute"} <= named_controls(context, page)
        tab_to(page, player)
        page.keyboard.press("p")
        page.wait_for_function(f"() => document.querySelector('{kind}').currentTime > 0")
        page.keyboard.press("p")
        assert player.evaluate("one => one.paused")
        at = player.evaluate("one => one.currentTime")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"(at) => Math.abs(document.querySelector('{kind}').currentTime - at - 2) < 0.1", arg=at)
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(f"(at) => Math.abs(document.querySelector('{kind}').currentTime - at) < 0.1", arg=at)
        tab_to(page, page.get_by_label("Your answer"))
        page.keyboard.type("It gets lighter.")
        page.keyboard.press("Control+Enter")
    expect(page.locator('[data-part="nothing"]')).to_contain_text("Done")
    assert [line["answer"] for line in job.results()["data"]] == ["It gets lighter."] * 2


def film(path: Path) -> Path:
    """Eight seconds of VP8 in WebM."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 5, (160, 120))
    assert writer.isOpened()
    for number in range(40):
        writer.write(np.full((120, 160, 3), 6 * number, np.uint8))
    writer.release()
    return path


def named_controls(context: BrowserContext, page: Page) -> set[str]:
    """What the buttons and sliders of the page are called to who does not see them; none is nameless."""
    told = context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [one for one in told if one.get("role", {}).get("value") in ("button", "slider") and not one["ignored"]]
    names = [str(one["name"]["value"]) for one in controls]
    assert "" not in names
    return set(names)


def test_words_are_written_and_a_tab_that_is_closed_loses_none(new_context: NewContext, site: RunningServer) -> None:
    texts = ["Ein Satz.", "Another <b>one</b>."]
    job = Job(site, "free_text", "Say it in English.", [[text] for text in texts], responses_per_datapoint=1)
    context = new_context()
    page = join(context, job.link(), "Fee")
    expect(page.locator("blockquote")).to_have_text(texts[0])
    page.keyboard.type("A sentence, usually.")  # the field has the focus
    context.set_offline(True)
    page.keyboard.press("Control+Enter")
    expect(page.locator('[data-part="connection"]')).to_contain_text("1 answer is kept here")
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(f"{site.base_url}/label/{job.id}")
    expect(page.locator("blockquote")).to_have_text(texts[1])
    page.keyboard.type("Another one, too: sun")
    press_on(page, page.get_by_role("button", name="Submit"))
    expect(page.locator('[data-part="nothing"]')).to_contain_text("Done")
    assert [line["answer"] for line in job.results()["data"]] == ["A sentence, usually.", "Another one, too: sun"]


@dataclass(frozen=True)
class Remote:
    """A server process as jobs are made on it."""

    base_url: str
    key: str

    def client(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.Client(base_url=self.base_url, headers=headers, timeout=30, trust_env=False, verify=False)


def test_a_server_that_is_killed_costs_nobody_an_answer(new_context: NewContext, tmp_path: Path) -> None:
    with server_process(tmp_path / "data") as first:
        site = Remote(first.base_url, first.key)
        texts = [[f"Text {number}"] for number in range(4)]
        job = Job(site, "classification", "Which?", texts, options=["a", "b"], responses_per_datapoint=1)
        page = join(new_context(), job.link(), "Ida")
        press(page, "1")
        expect(page.locator('[data-part="counts"]')).to_contain_text("1 answered by you")
        expect(page.locator("#label")).to_have_attribute("data-ahead", "2")
        first.kill()
        press(page, "2")
        expect(page.locator('[data-part="connection"]')).to_contain_text("1 answer is kept here")
    with server_process(tmp_path / "data", port=int(site.base_url.rpartition(":")[2])):
        expect(page.locator('[data-part="connection"]')).to_be_hidden()
        for key in ("1", "2"):
            press(page, key)
        expect(page.locator('[data-part="nothing"]')).to_contain_text("Done")
        said = [[one["answer"] for one in line["responses"]] for line in job.results()["data"]]
        assert said == [["a"], ["b"], ["a"], ["b"]]


def test_a_link_from_before_opens_nothing(new_context: NewContext, site: RunningServer, coffee: list[Path]) -> None:
    job = Job(site, "classification", "And this?", [[coffee[0]]], options=KINDS, responses_per_datapoint=2)
    old = job.link()
    page = join(new_context(), old, "Gil")
    job.link()
    page.goto(f"{site.base_url}/label/{job.id}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_answer_of_somebody_whose_link_was_replaced_counts_once_they_come_by_the_new_one(
    chromium: Browser, site: RunningServer
) -> None:
    with watching(chromium) as (make, errors):
        job = Job(site, "classification", "Which?", [["a text"]], options=["a", "b"], responses_per_datapoint=1)
        page = join(make(), job.link(), "Kim")
        page.get_by_text("Keys", exact=True).click()
        code = page.locator(".keys strong").inner_text()
        link = job.link()
        page.keyboard.press("2")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert job.results()["responses"] == 0
        page.goto(link)
        for label, said in (("Your name", "Kim"), ("Your code", code)):
            page.get_by_label(label).fill(said)
            page.keyboard.press("Enter")
        expect(page.locator('[data-part="nothing"]')).to_contain_text("Done")
        assert [line["answer"] for line in job.results()["data"]] == ["b"]
        assert all("401" in error for error in errors), errors
