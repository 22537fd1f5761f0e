"""A workspace with something on every page: runs that failed, stand and go on, datasets, orders of each kind, credits, keys, webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.batches import PATH
from tests.browser.photos import KINDS, photos
from tests.jobs import Job
from tests.orders import Desk
from tests.receivers import Receiver
from tests.servers import RunningServer


def ended_run(site: RunningServer) -> str:
    """A run that ended, a part of it with failures of two kinds."""
    good = [{"custom_id": f"item-{number}", "input": {"text": f"Text {number}"}} for number in range(40)]
    bad = [{"custom_id": f"missing-{number}", "file_id": f"file_{number}"} for number in range(3)]
    slow = [{"custom_id": "refused", "input": {"simulate": "prediction_failed"}}]
    with site.client(site.new_key("owner", mode="test")) as client:
        made = client.post(PATH, json={"items": [*good, *bad, *slow], "model": "local/echo"})
        assert made.status_code == 200, made.text
        run_id = str(made.json()["id"])
        with client.stream("GET", f"/v1/runs/{run_id}/events") as events:
            for _ in events.iter_lines():
                pass
    return run_id


def furnish(site: RunningServer, folder: Path, receiver: Receiver) -> Mapping[str, str]:
    """Fill the workspace: the ids that the addresses of its pages need, by what they are called there."""
    pictures = [folder / name for name in photos(folder, 4)]
    places = {
        "run": ended_run(site),
        "standing": _standing_run(site),
        "created": _order(site, "free_text", "Left behind", [["A text"], ["Another text"]], run=False).id,
        "running": _order(site, "classification", "What is it?", [[each] for each in pictures], options=KINDS).id,
        "compare": _order(site, "compare", "Which is nicer?", [pictures[:2], pictures[2:4]]).id,
        "free_text": _order(site, "free_text", "Say it in English.", [["Ein Satz."], ["Noch einer."]]).id,
        "locate": _order(site, "locate", "Point at the middle.", [[each] for each in pictures[:2]]).id,
    }
    answered = _order(site, "classification", "What was it?", [[each] for each in pictures], options=KINDS)
    _answer(site, answered.id)
    with site.client() as api:
        places["dataset"] = api.get(f"/v1/orders/{answered.id}").json()["dataset_id"]
        _post(api, "/v1/credits/top-ups", {"amount": 50, "note": "For the pages"})
        _post(api, "/v1/api-keys", {"role": "member", "name": "For the pages"})
        places["webhook"] = _post(api, "/v1/webhooks", {"url": receiver.url, "events": ["*"]})["id"]
        _post(api, f"/v1/webhooks/{places['webhook']}/test", None)
    receiver.wait_for(1)
    return places | {"answered": answered.id}


def _standing_run(site: RunningServer) -> str:
    """A run that is paused at a limit, with a failure and with items to go on with."""
    items = [{"custom_id": "missing", "file_id": "file_0"}]
    items += [{"custom_id": str(number), "input": "text"} for number in range(8)]  # type: ignore[misc]
    with site.client() as api:
        return str(_post(api, PATH, {"items": items, "model": "local/echo", "limit_items": 2})["id"])


def _order(site: RunningServer, kind: str, instruction: str, assets: Any, **more: Any) -> Job:
    return Job(site, kind, instruction, assets, **{"responses_per_datapoint": 2, **more})


def _answer(site: RunningServer, order_id: str) -> None:
    """Two people answer all of its tasks but the last of the second, and not always the same."""
    services = site.owner.services
    order = services.store.orders.get(order_id)
    assert order is not None
    definition = services.store.job_definitions.get(order.workspace_id, order.definition_id)
    assert definition is not None
    desk = Desk(services.database, services.store, order_id, definition)
    for number, name in enumerate(("Anna", "Ben")):
        annotator = desk.annotator(name)
        for place in range(4 - number):
            lease = desk.next(annotator)
            assert lease is not None
            desk.respond(lease, KINDS[(place + number * (place % 3 == 0)) % len(KINDS)])


def _post(api: Any, path: str, body: Any) -> dict[str, Any]:
    answer = api.post(path, json=body) if body is not None else api.post(path)
    assert answer.status_code in (200, 201, 202), answer.text
    return dict(answer.json())
