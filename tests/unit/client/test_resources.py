from __future__ import annotations

import hashlib
import json
import pickle
from typing import Any

import httpx2
import pytest

from amends.client import BatchPrediction, File
from amends.exceptions import ApiError, ConfigurationError, ConflictError, NetworkError, PollTimeoutError
from amends.testing import Reply

RUNNING = Reply(json={"id": "bpred_1", "status": "in_progress"})
DONE = Reply(json={"id": "bpred_1", "status": "completed", "request_counts": {"total": 3, "succeeded": 3}})


@pytest.mark.parametrize(
    ("work", "method", "path", "body"),
    [
        (lambda c: c.files.get("file_1"), "GET", "/v1/files/file_1", None),
        (lambda c: c.files.delete("file_1"), "DELETE", "/v1/files/file_1", None),
        (lambda c: c.batch_predictions.get("b"), "GET", "/v1/batch-predictions/b", None),
        (lambda c: c.batch_predictions.cancel("b"), "POST", "/v1/batch-predictions/b/cancel", None),
        (lambda c: c.batch_predictions.extend("b"), "POST", "/v1/batch-predictions/b/extend", None),
        (lambda c: c.batch_predictions.failures("b"), "GET", "/v1/batch-predictions/b/failures", None),
        (lambda c: c.batch_predictions.manifest("b"), "GET", "/v1/batch-predictions/b/manifest", None),
        (lambda c: c.batch_predictions.item("b", "a"), "GET", "/v1/batch-predictions/b/items/a", None),
        (lambda c: c.batch_predictions.retry_failed("b"), "POST", "/v1/batch-predictions/b/retry", {}),
        (
            lambda c: c.batch_predictions.retry_failed(
                "b",
                types=("file_not_found",),
                custom_ids=iter(["a"]),
                replace=[{"custom_id": "a", "file_id": "f", "page": None}],
                model="local/ocr",
                prompt="p",
            ),
            "POST",
            "/v1/batch-predictions/b/retry",
            {
                "types": ["file_not_found"],
                "custom_ids": ["a"],
                "replace": [{"custom_id": "a", "file_id": "f", "page": None}],
                "model": "local/ocr",
                "prompt": "p",
            },
        ),
        (lambda c: c.runs.get("r"), "GET", "/v1/runs/r", None),
        (lambda c: c.runs.cancel("r"), "POST", "/v1/runs/r/cancel", None),
        (lambda c: c.runs.extend("r"), "POST", "/v1/runs/r/extend", None),
        (lambda c: c.runs.extend("r", max_cost=2.5), "POST", "/v1/runs/r/extend", {"max_cost": 2.5}),
        (lambda c: c.runs.expire("r"), "POST", "/v1/runs/r/expire", None),
        (lambda c: c.runs.purge("r"), "POST", "/v1/runs/r/purge", None),
        (lambda c: c.runs.failures("r"), "GET", "/v1/runs/r/failures", None),
        (lambda c: c.runs.conservation("r"), "GET", "/v1/runs/r/conservation", None),
        (lambda c: c.runs.retry_failed("r"), "POST", "/v1/runs/r/retry", {}),
        (lambda c: c.me(), "GET", "/v1/me", None),
        (lambda c: c.api_keys.create(role="viewer", user="u"), "POST", "/v1/api-keys", {"role": "viewer", "user": "u"}),
        (lambda c: c.api_keys.get("k"), "GET", "/v1/api-keys/k", None),
        (lambda c: c.api_keys.revoke("k"), "DELETE", "/v1/api-keys/k", None),
        (lambda c: c.users.get("u"), "GET", "/v1/users/u", None),
        (lambda c: c.users.update("u", role="viewer"), "PATCH", "/v1/users/u", {"role": "viewer"}),
        (lambda c: c.users.delete("u"), "DELETE", "/v1/users/u", None),
        (
            lambda c: c.invitations.create(email="a@b.c"),
            "POST",
            "/v1/invitations",
            {"role": "member", "email": "a@b.c"},
        ),
        (lambda c: c.invitations.get("i"), "GET", "/v1/invitations/i", None),
        (lambda c: c.invitations.delete("i"), "DELETE", "/v1/invitations/i", None),
        (
            lambda c: c.webhooks.create(url="https://h", events=("*",)),
            "POST",
            "/v1/webhooks",
            {"url": "https://h", "events": ["*"]},
        ),
        (lambda c: c.webhooks.get("w"), "GET", "/v1/webhooks/w", None),
        (lambda c: c.webhooks.update("w", enabled=False), "PATCH", "/v1/webhooks/w", {"enabled": False}),
        (lambda c: c.webhooks.delete("w"), "DELETE", "/v1/webhooks/w", None),
        (lambda c: c.webhooks.rotate("w"), "POST", "/v1/webhooks/w/rotate", None),
        (lambda c: c.webhooks.test("w"), "POST", "/v1/webhooks/w/test", None),
        (lambda c: c.webhooks.delivery("w", "d"), "GET", "/v1/webhooks/w/deliveries/d", None),
        (lambda c: c.webhooks.redeliver("w", "d"), "POST", "/v1/webhooks/w/deliveries/d/redeliver", None),
        (lambda c: c.credits.balance(), "GET", "/v1/credits", None),
        (lambda c: c.credits.estimate(model="m", items=3), "GET", "/v1/credits/estimate", None),
        (lambda c: c.credits.conservation(), "GET", "/v1/credits/conservation", None),
        (lambda c: c.credits.top_up(2.5), "POST", "/v1/credits/top-ups", {"amount": 2.5}),
        (lambda c: c.credits.top_up(1, note="n"), "POST", "/v1/credits/top-ups", {"amount": 1, "note": "n"}),
    ],
)
def test_calls_ask_for_what_they_say(rig: Any, work: Any, method: str, path: str, body: Any) -> None:
    rig.run(work, Reply(json={"id": "x"}))
    (request,) = rig.requests
    assert (request.method, request.path) == (method, path)
    assert (json.loads(request.body) if request.body else None) == body
    assert ("idempotency-key" in request.headers) == (method != "GET")


@pytest.mark.parametrize("id", ["a/b", "a b", "ä", "..", ".", "a?x=1", "a#b", "%2F", "a\\b", "\u2028", "a\nb"])
def test_ids_stay_one_segment_of_the_path(rig: Any, id: str) -> None:
    rig.run(lambda client: client.batch_predictions.item("b", id), Reply(json={}))
    (request,) = rig.requests
    assert request.raw_path.count("/") == 5
    assert request.path == f"/v1/batch-predictions/b/items/{id}"
    assert request.query == {}


@pytest.mark.parametrize("id", ["", "\udc80"])
def test_senseless_ids_are_refused_unsent(rig: Any, id: str) -> None:
    with pytest.raises(ValueError, match="an id is"):
        rig.run(lambda client: client.files.get(id))


def test_one_string_is_no_list_of_types(rig: Any) -> None:
    with pytest.raises(TypeError, match="types"):
        rig.run(lambda client: client.runs.retry_failed("r", types="file_not_found"))


def test_one_string_is_no_list_of_events(rig: Any) -> None:
    with pytest.raises(TypeError, match="events"):
        rig.run(lambda client: client.webhooks.create(url="https://h", events="batch.completed"))


def test_missing_members_are_none_and_unknown_ones_kept(rig: Any) -> None:
    batch = rig.run(lambda client: client.batch_predictions.get("b"), Reply(json={"id": "b", "novel": {"x": 1}}))
    assert isinstance(batch, BatchPrediction)
    assert batch.status is None
    assert batch.novel == {"x": 1}  # type: ignore[attr-defined]
    assert batch == pickle.loads(pickle.dumps(batch))
    assert not batch.is_ended


def test_both_kinds_of_times_are_utc(rig: Any) -> None:
    file = rig.run(lambda client: client.files.get("f"), Reply(json={"id": "f", "created_at": 1_800_000_000}))
    batch = rig.run(
        lambda c: c.batch_predictions.get("b"), Reply(json={"id": "b", "created_at": "2027-01-15T08:00:00Z"})
    )
    assert file.created_at == batch.created_at
    assert batch.created_at.utcoffset().total_seconds() == 0


def pages(request: Any) -> Reply:
    rows = [f"file_{number}" for number in range(7)]
    start = rows.index(request.query["after"]) + 1 if "after" in request.query else 0
    limit = int(request.query.get("limit", 3))
    part = rows[start : start + limit]
    more = start + limit < len(rows)
    body = {
        "object": "list",
        "data": [{"id": id} for id in part],
        "has_more": more,
        "next_cursor": part[-1] if more else None,
    }
    return Reply(json=body)


def test_list_asks_at_once_and_iterating_walks_all_pages(rig: Any) -> None:
    page = rig.run(lambda client: client.files.list(purpose="batch"), pages)
    assert len(rig.requests) == 1
    assert [file.id for file in page.data] == ["file_0", "file_1", "file_2"]
    assert page.has_more

    async def awalk(client: Any) -> list[File]:
        return [file async for file in await client.files.list(purpose="batch", limit=2)]

    def walk(client: Any) -> list[File]:
        return list(client.files.list(purpose="batch", limit=2))

    files = rig.run(walk if rig.kind == "sync" else awalk, pages)
    assert [file.id for file in files] == [f"file_{number}" for number in range(7)]
    assert [request.query.get("after") for request in rig.requests] == [None, "file_1", "file_3", "file_5"]
    assert {(request.query["purpose"], request.query["limit"]) for request in rig.requests} == {("batch", "2")}


def test_page_that_promises_more_and_gives_nothing_ends(rig: Any) -> None:
    body = {"data": [], "has_more": True, "next_cursor": "x"}

    async def awalk(client: Any) -> list[Any]:
        return [row async for row in await client.runs.list()]

    assert (
        rig.run(awalk if rig.kind == "async" else lambda c: list(c.runs.list()), lambda request: Reply(json=body)) == []
    )


def test_page_pickles_without_its_client(rig: Any) -> None:
    page = pickle.loads(pickle.dumps(rig.run(lambda client: client.files.list(), pages)))
    assert [file.id for file in page.data] == ["file_0", "file_1", "file_2"]
    if rig.kind == "sync":
        with pytest.raises(ConfigurationError, match="list again"):
            page.next_page()


def test_list_filters_by_idempotency_key(rig: Any) -> None:
    rig.run(lambda client: client.batch_predictions.list(idempotency_key="k", status="completed"), pages)
    assert rig.requests[0].query == {"idempotency_key": "k", "status": "completed"}


def test_wait_polls_until_the_end_ever_more_slowly(rig: Any) -> None:
    assert rig.run(lambda client: client.batch_predictions.wait("bpred_1"), *[RUNNING] * 30, DONE).status == "completed"
    slept = rig.clock.slept
    assert slept == sorted(slept)
    assert slept[0] == 0.1
    assert slept[-1] == 5.0


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_wait_returns_at_any_end(rig: Any, status: str) -> None:
    assert rig.run(lambda client: client.runs.wait("r"), Reply(json={"id": "r", "status": status})).is_ended


def test_wait_returns_when_the_first_part_is_done(rig: Any) -> None:
    held = Reply(json={"id": "r", "status": "in_progress", "paused_reason": "limit"})
    assert rig.run(lambda client: client.runs.wait("r"), RUNNING, held).paused_reason == "limit"


def test_wait_outlasts_a_failing_server(rig: Any) -> None:
    assert rig.run(lambda client: client.runs.wait("r"), RUNNING, Reply(503), Reply(500), DONE).is_complete


def test_wait_outlasts_a_server_that_is_long_away(rig: Any) -> None:
    def away(request: Any) -> Any:
        now = rig.clock.monotonic()
        return RUNNING if now < 1 else httpx2.ConnectError("refused") if now < 400 else DONE

    assert rig.run(lambda client: client.runs.wait("r"), away).is_complete


def test_wait_does_not_outlast_one_that_never_comes_back(rig: Any) -> None:
    def gone(request: Any) -> Any:
        return RUNNING if rig.clock.monotonic() < 1 else httpx2.ConnectError("refused")

    with pytest.raises(NetworkError):
        rig.run(lambda client: client.runs.wait("r"), gone)
    assert 600 < rig.clock.monotonic() < 700
    with pytest.raises(PollTimeoutError) as caught:
        rig.run(lambda client: client.runs.wait("r", timeout=60), RUNNING, *[httpx2.ConnectError("refused")] * 100)
    assert caught.value.elapsed == pytest.approx(60, abs=5.1)


def test_wait_does_not_wait_for_what_was_never_there(rig: Any) -> None:
    with pytest.raises(NetworkError):
        rig.run(lambda client: client.runs.wait("r"), *[httpx2.ConnectError("refused")] * 10)
    assert len(rig.requests) == 4


def test_wait_that_takes_too_long_says_how_it_stands_and_resumes(rig: Any) -> None:
    async def aresume(client: Any) -> Any:
        with pytest.raises(PollTimeoutError) as caught:
            await client.batch_predictions.wait("bpred_1", timeout=10)
        return caught.value, await caught.value.resume(timeout=60)

    def resume(client: Any) -> Any:
        with pytest.raises(PollTimeoutError) as caught:
            client.batch_predictions.wait("bpred_1", timeout=10)
        return caught.value, caught.value.resume(timeout=60)

    def answer(request: Any) -> Reply:
        return DONE if rig.clock.monotonic() > 15 else RUNNING

    error, run = rig.run(resume if rig.kind == "sync" else aresume, answer)
    assert (error.run_id, error.status) == ("bpred_1", "in_progress")
    assert error.elapsed == pytest.approx(10)
    assert run.is_complete
    assert "bpred_1" in str(pickle.loads(pickle.dumps(error)))


def test_wait_of_nothing_asks_once(rig: Any) -> None:
    with pytest.raises(PollTimeoutError):
        rig.run(lambda client: client.runs.wait("r", timeout=0), RUNNING)
    assert rig.run(lambda client: client.runs.wait("r", timeout=0), DONE).is_ended


def test_poll_that_hangs_does_not_outlast_the_wait(rig: Any) -> None:
    def hang(request: Any) -> Exception:
        rig.clock.advance(request.timeout_seconds)
        return httpx2.ReadTimeout("")

    with pytest.raises(PollTimeoutError) as caught:
        rig.run(lambda client: client.runs.wait("r", timeout=20), hang)
    assert caught.value.elapsed == pytest.approx(20)


def lines(*ids: str) -> bytes:
    return b"".join(json.dumps({"custom_id": id, "status": "succeeded"}).encode() + b"\n" for id in ids)


def reconcile(rig: Any, body: bytes, custom_ids: Any, *, manifest: dict[str, Any] | None = None, **options: Any) -> Any:
    right = {"lines": body.count(b"\n"), "sha256": hashlib.sha256(body).hexdigest()}
    script = [DONE, Reply(body=body)] + ([] if options.get("lineage") else [Reply(json=manifest or right)])
    return rig.run(lambda client: client.batch_predictions.reconcile("bpred_1", custom_ids, **options), *script)


def test_reconcile_finds_all_well(rig: Any) -> None:
    report = reconcile(rig, lines("a", "b", "c"), (id for id in "abc"))
    assert report.is_complete
    assert (report.expected, report.received, report.by_status) == (3, 3, {"succeeded": 3})
    assert report.is_manifest_right is True
    assert reconcile(rig, lines("a", "b", "c"), None).is_complete


def test_reconcile_names_what_is_missing_doubled_and_unexpected(rig: Any) -> None:
    report = reconcile(rig, lines("a", "b", "b", "x"), ["a", "b", "c", "d", "d"])
    assert not report.is_complete
    assert report.missing == ("c", "d")
    assert report.doubled == ("b", "d")
    assert report.unexpected == ("x",)


def test_reconcile_without_ids_goes_by_count_and_manifest(rig: Any) -> None:
    assert not reconcile(rig, lines("a", "b"), None).is_complete
    assert not reconcile(rig, lines("a", "b", "c"), None, manifest={"lines": 3, "sha256": "0" * 64}).is_complete
    assert reconcile(rig, lines("a", "b", "c"), None, lineage=True).is_manifest_right is None
    assert rig.requests[1].query == {"lineage": "true"}


def test_reconcile_digest_survives_a_dropped_connection(rig: Any) -> None:
    body = lines("a", "b", "c")
    cut = len(body) // 2
    whole = body[:cut].rfind(b"\n") + 1
    manifest = {"lines": 3, "sha256": hashlib.sha256(body).hexdigest()}
    script = [DONE, Reply(body=body, drop_after=cut), Reply(body=body[whole:]), Reply(json=manifest)]
    assert rig.run(lambda client: client.batch_predictions.reconcile("bpred_1", "abc"), *script).is_complete


def test_reconcile_of_an_unfinished_batch_is_a_conflict(rig: Any) -> None:
    with pytest.raises(ConflictError):
        rig.run(lambda client: client.batch_predictions.reconcile("b"), RUNNING, Reply(409, json={"detail": "runs"}))


def test_dry_run_says_so_in_its_parameters(rig: Any) -> None:
    body = {"object": "batch_prediction.dry_run", "request_counts": {"total": 1}, "cost": 0, "errors": []}
    got = rig.run(lambda c: c.batch_predictions.dry_run([{"custom_id": "a", "input": 1}], model="m"), Reply(json=body))
    assert (got.cost, got.request_counts.total) == (0, 1)
    assert json.loads(rig.requests[0].body.splitlines()[0]) == {"model": "m", "dry_run": True}


def test_answer_without_id_is_an_api_error(rig: Any) -> None:
    with pytest.raises(ApiError, match="id: Field required"):
        rig.run(lambda client: client.files.get("f"), Reply(json={}))
