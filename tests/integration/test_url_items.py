"""Items whose file somebody else serves, from creation to the last line, with real workers and a real host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from amends import Client
from tests import hosts, samples
from tests.batches import PATH, read
from tests.commands import Commands, lines_of
from tests.hosts import Host, answer, failing_first, running_host
from tests.integration.test_batches_engine import settled
from tests.servers import RunningServer, running_server

SCHEMA = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
TEXT = answer(b"Number: N-7\n", Content_Type="text/plain")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with running_host() as host:
        yield host


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose workers may fetch from this machine's 127.0.0.1, and nowhere else inside."""
    data = tmp_path_factory.mktemp("server") / "data"
    with running_server(data, fetch__allow=("127.0.0.1",), fetch__total_seconds=20, fetch__bytes=200_000) as running:
        yield running


def run(client: httpx2.Client, items: list[dict[str, Any]], model: str = "local/extract") -> tuple[str, dict[str, Any]]:
    """A batch of such items when it has ended: its id, and its lines by custom_id."""
    schema = SCHEMA if model == "local/extract" else None
    answered = client.post(PATH, json={"items": items, "model": model, "output_schema": schema})
    assert answered.status_code == 200, answered.text
    run_id = answered.json()["id"]
    assert settled(client, run_id)["status"] == "completed"
    return run_id, {line["custom_id"]: line for line in read(client, run_id)}


def test_what_a_url_serves_is_read_like_a_file(host: Host, client: httpx2.Client, tmp_path: Path) -> None:
    pdf = samples.text_pdf(tmp_path / "two.pdf", [["Number: N-1"], ["Number: N-2"]]).read_bytes()
    host.pages |= {
        "/n.txt": TEXT,
        "/two.pdf": answer(pdf, Content_Type="application/octet-stream"),
        "/moved": answer(b"", "301 Moved Permanently", Location="/n.txt"),
    }
    _, lines = run(
        client,
        [
            {"custom_id": "text", "url": host.url("/n.txt")},
            {"custom_id": "page", "url": host.url("/two.pdf"), "page": 2},
            {"custom_id": "beyond", "url": host.url("/two.pdf"), "page": 3},
            {"custom_id": "moved", "url": host.url("/moved"), "prompt": "Read it."},
            {"custom_id": "input", "input": "Number: N-9"},
        ],
    )
    assert {name: (line["output"] or {}).get("number") for name, line in lines.items()} == {
        "text": "N-7",
        "page": "N-2",
        "beyond": None,
        "moved": "N-7",
        "input": "N-9",
    }
    assert lines["beyond"]["error"]["code"] == "unsupported_file_format"
    assert lines["page"]["evidence"]["/number"]["page"] == 2


def test_what_cannot_be_had_fails_alone_with_its_stage_and_what_to_do(host: Host, client: httpx2.Client) -> None:
    host.pages |= {
        "/n.txt": TEXT,
        "/403": answer(b"", "403 Forbidden"),
        "/login.pdf": answer(b"<!doctype html><title>Log in</title>", Content_Type="text/html"),
        "/photo.png": answer(b"<html>no such picture</html>", Content_Type="image/png"),
        "/empty": answer(b""),
        "/large": answer(b"x" * 300_000, Content_Type="text/plain"),
        "/inside": answer(b"", "302 Found", Location="http://169.254.169.254/latest/meta-data/"),
    }
    stages = {
        "/403": "download",
        "/none": "download",
        "/login.pdf": "content_type",
        "/large": "size",
        "/inside": "blocked",
    }
    items = [{"custom_id": path, "url": host.url(path)} for path in (*stages, "/empty", "/n.txt")]
    items.append({"custom_id": "localhost", "url": host.url("/n.txt", "[::ffff:127.0.0.1]")})
    _, lines = run(client, items)
    for path, stage in {**stages, "localhost": "blocked"}.items():
        error = lines[path]["error"]
        assert (error["code"], error["stage"]) == ("asset_upload_failed", stage), path
        assert not error["remedy"]["retryable"]
        assert lines[path]["attempts"] == 1
    assert lines["/403"]["error"]["upstream_status"] == 403
    assert "Log" not in lines["/login.pdf"]["error"]["detail"]
    assert lines["/empty"]["error"]["error_code"] == "FILE_EMPTY"
    assert lines["/n.txt"]["output"] == {"number": "N-7"}
    assert len({lines[path]["error"]["remedy"]["hint"] for path in stages if path != "/none"}) == 4

    _, labels = run(client, [{"custom_id": "photo", "url": host.url("/photo.png")}], "local/image-labels")
    assert labels["photo"]["error"]["stage"] == "content_type"


def test_what_may_pass_is_waited_for_as_long_as_the_host_asks(host: Host, client: httpx2.Client) -> None:
    busy = answer(b"", "503 Service Unavailable", Retry_After="2")
    host.pages |= {
        "/busy": failing_first(1, TEXT, busy),
        "/cut": failing_first(1, TEXT, answer(b"x", Content_Length="9")),
    }
    items = [{"custom_id": path, "url": host.url(path)} for path in ("/busy", "/cut")]
    run_id, lines = run(client, items)
    for path, wait in (("/busy", 2.0), ("/cut", 0.0)):
        assert (lines[path]["output"], lines[path]["attempts"]) == ({"number": "N-7"}, 2)
        record = client.get(f"{PATH}/{run_id}/items/{path.replace('/', '%2F')}").json()
        first = record["attempts"][0]["error"]
        assert (first["stage"], first["remedy"]["retryable"]) == ("download", True)
        assert (first["remedy"]["retry_after"] or 0.0) == wait
        assert record["item"]["url"] == host.url(path)


def test_the_urls_of_a_batch_are_fetched_several_at_a_time(host: Host, client: httpx2.Client) -> None:
    """Each answer waits until all eight are asked for, so one after the other they would never come."""
    script = hosts.together(8, TEXT)
    host.pages |= {f"/together/{number}": script for number in range(8)}
    items = [{"custom_id": f"{number}", "url": host.url(f"/together/{number}")} for number in range(8)]
    before = [{"custom_id": f"text-{number}", "input": "x"} for number in range(2_000)]
    run(client, before, "local/echo")  # from here on leases of this worker hold more than one item
    _, lines = run(client, items, "local/echo")
    assert [line["status"] for line in lines.values()] == ["succeeded"] * 8


def test_a_url_is_read_before_acceptance_and_fetched_after_it(host: Host, client: httpx2.Client) -> None:
    def create(body: dict[str, Any]) -> httpx2.Response:
        return client.post(PATH, json={"model": "local/echo", **body})

    bad = [
        {"custom_id": "a", "url": "ftp://example.org/x"},
        {"custom_id": "b", "url": "http://user:secret@example.org/"},
        {"custom_id": "c", "url": host.url("/n.txt")},
        {"custom_id": "d", "url": host.url("/n.txt"), "input": "x"},
    ]
    refused = create({"items": bad}).json()
    assert [(error["pointer"], error["code"], error["custom_id"]) for error in refused["errors"]] == [
        ("/items/0/url", "invalid_url", "a"),
        ("/items/1/url", "invalid_url", "b"),
        ("/items/3", "one_source", "d"),
    ]
    before = len(host.requests)
    trial = create({"items": [{"custom_id": "a", "url": host.url("/n.txt")}], "dry_run": True}).json()
    assert trial["request_counts"] == {**trial["request_counts"], "total": 1, "errored": 0}
    assert len(host.requests) == before, "a dry run fetches nothing"


def test_a_failed_url_is_retried_as_it_is_and_with_another(host: Host, server: RunningServer) -> None:
    host.pages |= {"/n.txt": TEXT}
    host.pages.pop("/late.txt", None)
    with Client(server.key, server.base_url) as client:
        items = ({"custom_id": name, "url": host.url(f"/{name}.txt")} for name in ("late", "gone"))
        batch = client.batch_predictions.create(items, model="local/extract", output_schema=SCHEMA)
        client.batch_predictions.wait(batch.id, timeout=60)
        assert {line["status"] for line in client.batch_predictions.results(batch.id)} == {"errored"}

        host.pages["/late.txt"] = TEXT
        child = client.batch_predictions.retry_failed(
            batch.id, replace=[{"custom_id": "gone", "url": host.url("/n.txt")}]
        )
        client.batch_predictions.wait(child.id, timeout=60)
        merged = {
            line["custom_id"]: line["output"] for line in client.batch_predictions.results(batch.id, lineage=True)
        }
    assert merged == {"late": {"number": "N-7"}, "gone": {"number": "N-7"}}


def test_a_manifest_may_name_urls(host: Host, tmp_path: Path) -> None:
    host.pages |= {"/n.txt?sig=secret": TEXT}
    host.pages.pop("/gone.txt", None)
    amends = Commands(tmp_path, {"AMENDS_FETCH_ALLOW": "10.0.0.0/8, 127.0.0.1"})
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"url,note\n{host.url('/n.txt?sig=secret')},kept\n{host.url('/gone.txt')},lost\n")
    command = ("run", "m.csv", "--model", "local/extract", "--schema", json.dumps(SCHEMA), "-o", "out.jsonl")

    ended = amends(*command, "--json")
    assert ended.code == 3, ended.err
    lines = lines_of(tmp_path / "out.jsonl")
    assert lines[host.url("/n.txt")]["output"] == {"number": "N-7"}
    assert lines[host.url("/gone.txt")]["error"]["upstream_status"] == 404

    replace = f"{host.url('/gone.txt')}={host.url('/n.txt?sig=secret')}"
    retried = amends("retry", ended.document["id"], "--replace", replace, "-o", "out.jsonl")
    assert retried.code == 0, retried.err
    assert lines_of(tmp_path / "out.jsonl")[host.url("/gone.txt")]["output"] == {"number": "N-7"}


def test_nothing_inside_is_fetched_from_a_server_that_allows_nothing(host: Host, tmp_path: Path) -> None:
    host.pages |= {"/n.txt": TEXT}
    before = host.connections
    with running_server(tmp_path / "data") as server, server.client() as client:
        _, lines = run(client, [{"custom_id": "a", "url": host.url("/n.txt")}])
    assert lines["a"]["error"]["stage"] == "blocked"
    assert host.connections == before
