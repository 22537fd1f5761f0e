"""The labelling page over plain HTTP: who may answer, what they are shown, and what counts."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import samples
from tests.integration.test_pages import HTML, browser_of
from tests.jobs import Job
from tests.servers import RunningServer

OPTIONS = ["cat", "cup"]


@pytest.fixture
def job(shell: RunningServer, tmp_path: Path) -> Job:
    files = [[samples.photo(name)] for name in ("chelsea.png", "coffee.png")]
    return Job(shell, "classification", "What is it?", files, options=OPTIONS, responses_per_datapoint=2)


@contextmanager
def person(shell: RunningServer, job: Job, link: str, name: str) -> Iterator[httpx2.Client]:
    """Somebody who came by the link and said a name. Paths are those below the order's."""
    with httpx2.Client(headers={**HTML, "Origin": shell.base_url}, timeout=30, trust_env=False) as client:
        came = client.get(link)
        assert (came.status_code, came.headers["location"]) == (303, f"/label/{job.id}")
        client.base_url = f"{shell.base_url}/label/{job.id}"
        assert client.post("/join", data={"name": name}).status_code == 303
        yield client


def tasks(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/tasks", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def answer(client: httpx2.Client, task: dict[str, Any], said: Any) -> httpx2.Response:
    return client.post(
        "/answers", json={"lease_id": task["lease_id"], "seq": task["seq"], "answer": said, "elapsed_ms": 5}
    )


def test_whoever_was_not_invited_sees_and_says_nothing(shell: RunningServer, job: Job) -> None:
    place = f"{shell.base_url}/label/{job.id}"
    with httpx2.Client(headers={**HTML, "Origin": shell.base_url}, trust_env=False) as nobody:
        assert nobody.get(place).headers["location"] == f"/ui/sign-in?next=/label/{job.id}"
        assert nobody.get(f"{place}?invitation=guessed").status_code == 404
        for path in ("tasks", "leases", "answers", "skips", "undo"):
            refused = nobody.post(f"{place}/{path}", json={}, headers={"Accept": "application/json"})
            assert refused.status_code in (401, 422)
        assert nobody.post(f"{place}/join", data={"name": "Eve"}).headers["location"].startswith("/ui/sign-in")
        assert nobody.get(f"{shell.base_url}/label/order_never").status_code == 404


def test_the_link_is_exchanged_for_a_cookie_that_only_the_page_gets(shell: RunningServer, job: Job) -> None:
    with httpx2.Client(headers=HTML, trust_env=False) as client:
        cookie = client.get(job.link()).headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", f"path=/label/{job.id}"} <= {part.strip() for part in cookie.split(";")}


def test_a_forged_cookie_and_one_of_another_order_open_nothing(shell: RunningServer, job: Job) -> None:
    other = Job(shell, "free_text", "Say it.", [["a text"]])
    link = job.link()
    with person(shell, job, link, "Anna") as anna:
        secret = anna.cookies["amends_label"]
        annotator, _, seal = secret.partition(".")
    token = link.partition("invitation=")[2]
    made = hmac.new(sha256(token.encode()).digest(), f"{job.id} {annotator}".encode(), sha256).hexdigest()
    for forged in (
        f"{annotator}.{made}",
        f"{annotator}.{seal[::-1]}",
        f"{annotator[:-1]}x.{seal}",
        annotator,
        ".",
        "x.y",
    ):
        headers = {**HTML, "Origin": shell.base_url, "Cookie": f"amends_label={forged}"}
        assert (
            httpx2.post(f"{shell.base_url}/label/{job.id}/tasks", json={}, headers=headers, trust_env=False).status_code
            == 401
        )
    headers = {**HTML, "Origin": shell.base_url, "Cookie": f"amends_label={secret}"}
    other.link()
    assert (
        httpx2.post(f"{shell.base_url}/label/{other.id}/tasks", json={}, headers=headers, trust_env=False).status_code
        == 401
    )


def test_an_answer_counts_once_however_often_it_is_sent(shell: RunningServer, job: Job) -> None:
    with person(shell, job, job.link(), "Anna") as anna:
        first, second = tasks(anna)["tasks"]
        assert answer(anna, first, "cat").json()["recorded"] is True
        again = answer(anna, first, "cup").json()
        assert (again["recorded"], again["mine"]) == (True, 1)
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(lambda _: answer(anna, second, "cup"), range(4)))
        assert {one.status_code for one in said} == {200}
        assert {one.json()["recorded"] for one in said} == {True}
        assert tasks(anna) == {"state": "waiting", "done": 0, "total": 2, "mine": 2, "held": [], "tasks": []}
    assert job.shown()["counts"]["responses"] == 2
    assert [line["responses"][0]["answer"] for line in job.results()["data"]] == ["cat", "cup"]


def test_nobody_answers_under_somebody_elses_lease(shell: RunningServer, job: Job) -> None:
    link = job.link()
    with person(shell, job, link, "Anna") as anna, person(shell, job, link, "Ben") as ben:
        task = tasks(anna)["tasks"][0]
        assert answer(ben, task, "cat").json()["recorded"] is False
        assert ben.post("/leases", json={"lease_ids": [task["lease_id"]]}).json() == {"held": []}
        skipped = ben.post("/skips", json={"lease_id": task["lease_id"], "seq": task["seq"], "reason": "mine now"})
        assert skipped.json()["recorded"] is False
        assert answer(anna, task, "cat").json()["recorded"] is True
    assert job.shown()["counts"]["responses"] == 1


def test_a_page_that_is_loaded_anew_goes_on_with_its_tasks(shell: RunningServer, job: Job) -> None:
    with person(shell, job, job.link(), "Anna") as anna:
        before = tasks(anna)
        assert tasks(anna, held=before["held"])["held"] == before["held"]
        assert tasks(anna, held=["tl_never"])["tasks"] == []


@pytest.mark.parametrize("said", ["dog", 0, None, ["cat"], {"x": 1}])
def test_what_is_no_answer_is_refused_and_the_task_stays(shell: RunningServer, job: Job, said: Any) -> None:
    with person(shell, job, job.link(), "Anna") as anna:
        task = tasks(anna)["tasks"][0]
        refused = anna.post(
            "/answers",
            json={"lease_id": task["lease_id"], "seq": task["seq"], "answer": said},
            headers={"Accept": "application/json"},
        )
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
        assert answer(anna, task, "cat").json()["recorded"] is True


def test_another_sites_page_answers_nothing(shell: RunningServer, job: Job) -> None:
    with person(shell, job, job.link(), "Anna") as anna:
        task = tasks(anna)["tasks"][0]
        anna.headers["Origin"] = "https://evil.example"
        assert answer(anna, task, "cat").status_code == 403
    assert job.shown()["counts"]["responses"] == 0


def test_a_name_that_is_taken_is_taken_over_by_its_code_only(shell: RunningServer, job: Job) -> None:
    link = job.link()
    with person(shell, job, link, "Anna") as anna:
        task = tasks(anna)["tasks"][0]
        answer(anna, task, "cat")
        code = re.search(
            r"<strong class=\"n\">([A-Z2-7]{4}-[A-Z2-7]{4})<", anna.get(f"{shell.base_url}/label/{job.id}").text
        )
    assert code
    place = f"{shell.base_url}/label/{job.id}"
    with httpx2.Client(headers={**HTML, "Origin": shell.base_url}, trust_env=False) as other:
        other.get(link)
        for name in ("Anna", "  Anna ", "", " "):
            assert other.post(f"{place}/join", data={"name": name, "again": "yes"}).status_code == 200
        assert "is called Anna already" in other.post(f"{place}/join", data={"name": "Anna"}).text
        assert "not the code of Anna" in other.post(f"{place}/join", data={"name": "Anna", "code": "AAAA-AAAA"}).text
        said = code[1].lower().replace("-", " ")
        assert other.post(f"{place}/join", data={"name": "Anna", "code": said}).status_code == 303
        assert other.post(f"{place}/tasks", json={}).json()["mine"] == 1


def test_whoever_guesses_codes_is_slowed(shell: RunningServer, job: Job) -> None:
    with person(shell, job, job.link(), "Anna") as anna:
        said = [anna.post("/join", data={"name": "Anna", "code": f"{n:08}"}).status_code for n in range(8)]
    assert said[:6] == [200] * 6
    assert 429 in said


def test_two_who_say_the_same_name_at_once_are_not_the_same(shell: RunningServer, job: Job) -> None:
    link = job.link()

    def come(_: int) -> int:
        with httpx2.Client(headers={**HTML, "Origin": shell.base_url}, timeout=30, trust_env=False) as client:
            client.get(link)
            return client.post(f"{shell.base_url}/label/{job.id}/join", data={"name": "Twin"}).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(come, range(4))) == [200, 200, 200, 303]


def test_half_a_letter_and_a_task_without_bounds_are_refused(shell: RunningServer) -> None:
    job = Job(shell, "free_text", "Say it.", [["a text"]])
    with person(shell, job, job.link(), "Anna") as anna:
        task = tasks(anna)["tasks"][0]
        lease = task["lease_id"]
        for body in (
            f'{{"lease_id": "{lease}", "seq": 1, "answer": "\\ud800"}}',
            f'{{"lease_id": "x", "seq": 1{"0" * 30}, "answer": 1}}',
        ):
            refused = anna.post("/answers", content=body, headers={"Content-Type": "application/json"})
            assert refused.status_code == 422, refused.text
        assert answer(anna, task, "a word").json()["recorded"] is True


def test_pictures_come_in_parts_and_only_those_of_the_order(shell: RunningServer, job: Job) -> None:
    other = Job(shell, "classification", "Other?", [[samples.photo("rocket.jpg")]], options=OPTIONS)
    link = job.link()
    with person(shell, job, link, "Anna") as anna, person(shell, other, other.link(), "Ben") as ben:
        address = tasks(anna)["tasks"][0]["media"][0]["url"]
        part = anna.get(f"{shell.base_url}{address}", headers={"Range": "bytes=0-9"})
        assert (part.status_code, len(part.content)) == (206, 10)
        assert "sandbox" in part.headers["content-security-policy"]
        foreign = tasks(ben)["tasks"][0]["media"][0]["url"].replace(other.id, job.id)
        assert anna.get(f"{shell.base_url}{foreign}").status_code == 404
        assert httpx2.get(f"{shell.base_url}{address}", headers={"Accept": "*/*"}, trust_env=False).status_code == 401


def test_what_is_private_is_shown_to_nobody_who_answers(shell: RunningServer) -> None:
    job = Job(shell, "free_text", "Say it.", [["a text"]], private_metadata={"diagnosis": "secret-7"})
    with person(shell, job, job.link(), "Anna") as anna:
        assert "secret-7" not in anna.post("/tasks", json={}).text
        assert "secret-7" not in anna.get(f"{shell.base_url}/label/{job.id}").text


def test_another_workspace_sees_neither_orders_nor_datasets(shell: RunningServer, job: Job) -> None:
    order = job.shown()
    with browser_of(shell) as owner, browser_of(shell, shell.new_key("owner", workspace="elsewhere")) as stranger:
        picture = (
            owner.get(f"/ui/datasets/{order['dataset_id']}").text.partition('src="/ui/thumbnails')[2].partition('"')[0]
        )
        for path in (f"/ui/orders/{job.id}", f"/ui/datasets/{order['dataset_id']}", f"/ui/thumbnails{picture}",
                     f"/ui/orders/{job.id}/progress", f"/ui/orders/{job.id}/results.csv"):  # fmt: skip
            assert owner.get(path).status_code == 200, path
            assert stranger.get(path).status_code == 404, path
        for change in ("run", "pause", "cancel", "invitations", "annotators"):
            assert stranger.post(f"/ui/orders/{job.id}/{change}", data={"model": "local/echo"}).status_code in (
                404,
                422,
            )
        assert job.id not in stranger.get("/ui/orders").text
        assert stranger.get(f"/label/{job.id}").status_code == 303


def test_an_order_that_was_left_behind_is_run_paused_and_cancelled(shell: RunningServer) -> None:
    job = Job(shell, "free_text", "Say it.", [["a text"], ["another"]], run=False)
    with browser_of(shell) as owner:
        assert "It has not begun" in owner.get(f"/ui/orders/{job.id}").text
        for change, status in (("run", "running"), ("pause", "paused"), ("run", "running"), ("cancel", "cancelled")):
            assert owner.post(f"/ui/orders/{job.id}/{change}").headers["location"] == f"/ui/orders/{job.id}"
            assert job.shown()["status"] == status
        assert owner.post(f"/ui/orders/{job.id}/run").status_code == 409
        made = owner.post(f"/ui/orders/{job.id}/invitations", data={"once": "a" * 32})
        assert f"/label/{job.id}?invitation=" in made.text
    with browser_of(shell, shell.new_key("viewer")) as viewer:
        assert viewer.post(f"/ui/orders/{job.id}/cancel").status_code == 403
        assert "/cancel" not in viewer.get(f"/ui/orders/{job.id}").text


def test_many_answers_are_shown_without_putting_all_of_them_together(
    shell: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(shell, "classification", "Which?", [[f"text {n}"] for n in range(60)], options=OPTIONS)
    with person(shell, job, job.link(), "Anna") as anna:
        for _ in range(3):
            answer(anna, tasks(anna)["tasks"][0], "cat")
    with browser_of(shell) as owner:
        place = f"/ui/orders/{job.id}"
        whole = owner.get(place).text
        assert "Answers, by datapoints" in whole
        assert (whole.count('data-name="Who said what"'), whole.count("Anna: cat")) == (50, 3)
        assert owner.get(f"{place}?after=50").text.count('data-name="Who said what"') == 10
        assert 'href="?after=50"' in whole
        monkeypatch.setattr("amends.web.orders._MOST_SUMMED", 2)
        rough = owner.get(place).text
        assert "Answers given" in rough
        assert "3 of 180, from" in rough
        assert (rough.count('data-name="Who said what"'), rough.count("Anna: cat")) == (50, 3)
