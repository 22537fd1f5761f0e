"""What the tests of batch predictions share: a server without workers, whose items the tests end by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from amends.engine._manifest import ManifestBuilder
from amends.ledger import Commit, Outcome, ResultLines, Run
from amends.problems import problem
from tests.ledgers import leased, request
from tests.servers import RunningServer

PATH = "/v1/batch-predictions"


def texts(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"custom_id": name, "input": {"text": name}} for name in names]


def create(client: httpx2.Client, names: Sequence[str], **changes: Any) -> str:
    """A new batch of such items; its id."""
    answer = client.post(PATH, json={"items": texts(names), "model": "local/echo", **changes})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def work(
    server: RunningServer, run_id: str, failing: Mapping[str, str] | None = None, *, max_items: int = 10_000
) -> None:
    """End every item that can be claimed: with the problem of this slug where ``failing`` names the item, else well."""
    ledger, run = server.ledger, run_of(server, run_id)
    while lease := ledger.claim(request(max_items=max_items)):
        assert lease.run_id == run_id, "another run of this server has work"
        outcomes = [_outcome(run, item.seq, item.custom_id, item.payload, failing or {}) for item in leased(lease)]
        ledger.commit(Commit(lease.id, outcomes, final=True))


def _outcome(run: Run, seq: int, custom_id: str, payload: bytes, failing: Mapping[str, str]) -> Outcome:
    lines = ResultLines(run.id, run.request_id, run.public_url)
    slug = failing.get(custom_id)
    if slug is None:
        return Outcome(seq, "succeeded", None, 1, 2, lines.succeeded(custom_id, payload, attempts=1, elapsed_ms=2))
    line = lines.ended(custom_id, "errored", problem(slug, f"{custom_id} did not work"), attempts=1)
    return Outcome(seq, "errored", slug, 1, 0, line)


def finish(server: RunningServer, run_id: str) -> None:
    """Bring a run without open items to its end, with its manifest."""
    ledger = server.ledger
    assert ledger.finalize(run_id)
    builder = ManifestBuilder(run_id)
    while builder.step(ledger, server.owner.services.blobs.get):
        pass
    ledger.finish(run_id, builder.manifest(run_of(server, run_id)))


def ended(
    server: RunningServer,
    client: httpx2.Client,
    names: Sequence[str],
    failing: Mapping[str, str] | None = None,
    **changes: Any,
) -> str:
    """A batch that has ended; its id."""
    run_id = create(client, names, **changes)
    work(server, run_id, failing)
    finish(server, run_id)
    return run_id


def run_of(server: RunningServer, run_id: str) -> Run:
    run = server.ledger.get(run_id)
    assert run is not None
    return run


def read(client: httpx2.Client, run_id: str, **query: Any) -> list[dict[str, Any]]:
    """The result lines."""
    answer = client.get(f"{PATH}/{run_id}/results", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text == "" or answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.split("\n")[:-1]]


def names_of(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    return [line["custom_id"] for line in lines]
