"""How to test a program that uses Amends: against a real server, with the failures that matter. Run it with pytest."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from amends import Client
from amends.exceptions import ServerError
from amends.testing import Fault, FaultProxy, LocalServer


def label(client: Client, texts: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The program under test: what became of each text, and for what failed, what to do about it."""
    items = [{"custom_id": str(number), "input": text} for number, text in enumerate(texts)]
    batch = client.batch_predictions.create(items, model="local/echo")
    client.batch_predictions.wait(batch.id, timeout=60)
    done: dict[str, str] = {}
    failed: dict[str, str] = {}
    for line in client.batch_predictions.results(batch.id):
        if line["status"] == "succeeded":
            done[line["custom_id"]] = line["output"]["text"]
        else:
            failed[line["custom_id"]] = line["error"]["remedy"]["action"]
    return done, failed


def test_one_bad_item_harms_no_other(amends_client: Client) -> None:
    done, failed = label(amends_client, ["good", "bad [[simulate: prediction_failed]]", "good again"])
    assert done == {"0": "good", "2": "good again"}
    assert failed == {"1": "fix_input"}


def test_a_server_that_stumbles_is_asked_again(amends_server: LocalServer) -> None:
    faults = [Fault("drop"), Fault("error", status=503), None, Fault("cut", after_bytes=10)]
    with FaultProxy(amends_server.base_url, faults) as proxy, Client(amends_server.key, proxy.base_url) as client:
        done, _ = label(client, ["good"])
    assert done == {"0": "good"}
    assert proxy.happened[:4] == faults


def test_a_server_that_stays_away_is_given_up(amends_server: LocalServer) -> None:
    with FaultProxy(amends_server.base_url, [Fault("error", status=503)] * 9) as proxy:
        client = Client(amends_server.key, proxy.base_url, max_retries=0)
        with client, pytest.raises(ServerError):
            label(client, ["good"])
