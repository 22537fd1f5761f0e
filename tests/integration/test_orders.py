"""Job definitions, orders and tasks over HTTP, as programs use them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.orders import dataset_on, text, texts
from tests.problem_shape import assert_problem
from tests.servers import RunningServer

OPTIONS = ["cat", "dog"]


def define(client: httpx2.Client, dataset_id: str, kind: str = "classification", **more: Any) -> str:
    body: dict[str, Any] = {
        "kind": kind,
        "name": "Pets",
        "instruction": "What is it?",
        "dataset_id": dataset_id,
        **more,
    }
    if kind == "classification":
        body.setdefault("answer_options", OPTIONS)
    answer = client.post("/v1/job-definitions", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def new_order(client: httpx2.Client, definition_id: str, *, run: bool = True) -> str:
    answer = client.post("/v1/orders", json={"job_definition_id": definition_id, "run": run})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def order_of(
    server: RunningServer, client: httpx2.Client, datapoints: list[Any], kind: str = "classification", **settings: Any
) -> str:
    dataset_id, _ = dataset_on(server, *datapoints)
    return new_order(client, define(client, dataset_id, kind, settings=settings))


def take(client: httpx2.Client, order_id: str, annotator: str = "ada") -> dict[str, Any] | None:
    answer = client.post(f"/v1/orders/{order_id}/tasks/next", json={"annotator": annotator})
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] | None = answer.json()["task"]
    return task


def respond(client: httpx2.Client, task: dict[str, Any], answer: Any, **more: Any) -> httpx2.Response:
    return client.post(f"/v1/task-leases/{task['lease_id']}/respond", json={"answer": answer, **more})


def answer_all(client: httpx2.Client, order_id: str, annotator: str, choose: Callable[[dict[str, Any]], Any]) -> int:
    count = 0
    while (task := take(client, order_id, annotator)) is not None:
        given = respond(client, task, choose(task))
        assert given.status_code == 200, given.text
        count += 1
    return count


def shown(task: dict[str, Any]) -> str:
    return str(task["datapoint"]["assets"][0]["text"])


def eventually(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def test_an_order_goes_from_datapoints_to_results(server: RunningServer, client: httpx2.Client) -> None:
    metadata = {"row": 7}
    dataset_id, ids = dataset_on(server, text("tom", private_metadata=metadata, group="g"), text("rex"), text("fido"))
    definition_id = define(client, dataset_id, settings={"responses_per_datapoint": 2})
    order_id = new_order(client, definition_id, run=False)
    order = client.get(f"/v1/orders/{order_id}").json()
    assert (order["status"], order["is_filled"], order["name"]) == ("created", False, "Pets")
    assert take(client, order_id) is None
    running = client.post(f"/v1/orders/{order_id}/run").json()
    assert (running["status"], running["counts"]["tasks"]) == ("running", 3)
    truth = {"tom": "cat", "rex": "dog", "fido": "dog"}
    assert answer_all(client, order_id, "ada", lambda task: truth[shown(task)]) == 3
    assert answer_all(client, order_id, "bob", lambda task: "dog") == 3
    results = client.get(f"/v1/orders/{order_id}/results").json()
    assert (results["status"], results["tasks_done"], results["responses"]) == ("completed", 3, 6)
    assert [line["datapoint_id"] for line in results["data"]] == ids
    assert [line["answer"] for line in results["data"]][1:] == ["dog", "dog"]
    assert [line["agreement"] for line in results["data"]] == [0.0, 1.0, 1.0]
    assert results["agreement"]["percent"] == pytest.approx(2 / 3)
    assert -1 < results["agreement"]["krippendorff_alpha"] < 1
    first = results["data"][0]
    assert (first["private_metadata"], first["group"], first["assets"]) == (metadata, "g", ["tom"])
    assert {one["answer"] for one in first["responses"]} == {"cat", "dog"}
    assert [(one["name"], one["responses"]) for one in results["annotators"]] == [("ada", 3), ("bob", 3)]
    assert all(0 < one["weight"] < 1 for one in results["annotators"])


def test_results_come_as_lines_and_as_a_table(server: RunningServer, client: httpx2.Client) -> None:
    order_id = order_of(server, client, texts("tom", "rex"), responses_per_datapoint=1)
    answer_all(client, order_id, "ada", lambda task: "cat")
    path = f"/v1/orders/{order_id}/results"
    lines = client.get(path, headers={"accept": "application/x-ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert len(lines.text.splitlines()) == 2
    table = client.get(path, headers={"accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [(row["answer"], row["responses"], row["state"]) for row in rows] == [("cat", "1", "done")] * 2
    assert_problem(client.get(path, headers={"accept": "image/png"}), "not_acceptable")
    majority = client.get(path, params={"method": "majority"}).json()
    assert (majority["method"], majority["data"][0]["confidence"]) == ("majority", 1.0)


def test_an_unanswered_order_has_results_without_answers(server: RunningServer, client: httpx2.Client) -> None:
    order_id = order_of(server, client, texts("tom"))
    results = client.get(f"/v1/orders/{order_id}/results").json()
    assert [(line["state"], line["answer"]) for line in results["data"]] == [("open", None)]
    assert results["agreement"] == {"percent": None, "krippendorff_alpha": None}
    unrun = new_order(client, define(client, dataset_on(server, *texts("tom"))[0]), run=False)
    assert client.get(f"/v1/orders/{unrun}/results").json()["data"] == []


def test_answers_of_which_each_datapoint_has_its_own_are_weighed(server: RunningServer, client: httpx2.Client) -> None:
    options = [(f"{n} yes", f"{n} no") for n in range(30)]
    dataset_id, ids = dataset_on(server, *(text(str(n), answer_options=own) for n, own in enumerate(options)))
    gold = [{"datapoint_id": ids[0], "answer": "0 yes"}]
    definition_id = define(
        client, dataset_id, answer_options=None, settings={"responses_per_datapoint": 2, "gold": gold, "gold_every": 1}
    )
    order_id = new_order(client, definition_id)
    answer_all(client, order_id, "ada", lambda task: f"{shown(task)} yes")
    answer_all(client, order_id, "bob", lambda task: f"{shown(task)} no")
    results = client.get(f"/v1/orders/{order_id}/results").json()
    assert results["method"] == "weighted"  # so many answers have no matrix of who confuses what
    assert [line["answer"] for line in results["data"]] == [
        f"{n} yes" for n in range(30)
    ]  # bob was wrong where it is known
    assert {line["distribution"][0]["votes"] for line in results["data"]} == {1}
    assert 0.5 < results["data"][1]["confidence"] < 0.7
    assert results["agreement"]["percent"] == 0.0


def test_what_was_compared_is_ranked(server: RunningServer, client: httpx2.Client) -> None:
    pairs = [("a", "b"), ("b", "c"), ("a", "c")]
    order_id = order_of(server, client, [text(*pair) for pair in pairs], "compare", responses_per_datapoint=3)
    for name in ("ada", "bob", "eve"):
        answer_all(client, order_id, name, lambda task: 0)
    results = client.get(f"/v1/orders/{order_id}/results").json()
    assert [line["answer"] for line in results["data"]] == [0, 0, 0]
    assert [one["asset"] for one in results["ranking"]] == ["a", "b", "c"]
    assert [(one["wins"], one["comparisons"]) for one in results["ranking"]] == [(6, 6), (3, 6), (0, 6)]
    assert sum(one["strength"] for one in results["ranking"]) == pytest.approx(1, abs=1e-4)


def test_free_texts_are_grouped_and_points_are_clustered(server: RunningServer, client: httpx2.Client) -> None:
    order_id = order_of(server, client, texts("tom"), "free_text", responses_per_datapoint=3)
    for name, said in (("ada", "A cat."), ("bob", " a  cat "), ("eve", "A dog")):
        answer_all(client, order_id, name, lambda task, said=said: said)  # type: ignore[misc]
    (line,) = client.get(f"/v1/orders/{order_id}/results").json()["data"]
    assert line["answer"] in ("A cat.", "a  cat")
    assert [share["votes"] for share in line["distribution"]] == [2, 1]
    order_id = order_of(server, client, texts("where"), "locate", responses_per_datapoint=2)
    for name, x in (("ada", 0.50), ("bob", 0.52)):
        answer_all(client, order_id, name, lambda task, x=x: [{"x": x, "y": 0.1}])  # type: ignore[misc]
    (line,) = client.get(f"/v1/orders/{order_id}/results").json()["data"]
    assert line["answer"] == [{"x": 0.51, "y": 0.1}]
    assert line["confidence"] == 1.0


def test_gold_is_known_to_nobody_and_weighs_everybody(server: RunningServer, client: httpx2.Client) -> None:
    dataset_id, ids = dataset_on(server, *texts("tom", "rex", "fido", "kitty"))
    gold = [{"datapoint_id": ids[0], "answer": "cat"}, {"datapoint_id": ids[1], "answer": "dog"}]
    settings = {"gold": gold, "gold_every": 2, "responses_per_datapoint": 2}
    order_id = new_order(client, define(client, dataset_id, settings=settings))
    truth = {"tom": "cat", "rex": "dog", "fido": "dog", "kitty": "cat"}
    wrong = {name: "dog" if right == "cat" else "cat" for name, right in truth.items()}
    answer_all(client, order_id, "ada", lambda task: truth[shown(task)])
    answer_all(client, order_id, "liar", lambda task: wrong[shown(task)])
    results = client.get(f"/v1/orders/{order_id}/results").json()
    assert results["tasks"] == 2
    assert [(line["gold"], line["truth"]) for line in results["data"]][:3] == [
        (True, "cat"),
        (True, "dog"),
        (False, None),
    ]
    ada, liar = results["annotators"]
    assert ada["weight"] > liar["weight"]
    assert [line["answer"] for line in results["data"]][2:] == ["dog", "cat"]
    assert (ada["gold_right"], liar["gold_right"]) == (2, 0)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("classification", ["bird", 3, None]),
        ("compare", [2, -1, True, "0", 0.5]),
        ("free_text", ["", "  ", 3, "x" * 10_001]),
        ("locate", [[], [{"x": 2, "y": 0}], [{"x": 0.1}], [[0.1, 0.2]], [{"x": True, "y": 0.0}], "here"]),
    ],
)
def test_an_answer_of_another_form_is_refused_and_the_lease_stays(
    server: RunningServer, client: httpx2.Client, kind: str, wrong: list[Any]
) -> None:
    order_id = order_of(server, client, [text("a", "b")], kind, responses_per_datapoint=1)
    task = take(client, order_id)
    assert task
    for answer in wrong:
        body = assert_problem(respond(client, task, answer), "validation_failed")
        assert (body["errors"][0]["pointer"], body["errors"][0]["code"]) == ("/answer", "unfit_answer")
    right = {"classification": "cat", "compare": 1, "free_text": "x", "locate": [{"x": 0, "y": 1}]}[kind]
    assert respond(client, task, right, elapsed_ms=12).json()["order_completed"]
    assert_problem(respond(client, task, right), "resource_not_found")


def test_a_task_can_be_renewed_skipped_and_taken_back(server: RunningServer, client: httpx2.Client) -> None:
    order_id = order_of(server, client, texts("tom", "rex"), responses_per_datapoint=1)
    task = take(client, order_id)
    assert task
    renewed = client.post(f"/v1/task-leases/{task['lease_id']}/renew", json={"ttl_seconds": 3_000}).json()
    assert renewed["expires_at"] > task["expires_at"]
    skipped = client.post(f"/v1/task-leases/{task['lease_id']}/skip", json={"reason": "blurred"})
    assert skipped.json()["reason"] == "blurred"
    second = take(client, order_id)
    assert second
    respond(client, second, "dog")
    undone = client.post(f"/v1/orders/{order_id}/tasks/undo", json={"annotator": "ada"}).json()
    assert (undone["answer"], undone["task"]["datapoint"]["id"]) == ("dog", second["datapoint"]["id"])
    assert respond(client, undone["task"], "cat").status_code == 200
    assert take(client, order_id) is None
    skips = client.get(f"/v1/orders/{order_id}/results").json()["data"][0]["skips"]
    assert [skip["reason"] for skip in skips] == ["blurred"]


def test_answers_are_shuffled_alike_each_time_an_annotator_looks(server: RunningServer, client: httpx2.Client) -> None:
    options = [f"option {number}" for number in range(12)]
    dataset_id, _ = dataset_on(server, *texts("tom"))
    settings = {"shuffle_answers": True, "responses_per_datapoint": 2}
    order_id = new_order(client, define(client, dataset_id, answer_options=options, settings=settings))
    first = take(client, order_id, "ada")
    other = take(client, order_id, "bob")
    assert first
    assert other
    assert sorted(first["choices"]) == sorted(other["choices"]) == sorted(options)
    assert first["choices"] != other["choices"]
    respond(client, first, options[0])
    undone = client.post(f"/v1/orders/{order_id}/tasks/undo", json={"annotator": "ada"}).json()
    assert undone["task"]["choices"] == first["choices"]


def test_orders_pause_go_on_and_are_cancelled(server: RunningServer, client: httpx2.Client) -> None:
    order_id = order_of(server, client, texts("tom", "rex"))
    path = f"/v1/orders/{order_id}"
    for _ in range(2):
        assert client.post(f"{path}/pause").json()["status"] == "paused"
    assert take(client, order_id) is None
    for _ in range(2):
        assert client.post(f"{path}/run").json()["status"] == "running"
    for _ in range(2):
        assert client.post(f"{path}/cancel").json()["status"] == "cancelled"
    for verb in ("run", "pause"):
        body = assert_problem(client.post(f"{path}/{verb}"), "conflict", error_code="INVALID_STATE")
        assert "cancelled" in body["detail"]


def test_an_order_whose_dataset_is_deleted_fails_and_keeps_its_answers(
    server: RunningServer, client: httpx2.Client
) -> None:
    dataset_id, _ = dataset_on(server, *texts("tom", "rex"))
    order_id = new_order(client, define(client, dataset_id, settings={"responses_per_datapoint": 1}))
    task = take(client, order_id)
    assert task
    respond(client, task, "cat")
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 200
    order = eventually(lambda: (found := client.get(f"/v1/orders/{order_id}").json())["status"] == "failed" and found)
    assert order["error"] == "Its dataset was deleted."
    assert [line["answer"] for line in client.get(f"/v1/orders/{order_id}/results").json()["data"]] == ["cat", None]
    assert take(client, order_id) is None


def test_what_cannot_be_asked_is_refused_before_anybody_is_asked(server: RunningServer, client: httpx2.Client) -> None:
    empty = new_order(client, define(client, dataset_on(server)[0]), run=False)
    body = assert_problem(client.post(f"/v1/orders/{empty}/run"), "conflict", error_code="INVALID_STATE")
    assert "no datapoints" in body["detail"]
    dataset_id, ids = dataset_on(server, text("a", "b"), text("alone"))
    single = new_order(client, define(client, dataset_id, "compare"), run=False)
    body = assert_problem(client.post(f"/v1/orders/{single}/run"), "conflict")
    assert body["datapoint_id"] == ids[1]
    assert client.get(f"/v1/orders/{single}").json()["status"] == "created"


def test_definitions_that_do_not_fit_together_name_every_fault(server: RunningServer, client: httpx2.Client) -> None:
    dataset_id, _ = dataset_on(server, *texts("tom"))
    body = {
        "kind": "locate",
        "name": "n",
        "instruction": "i",
        "dataset_id": "ds_of_nobody",
        "answer_options": ["a", "a"],
        "settings": {"confidence_threshold": 0.9, "gold": [{"datapoint_id": "dp_x", "answer": "a"}]},
    }
    faults = assert_problem(client.post("/v1/job-definitions", json=body), "validation_failed")["errors"]
    assert {fault["pointer"] for fault in faults} == {
        "/answer_options", "/settings/confidence_threshold", "/settings/gold", "/dataset_id",
    }  # fmt: skip
    gold = {"settings": {"gold": [{"datapoint_id": "dp_x", "answer": "cat"}]}}
    body = {**body, "kind": "classification", "dataset_id": dataset_id, "answer_options": OPTIONS, **gold}
    (fault,) = assert_problem(client.post("/v1/job-definitions", json=body), "validation_failed")["errors"]
    assert fault["pointer"] == "/settings/gold/0/datapoint_id"
    long = [{"datapoint_id": "dp_x", "answer": "a" * 10_000}] * 30
    body = {**body, "kind": "free_text", "answer_options": None, "settings": {"gold": long}}
    (fault,) = assert_problem(client.post("/v1/job-definitions", json=body), "validation_failed")["errors"]
    assert (fault["pointer"], "at most 262144 bytes" in fault["message"]) == ("/settings/gold", True)


def test_an_order_left_behind_is_found_by_name_and_status(server: RunningServer, client: httpx2.Client) -> None:
    dataset_id, _ = dataset_on(server, *texts("tom"))
    definition_id = define(client, dataset_id, name="Left behind 100%")
    order_id = new_order(client, definition_id, run=False)
    found = client.get("/v1/orders", params={"status": "created", "name": "BEHIND 100%"}).json()["data"]
    assert [one["id"] for one in found] == [order_id]
    assert client.get("/v1/orders", params={"job_definition_id": definition_id}).json()["data"] == found
    names = client.get("/v1/job-definitions", params={"name": "left"}).json()["data"]
    assert [one["id"] for one in names] == [definition_id]
    assert client.get(f"/v1/job-definitions/{definition_id}").json() == names[0]


def test_an_invitation_is_shown_once_and_given_again_to_who_asks_again(
    server: RunningServer, client: httpx2.Client
) -> None:
    order_id = order_of(server, client, texts("tom"))
    path, key = f"/v1/orders/{order_id}/invitations", {"idempotency-key": "invite " + order_id}
    made = client.post(path, headers=key).json()
    assert made["url"].endswith(f"/label/{order_id}?invitation={made['token']}")
    orders = server.owner.services.store.orders
    assert orders.by_invitation(made["token"])
    again = client.post(path, headers=key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (made, "true")
    assert made["token"].encode() not in server.stored_bytes()
    newer = client.post(path).json()
    assert orders.by_invitation(made["token"]) is None
    assert orders.by_invitation(newer["token"])
    assert_problem(client.post(path, headers=key), "conflict", error_code="IDEMPOTENCY_CONFLICT")


def test_members_change_their_own_orders_and_viewers_none(server: RunningServer, client: httpx2.Client) -> None:
    dataset_id, _ = dataset_on(server, *texts("tom"))
    definition_id = define(client, dataset_id)
    order_id = new_order(client, definition_id)
    with server.client(server.new_key("member", user="mia")) as member:
        assert_problem(member.post(f"/v1/orders/{order_id}/cancel"), "insufficient_permissions")
        own = new_order(member, definition_id)
        assert member.post(f"/v1/orders/{own}/pause").json()["status"] == "paused"
        task = member.post(f"/v1/orders/{order_id}/tasks/next").json()
        assert task["task"]
        (annotator,) = member.get(f"/v1/orders/{order_id}/annotators").json()["data"]
        assert (annotator["kind"], annotator["responses"]) == ("person", 0)
    with server.client(server.new_key("viewer")) as viewer:
        assert viewer.get(f"/v1/orders/{order_id}/results").status_code == 200
        for path in (f"/v1/orders/{order_id}/tasks/next", f"/v1/task-leases/{task['task']['lease_id']}/skip"):
            assert_problem(viewer.post(path), "insufficient_permissions")


def test_only_admins_act_for_others_who_answer(server: RunningServer, client: httpx2.Client) -> None:
    order_id = order_of(server, client, texts("tom", "rex"))
    path = f"/v1/orders/{order_id}/tasks"
    services = server.owner.services
    services.database.write(lambda tx: services.store.annotators.welcome(tx, order_id, "Anna"))
    assert take(client, order_id, "ada")
    with server.client(server.new_key("member")) as member, server.client(server.new_key("admin")) as admin:
        for name in ("ada", "Anna"):
            refused = assert_problem(member.post(f"{path}/next", json={"annotator": name}), "insufficient_permissions")
            assert refused["detail"] == "You do not have permission to answer as this annotator"
            assert_problem(member.post(f"{path}/undo", json={"annotator": name}), "insufficient_permissions")
            assert take(admin, order_id, name)
        assert take(member, order_id, "its own")
        assert member.post(f"{path}/next").json()["task"]
        assert take(admin, order_id, "its own")


def test_an_estimate_says_what_a_model_would_cost(server: RunningServer, client: httpx2.Client) -> None:
    order_id = order_of(server, client, texts("tom", "rex"), responses_per_datapoint=4)
    path = f"/v1/orders/{order_id}/estimate"
    found = client.get(path).json()
    assert (found["tasks"], found["responses"], found["cost"], found["suffices"]) == (2, 8, 0, True)
    assert client.get(path, params={"model": "local/classify"}).json()["model"] == "local/classify"
    fault = assert_problem(client.get(path, params={"model": "local/image-labelz"}), "validation_failed")["errors"][0]
    assert (fault["code"], fault["loc"]) == ("unknown_model", ["query", "model"])


def test_a_model_answers_every_task_as_an_annotator_of_its_own(server: RunningServer, client: httpx2.Client) -> None:
    words = ["I want my money back for this order", "The app crashes when I open it" + " and so on" * 7_000]
    dataset_id, _ = dataset_on(server, *texts(*words))
    definition_id = define(
        client, dataset_id, answer_options=["refund", "bug report"], settings={"responses_per_datapoint": 1}
    )
    order_id = new_order(client, definition_id)
    made = client.post(f"/v1/orders/{order_id}/annotators", json={"model": "local/classify"})
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["run_state"]) == ("model", "waiting")
    assert_problem(client.post(f"/v1/orders/{order_id}/annotators", json={"model": "local/classify"}), "conflict")
    eventually(lambda: client.get(f"/v1/orders/{order_id}").json()["status"] == "completed")
    results = client.get(f"/v1/orders/{order_id}/results").json()
    assert [line["answer"] for line in results["data"]] == ["refund", "bug report"]
    (annotator,) = eventually(
        lambda: [
            one for one in client.get(f"/v1/orders/{order_id}/annotators").json()["data"] if one["run_state"] == "taken"
        ]
    )
    run = client.get(f"/v1/runs/{annotator['run_id']}").json()
    assert (annotator["responses"], run["status"], run["kind"]) == (2, "completed", "annotate")
    items = server.ledger.items(annotator["run_id"], after=-1, limit=10)
    assert [payload[:1] for _, _, payload in items] == [b"{", b"@"]  # a long one lies apart


@pytest.mark.parametrize(
    ("kind", "model", "said"),
    [
        ("locate", "local/image-labels", "cannot answer tasks of kind locate"),
        ("classification", "local/minilm", "it answers no tasks"),
        ("free_text", "local/classify", "it answers classification; local/smollm2, local/ocr"),
    ],
)
def test_a_model_that_cannot_answer_is_refused_with_those_that_can(
    server: RunningServer, client: httpx2.Client, kind: str, model: str, said: str
) -> None:
    order_id = order_of(server, client, texts("tom"), kind)
    answer = client.post(f"/v1/orders/{order_id}/annotators", json={"model": model})
    (fault,) = assert_problem(answer, "validation_failed")["errors"]
    assert (fault["code"], said in fault["message"]) == ("unfit_model", True)


def test_a_model_waits_until_its_order_runs_and_ends_with_it(server: RunningServer, client: httpx2.Client) -> None:
    dataset_id, _ = dataset_on(server, *texts("tom"))
    order_id = new_order(client, define(client, dataset_id), run=False)
    client.post(f"/v1/orders/{order_id}/annotators", json={"model": "local/classify"})
    time.sleep(0.7)
    (waiting,) = client.get(f"/v1/orders/{order_id}/annotators").json()["data"]
    assert waiting["run_state"] == "waiting"
    client.post(f"/v1/orders/{order_id}/cancel")
    eventually(lambda: client.get(f"/v1/orders/{order_id}/annotators").json()["data"][0]["run_state"] == "taken")
    assert client.get(f"/v1/runs/{waiting['run_id']}").status_code == 404
