"""Datasets over HTTP: what is taken, what stands then, and what is said of the rest."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from amends.engine import Engine, EngineSettings
from amends.ledger import Ledger
from amends.server.composition import processor_settings
from amends.server.fetches import FetchClerk
from amends.server.housekeeping import Housekeeping
from amends.server.settings import Settings
from amends.server.sweep import BlobSweep
from amends.store import FetchRecord
from tests.engines import until
from tests.hosts import Host, answer, running_host, silent
from tests.pictures import broken_picture, picture
from tests.postgres import database_of
from tests.problem_shape import assert_problem
from tests.servers import RunningServer, running_server

JPEG = "image/jpeg"


def impatient_engine(settings: Settings, ledger: Ledger, data: Path) -> Engine:
    """Two tries an item: what may pass is tried again, and nobody waits long for its end."""
    chosen = EngineSettings(workers=1, max_attempts=2)
    return Engine(ledger, blobs=data / "blobs", processor_settings=processor_settings(settings), settings=chosen)


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory, sql_dialect: str) -> Iterator[RunningServer]:
    """A server that may fetch from this machine, and gives up soon."""
    flags: dict[str, Any] = {"fetch__allow": ("127.0.0.1",), "fetch__total_seconds": 1.0, "engine": impatient_engine}
    with (
        database_of(sql_dialect) as database,
        running_server(tmp_path_factory.mktemp("server") / "data", database=database, **flags) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def client(fetching: RunningServer) -> Iterator[httpx2.Client]:
    with fetching.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with running_host() as running:
        yield running


@pytest.fixture
def dataset(client: httpx2.Client) -> str:
    made = client.post("/v1/datasets", json={"name": uuid4().hex})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/v1/datasets/{made.json()['id']}"
    return str(made.json()["id"])


def text(words: str, **members: Any) -> dict[str, Any]:
    return {"data_type": "text", "assets": [{"text": words}], **members}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def add(client: httpx2.Client, dataset: str, *datapoints: Any, **files: bytes) -> dict[str, Any]:
    """What is answered to an array of datapoints, or to a form of them and files."""
    path = f"/v1/datasets/{dataset}/datapoints"
    if files:
        lines = "\n".join(map(json.dumps, datapoints))
        parts = {"datapoints": (None, lines), **{name: (f"{name}.bin", data) for name, data in files.items()}}
        got = client.post(path, files=parts)  # type: ignore[arg-type]
    else:
        got = client.post(path, json=list(datapoints))
    assert got.status_code == 200, got.text
    body: dict[str, Any] = got.json()
    assert [one["index"] for one in body["data"]] == list(range(len(datapoints)))
    assert sum(body["counts"].values()) == len(datapoints)
    return body


def statuses(body: dict[str, Any]) -> list[str]:
    return [one["status"] for one in body["data"]]


def settled(client: httpx2.Client, body: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """What became of those that were pending."""
    path, end = f"/v1/datasets/{body['dataset_id']}/fetches/{body['run_id']}", time.monotonic() + 60
    while (found := client.get(path).json())["counts"]["pending"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    return {one["index"]: one for one in found["data"]}


def test_a_dataset_is_made_named_listed_and_deleted(client: httpx2.Client, dataset: str) -> None:
    made = client.get(f"/v1/datasets/{dataset}").json()
    assert client.get("/v1/datasets", params={"name": made["name"]}).json()["data"] == [made]
    assert client.get("/v1/datasets", params={"name": "nobody's"}).json()["data"] == []
    assert made in client.get("/v1/datasets").json()["data"]
    twin = client.post("/v1/datasets", json={"name": made["name"]})
    assert assert_problem(twin, "conflict")["error_code"] == "DUPLICATE_DATASET"
    assert client.delete(f"/v1/datasets/{dataset}").json() == {"id": dataset, "object": "dataset", "deleted": True}
    for path in ("", "/datapoints"):
        body = assert_problem(client.get(f"/v1/datasets/{dataset}{path}"), "resource_not_found")
        assert (body["detail"], body["dataset_id"]) == ("Dataset not found", dataset)
    assert client.post("/v1/datasets", json={"name": made["name"]}).status_code == 201


def test_names_that_are_none_are_refused(client: httpx2.Client) -> None:
    for name in ("", " ", "a\nb", "x" * 257, 7, None):
        assert_problem(client.post("/v1/datasets", json={"name": name}), "validation_failed")


def test_a_form_brings_files_and_each_datapoint_stands_with_its_assets(client: httpx2.Client, dataset: str) -> None:
    one, two = picture(1), picture(2, "PNG", side=20)
    given = [
        {"assets": [{"part": "one"}, {"sha256": sha(two), "filename": "deux.png"}], "context": "Which?", "group": "g"},
        {"assets": [{"sha256": sha(two)}], "media_context": [{"part": "one"}], "private_metadata": {"row": 7}},
        text("Words.", answer_options=["yes", "no"]),
    ]
    body = add(client, dataset, *given, one=one, **{sha(two): two})
    assert statuses(body) == ["created"] * 3
    stored = [client.get(f"/v1/datapoints/{one['datapoint_id']}").json() for one in body["data"]]
    assert [asset["filename"] for asset in stored[0]["assets"]] == ["one.bin", "deux.png"]
    first = stored[0]["assets"][0]
    assert (first["sha256"], first["media_type"], first["bytes"]) == (sha(one), JPEG, len(one))
    assert (first["width"], first["height"]) == (32, 32)
    assert (stored[0]["context"], stored[0]["group"], stored[1]["private_metadata"]) == ("Which?", "g", {"row": 7})
    assert (stored[2]["assets"][0]["text"], stored[2]["answer_options"]) == ("Words.", ["yes", "no"])
    assert stored[2]["assets"][0]["content"] is None
    listed = client.get(f"/v1/datasets/{dataset}/datapoints").json()
    assert listed["data"] == stored[::-1]
    page = client.get(f"/v1/datasets/{dataset}/datapoints", params={"limit": 2}).json()
    rest = client.get(f"/v1/datasets/{dataset}/datapoints", params={"after": page["next_cursor"]}).json()
    assert (page["has_more"], [*page["data"], *rest["data"]]) == (True, stored[::-1])


def test_the_bytes_of_an_asset_come_whole_and_in_ranges_and_run_nothing(client: httpx2.Client, dataset: str) -> None:
    shown = picture(3)
    body = add(client, dataset, {"assets": [{"part": "a"}], "media_context": [{"part": "a"}]}, a=shown)
    path = f"/v1/datapoints/{body['data'][0]['datapoint_id']}"
    for place in ("assets/0", "media-context/0"):
        whole = client.get(f"{path}/{place}")
        assert (whole.content, whole.headers["content-type"]) == (shown, JPEG)
        assert "sandbox" in whole.headers["content-security-policy"]
        part = client.get(f"{path}/{place}", headers={"Range": "bytes=2-9"})
        assert (part.status_code, part.content) == (206, shown[2:10])
        assert client.get(f"{path}/{place}", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert_problem(client.get(f"{path}/assets/1"), "resource_not_found")
    words = add(client, dataset, text("<script>alert(1)</script>"))["data"][0]["datapoint_id"]
    said = client.get(f"/v1/datapoints/{words}/assets/0")
    assert (said.text, said.headers["content-type"]) == ("<script>alert(1)</script>", "text/plain; charset=utf-8")


def test_a_content_that_is_here_is_not_sent_again(client: httpx2.Client, fetching: RunningServer, dataset: str) -> None:
    here, other, filed = picture(4), picture(5), picture(6)
    digests = {"sha256": [sha(here), sha(other), sha(filed)]}
    check = f"/v1/datasets/{dataset}/assets/check"
    assert client.post(check, json=digests).json()["known"] == []
    add(client, dataset, {"assets": [{"part": "a"}]}, a=here)
    file_id = client.post("/v1/files", files={"file": ("f.jpg", filed)}).json()["id"]
    assert client.post(check, json=digests).json()["known"] == [sha(here), sha(filed)]
    given = [{"assets": [{"sha256": sha(each)}], "context": "again"} for each in (here, other, filed)]
    body = add(client, dataset, *given)
    assert statuses(body) == ["created", "failed", "created"]
    assert body["data"][1]["problem"]["stage"] == "read"
    same = add(
        client, dataset, {"assets": [{"file_id": file_id}], "context": "again"}, {"assets": [{"file_id": "file_x"}]}
    )
    assert [(one["status"], one["datapoint_id"]) for one in same["data"]] == [
        ("existing", body["data"][2]["datapoint_id"]),
        ("failed", None),
    ]
    assert same["data"][1]["problem"]["error_code"] == "FILE_NOT_FOUND"
    # Nobody else's workspace can find out what is here.
    with fetching.client(fetching.new_key(workspace="strangers")) as stranger:
        theirs = stranger.post("/v1/datasets", json={"name": uuid4().hex}).json()["id"]
        assert stranger.post(f"/v1/datasets/{theirs}/assets/check", json=digests).json()["known"] == []
        assert statuses(add(stranger, theirs, given[0])) == ["failed"]


def test_the_file_of_an_asset_may_go_and_the_asset_stays(
    client: httpx2.Client, fetching: RunningServer, dataset: str
) -> None:
    shown = picture(7)
    file_id = client.post("/v1/files", files={"file": ("f.jpg", shown)}).json()["id"]
    body = add(client, dataset, {"assets": [{"file_id": file_id}]})
    assert client.delete(f"/v1/files/{file_id}").status_code == 200
    assert client.get(f"/v1/datapoints/{body['data'][0]['datapoint_id']}/assets/0").content == shown
    hub = fetching.owner.services
    sweep = BlobSweep(hub, age_seconds=-1.0, settle_seconds=-1.0)
    for _ in range(2):
        sweep.step(folders=256)
    assert hub.blobs.exists(sha(shown))
    client.delete(f"/v1/datasets/{dataset}")
    Housekeeping(hub).tick()
    assert sweep.step(folders=256) + sweep.step(folders=256) > 0
    assert not hub.blobs.exists(sha(shown))


def test_what_cannot_be_shown_fails_alone_with_its_stage(client: httpx2.Client, dataset: str) -> None:
    files = {
        "good": picture(8),
        "broken": broken_picture(9),
        "page": b"<html><body>Log in</body></html>",
        "pdf": b"%PDF-1.7\n" + b"x" * 100,
        "empty": b"",
        "ab" * 32: picture(10),
        "video": b"\0\0\0\x18ftypmp42" + b"\0" * 64,
        "sound": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 64,
    }
    given = [{"assets": [{"sha256": name} if len(name) == 64 else {"part": name}]} for name in files]
    body = add(client, dataset, *given, {"assets": [{"part": "none"}]}, {"assets": [{"part": "good"}, {"part": "pdf"}]},
               **files)  # fmt: skip
    found = dict(zip([*files, "none", "two"], body["data"], strict=True))
    assert {name for name, one in found.items() if one["status"] == "created"} == {"good", "video", "sound"}
    stages = {name: one["problem"]["stage"] for name, one in found.items() if one["problem"]}
    assert stages == {"broken": "decode", "page": "content_type", "pdf": "content_type", "empty": "decode",
                      "ab" * 32: "read", "none": "read", "two": "content_type"}  # fmt: skip
    assert found["two"]["pointer"] == "/assets/1"
    problem = found["broken"]["problem"]
    assert (problem["status"], problem["error_code"]) == (422, "ASSET_UPLOAD_FAILED")
    assert problem["instance"] == f"/v1/datasets/{dataset}/datapoints"
    assert problem["remedy"]["action"] == "fix_input"


@pytest.mark.parametrize(
    ("datapoint", "pointer", "code"),
    [
        ({"assets": []}, "/1/assets", "too_short"),
        ({}, "/1/assets", "missing"),
        ({"assets": [{}]}, "/1/assets/0", "one_asset"),
        ({"assets": [{"text": "a", "url": "https://a.example"}], "data_type": "text"}, "/1/assets/0", "one_asset"),
        ({"assets": [{"text": "a"}]}, "/1", "asset_of_other_type"),
        ({"assets": [{"url": "https://a.example"}], "data_type": "text"}, "/1", "asset_of_other_type"),
        (text("a", context=""), "/1/context", "string_too_short"),
        (text("a", context=" \n"), "/1/context", "string_pattern_mismatch"),
        (text("a", context="b", sentence="c"), "/1", "sentence_and_context"),
        (text("a", media_context=[{"url": "https://a.example"}] * 11), "/1/media_context", "too_long"),
        (text("a", media_context=[{"text": "b"}]), "/1", "text_as_media_context"),
        (text("a", private_metadata={"long": "x" * 20_000}), "/1", "metadata_too_long"),
        (text("a", group=""), "/1/group", "string_too_short"),
        (text("a", answer_options=[]), "/1/answer_options", "too_short"),
        (text("a", data_type="video"), "/1/data_type", "literal_error"),
        (text("a", colour="red"), "/1/colour", "extra_forbidden"),
        (text("a\0b"), "/1", "json_invalid"),
        ("no datapoint", "/1", "model_type"),
    ],
)  # fmt: skip
def test_a_datapoint_that_is_none_fails_alone_and_says_where(
    client: httpx2.Client, dataset: str, datapoint: Any, pointer: str, code: str
) -> None:
    body = add(client, dataset, text("good"), datapoint)
    assert statuses(body) == ["created", "failed"]
    problem = body["data"][1]["problem"]
    assert problem["type"].endswith("/errors/validation_failed")
    assert [(one["pointer"], one["code"]) for one in problem["errors"]] == [(pointer, code)]


def test_what_is_no_call_is_refused_whole(client: httpx2.Client, dataset: str) -> None:
    path = f"/v1/datasets/{dataset}/datapoints"
    assert_problem(client.post(path, json=[]), "validation_failed")
    assert_problem(client.post(path, json={"assets": []}), "validation_failed")
    assert_problem(client.post(path, json=[text("a")] * 10_001), "validation_failed")
    assert_problem(client.post(path, files={"datapoints": (None, "")}), "validation_failed")
    assert_problem(client.post(path, content=b"a,b", headers={"content-type": "text/csv"}), "unsupported_media_type")
    assert_problem(client.post(path, content=b"[{", headers={"content-type": "application/json"}), "malformed_request")
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert_problem(client.post(path, content=b"--x\r\nbroken", headers=form), "malformed_request")
    twice = [("a", b"1"), ("a", b"2")]
    assert_problem(client.post(path, files=twice), "validation_failed")
    assert client.get(f"/v1/datasets/{dataset}").json()["datapoint_count"] == 0


def test_ndjson_with_a_bad_line_keeps_the_others(client: httpx2.Client, dataset: str) -> None:
    lines = b"\n".join([json.dumps(text("a")).encode(), b'{"assets": [', b"", json.dumps(text("b")).encode(), b""])
    head = {"content-type": "application/x-ndjson"}
    got = client.post(f"/v1/datasets/{dataset}/datapoints", content=lines, headers=head).json()
    assert statuses(got) == ["created", "failed", "failed", "created"]


def test_a_form_under_a_key_is_added_once_however_its_contents_come(client: httpx2.Client, dataset: str) -> None:
    shown = picture(11)
    path, key = f"/v1/datasets/{dataset}/datapoints", {"idempotency-key": uuid4().hex}
    line = json.dumps({"assets": [{"sha256": sha(shown)}]})
    first = client.post(path, files={"datapoints": (None, line), sha(shown): ("a", shown)}, headers=key)
    again = client.post(path, content=line, headers={**key, "content-type": "application/x-ndjson"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    other = client.post(path, json=[text("other")], headers=key)
    assert assert_problem(other, "conflict")["error_code"] == "IDEMPOTENCY_CONFLICT"


def test_urls_are_fetched_by_a_run_once_each_and_their_datapoints_stand_or_fail(
    client: httpx2.Client, dataset: str, host: Host
) -> None:
    shown = picture(12)
    host.pages |= {
        "/good.jpg": answer(shown, Content_Type=JPEG),
        "/forbidden": answer(b"no", "403 Forbidden"),
        "/login": answer(b"<html><body>Log in</body></html>", Content_Type="text/html"),
        "/inside": answer(b"", "302 Found", Location="http://10.1.2.3/"),
        "/loop": answer(b"", "302 Found", Location="/loop"),
        "/broken.jpg": answer(broken_picture(13), Content_Type=JPEG),
        "/silent": silent,
    }
    paths = ["/good.jpg", "/forbidden", "/login", "/inside", "/loop", "/broken.jpg", "/silent"]
    given = [{"assets": [{"url": host.url(path)}]} for path in paths]
    given += [
        {"assets": [{"url": host.url("/good.jpg")}, {"part": "local"}], "context": "two"},
        {"assets": [{"part": "local"}], "media_context": [{"url": host.url("/forbidden")}]},
        {"assets": [{"url": "http://127.1/odd"}]},
        {"assets": [{"url": "http://nowhere.invalid/"}]},
        text("at once"),
    ]
    before = host.hits("/good.jpg")
    body = add(client, dataset, *given, local=picture(14))
    assert statuses(body) == ["pending"] * 9 + ["failed", "pending", "created"]
    assert body["data"][9]["problem"]["stage"] == "blocked"
    assert client.get(f"/v1/runs/{body['run_id']}").json()["metadata"] == {"dataset_id": dataset}
    found = settled(client, body)
    assert found.keys() == {index for index, status in enumerate(statuses(body)) if status == "pending"}
    assert [found[index]["status"] for index in (0, 7)] == ["created", "created"]
    failed = {
        index: (one["problem"]["stage"], one["problem"].get("upstream_status"))
        for index, one in found.items()
        if one["problem"]
    }
    assert failed == {1: ("download", 403), 2: ("content_type", 200), 3: ("blocked", None), 4: ("redirect", None),
                      5: ("decode", 200), 6: ("timeout", None), 8: ("download", 403), 10: ("resolve", None)}  # fmt: skip
    assert found[8]["pointer"] == "/media_context/0"
    assert found[1]["problem"]["instance"] == f"/v1/datasets/{dataset}/fetches/{body['run_id']}"
    stands = client.get(f"/v1/datapoints/{found[7]['datapoint_id']}").json()["assets"]
    assert (stands[0]["sha256"], stands[0]["url"], stands[0]["filename"]) == (
        sha(shown),
        host.url("/good.jpg"),
        "good.jpg",
    )
    assert client.get(f"/v1/datapoints/{found[7]['datapoint_id']}/assets/0").content == shown
    assert host.hits("/good.jpg") == before + 1
    # What is known of a URL is not asked again, and what stands is found by it.
    again = add(client, dataset, given[0], {**given[0], "context": "another"})
    assert [(one["status"], one["datapoint_id"] == found[0]["datapoint_id"]) for one in again["data"]] == [
        ("existing", True),
        ("created", False),
    ]
    assert host.hits("/good.jpg") == before + 1
    refused = client.post(f"/v1/runs/{body['run_id']}/retry")
    assert assert_problem(refused, "conflict")["error_code"] == "INVALID_STATE"


def test_a_dataset_that_is_deleted_takes_its_fetches_along(
    client: httpx2.Client, fetching: RunningServer, dataset: str, host: Host
) -> None:
    host.pages["/never"] = silent
    body = add(client, dataset, {"assets": [{"url": host.url("/never")}]}, {"assets": [{"part": "a"}]}, a=picture(15))
    client.delete(f"/v1/datasets/{dataset}")
    end = time.monotonic() + 60
    while client.get(f"/v1/runs/{body['run_id']}").json()["status"] != "cancelled":
        assert time.monotonic() < end
        time.sleep(0.05)
    store = fetching.owner.services.store
    while any(fetch.run_id == body["run_id"] for fetch in store.fetches.unsettled()):
        assert time.monotonic() < end
        time.sleep(0.05)
    Housekeeping(fetching.owner.services).tick()
    assert dataset not in store.datasets.deleted()
    assert store.datasets.used([sha(picture(15))]) == set()


def test_what_was_fetched_for_a_dataset_that_is_gone_is_nobodys(
    client: httpx2.Client, fetching: RunningServer, dataset: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.pages["/late.jpg"] = answer(picture(16), Content_Type="image/jpeg")
    body = add(client, dataset, {"assets": [{"url": host.url("/late.jpg")}]})
    services = fetching.owner.services
    workspace_id = services.default_workspace_id
    end = time.monotonic() + 60
    while (fetch := services.store.fetches.get(workspace_id, body["run_id"])) and fetch.settled_at is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert fetch
    urls = services.store.fetches.urls

    def deleted_meanwhile(run_id: str, seqs: Any) -> dict[int, str]:
        found = urls(run_id, seqs)
        client.delete(f"/v1/datasets/{dataset}")
        Housekeeping(services).tick()
        return found

    monkeypatch.setattr(services.store.fetches, "urls", deleted_meanwhile)
    FetchClerk(services)._take_over(replace(fetch, read_to=-1))
    assert services.store.datasets.used([sha(picture(16))]) == set()


def test_a_fetch_that_cannot_be_seen_to_does_not_keep_the_others(
    fetching: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clerk, seen = FetchClerk(fetching.owner.services), list[str]()
    fetches = [FetchRecord(name, "ds_gone", "ws_gone", -1, None, 1.0) for name in ("stuck", "fine")]

    def see_to(fetch: FetchRecord) -> None:
        seen.append(fetch.run_id)
        if fetch.run_id == "stuck":
            raise OSError("not this one")

    monkeypatch.setattr(clerk, "see_to", see_to)
    monkeypatch.setattr(clerk, "_rest_seconds", 3_600.0)
    with monkeypatch.context() as given:
        given.setattr(fetching.owner.services.store.fetches, "unsettled", lambda: fetches)
        assert clerk._look_at_all()
        assert clerk._look_at_all()
    assert seen == ["stuck", "fine", "fine"]


def test_bodies_are_not_held_without_bounds(
    client: httpx2.Client, fetching: RunningServer, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, go_on = fetching.owner.services.held, Event()
    monkeypatch.setattr(held, "most", 100_000)
    path, lines = f"/v1/datasets/{dataset}/datapoints", json.dumps(text("word " * 10_000)).encode() + b"\n"
    ndjson = {"Content-Type": "application/x-ndjson"}

    def slowly() -> Iterator[bytes]:
        yield lines * 2
        assert go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.post, path, content=slowly(), headers=ndjson)
        until(lambda: held.size > 90_000)
        many: list[dict[str, Any]] = [
            {"content": lines, "headers": ndjson},
            {"content": b"[" + lines + b"]", "headers": {"Content-Type": "application/json"}},
            {"files": {"datapoints": (None, lines)}},
        ]
        for body in many:
            assert int(assert_problem(client.post(path, **body), "service_unavailable")["retry_after"]) == 1
        go_on.set()
        assert statuses(slow.result().json()) == ["created", "existing"]
    for body in many:
        assert statuses(client.post(path, **body).json()) == ["existing"]
    until(lambda: held.size == 0)


def test_who_may_only_read_adds_nothing(client: httpx2.Client, fetching: RunningServer, dataset: str) -> None:
    with fetching.client(fetching.new_key("viewer")) as viewer:
        assert viewer.get(f"/v1/datasets/{dataset}").status_code == 200
        for path, body in ((f"/{dataset}/datapoints", [text("a")]), ("", {"name": "b"})):
            assert_problem(viewer.post(f"/v1/datasets{path}", json=body), "insufficient_permissions")
    with fetching.client(fetching.new_key("member", user="eve")) as member:
        assert statuses(add(member, dataset, text("a"))) == ["created"]
        refused = assert_problem(member.delete(f"/v1/datasets/{dataset}"), "insufficient_permissions")
        assert refused["detail"] == "You do not have permission to delete this dataset"
