"""Adding datapoints to a dataset: each stands when all its assets do, waits for its URLs, or fails alone.

What is sent of a call becomes durable in one transaction: contents, datapoints, what waits, and the answer. Where URLs are to be
fetched that transaction is the one which makes their run visible::

    read ─► files flushed and looked at ─► assets known ─┬─► contents, datapoints, answer
                                                         └─► run received ─► contents, datapoints, what waits, answer, run
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import Request
from starlette.responses import Response

from amends.database import Transaction, new_id
from amends.ledger import NewItem, NewRun
from amends.problems import Problem, ProblemError, not_found, problem
from amends.server.answers import encode
from amends.server.assets import Resolver, content_of
from amends.server.bundles import Bundle, BundledFile, BundleReader
from amends.server.datapoints import DatapointBody, Sent, read_datapoints
from amends.server.idempotency import Guard, digest_of, idempotent
from amends.server.receiving import Receiving
from amends.server.services import Services, caller, services
from amends.server.threads import in_thread
from amends.server.wire import FETCH
from amends.store import Asset, Content, DatasetRecord, NewDatapoint

_NDJSON: Final = frozenset({"application/x-ndjson", "application/jsonl"})
_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"


Placed = tuple[int, NewDatapoint]
"""A datapoint, with its place in the call."""


class _Failed(NamedTuple):
    """A datapoint that is not taken. pointer: which of its assets it is about, None where it is the datapoint itself."""

    problem: Problem
    pointer: str | None = None


async def add(request: Request, dataset: DatasetRecord) -> Response:
    """Add what the request holds to the dataset; answers with the outcome of each datapoint, in order."""
    hub = services(request)
    async with (
        idempotent(request, None) as guard,
        BundleReader(hub.blobs, hub.settings.limits, hub.held) as reader,
    ):
        bundle = await _read(request, reader)
        # Thousands of them take a while, in which other requests are to be answered.
        sent = await in_thread(
            read_datapoints, bundle.datapoints, hub.settings.limits.nesting, is_ndjson=bundle.is_ndjson
        )
        if replay := guard.settle(await in_thread(_digest, sent, bundle.files)):
            return replay
        with ExitStack() as pins:
            adding = Adding(request, dataset, guard, Resolver(hub, dataset.workspace_id, dataset.id, pins))
            return await adding.take(sent, bundle.files)


async def _read(request: Request, reader: BundleReader) -> Bundle:
    media_type = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if media_type == _FORM:
        return await reader.read(request)
    if media_type in _NDJSON:
        return await reader.read_lines(request)
    if media_type == _JSON or media_type.endswith("+json"):
        return Bundle(await request.body(), False, ())
    allowed = f"{_JSON}, application/x-ndjson or {_FORM}"
    raise ProblemError(problem("unsupported_media_type", f"Datapoints are {allowed}, not {media_type}"))


def _digest(sent: Sequence[Sent], files: Sequence[BundledFile]) -> bytes:
    """Of what is added, however it came: a content that was sent before need not come again."""
    parts = {file.name: file.written.sha256 for file in files}
    digest = hashlib.sha256()
    for one in sent:
        stated = _stated(one.body, parts) if one.body else one.problem and one.problem.to_body("")
        digest.update(digest_of(stated))
    return digest.digest()


def _stated(body: DatapointBody, parts: dict[str, str]) -> Any:
    members = body.model_dump(exclude_none=True)
    for asset in (*members["assets"], *members["media_context"]):
        if "part" in asset:
            asset["sha256"] = parts.get(asset.pop("part"))
    return members


class Adding:
    """One call that adds to a dataset."""

    def __init__(self, request: Request, dataset: DatasetRecord, guard: Guard, resolver: Resolver) -> None:
        self._hub: Services = services(request)
        self._who = caller(request)
        self._path = request.url.path
        self._request_id = request.state.request_id
        self._dataset = dataset
        self._guard = guard
        self._resolver = resolver
        self._outcomes: list[dict[str, Any]] = []
        self._contents: dict[str, Content] = {}
        self._body = b""

    async def take(self, sent: Sequence[Sent], files: Sequence[BundledFile]) -> Response:
        await self._resolver.take_files(files)
        bodies = [one.body for one in sent if one.body is not None]
        await self._resolver.look_up(asset for body in bodies for _, asset in body.everything)
        ready, waiting = await in_thread(self._sorted, sent)
        waiting = await self._still_waiting(waiting)
        urls = list(dict.fromkeys(url for _, datapoint in waiting for url in _lacking(datapoint)))
        if not waiting:
            await asyncio.wrap_future(self._hub.database.submit(lambda tx: self._write(tx, ready, None)))
        else:
            await self._fetch(urls, lambda tx, run_id: self._begin(tx, run_id, urls, ready, waiting))
        return Response(self._body, media_type=_JSON)

    def _sorted(self, sent: Sequence[Sent]) -> tuple[list[Placed], list[Placed]]:
        """The datapoints that can stand now, and those that must wait; the others have failed."""
        ready: list[Placed] = []
        waiting: list[Placed] = []
        for one in sent:
            made = self._made(one)
            self._outcomes.append(
                {"index": one.index, "status": "pending", "datapoint_id": None, "problem": None, "pointer": None}
            )
            if isinstance(made, _Failed):
                self._fail(one.index, made)
            else:
                assert made.identity  # worked out here, and not in the transaction
                (waiting if _lacking(made) else ready).append((one.index, made))
        return ready, waiting

    def _made(self, one: Sent) -> NewDatapoint | _Failed:
        if one.body is None:
            assert one.problem is not None
            return _Failed(one.problem)
        body, found, failed = one.body, [], None
        for pointer, given in body.everything:
            asset = self._resolver.asset(given)
            if isinstance(asset, Problem):
                failed = failed or _Failed(asset, pointer)
                continue
            found.append(asset)
            # Kept though another asset may fail: mending that one does not send this one again.
            if (content := content_of(asset)) is not None:
                self._contents[content.sha256] = content
        if failed is not None:
            return failed
        count = len(body.assets)
        options = body.answer_options
        return NewDatapoint(
            body.data_type,
            tuple(found[:count]),
            body.context,
            tuple(found[count:]),
            body.sentence,
            body.private_metadata,
            body.group,
            None if options is None else tuple(options),
        )

    def _fail(self, index: int, failed: _Failed) -> None:
        whole = failed.problem.replace(instance=self._path, request_id=self._request_id)
        body = whole.to_body(self._hub.public_url)
        self._outcomes[index] |= {"status": "failed", "problem": body, "pointer": failed.pointer}

    async def _still_waiting(self, waiting: list[Placed]) -> list[Placed]:
        """Those that do not stand already: what a URL leads to need not be known to see that."""
        if not waiting:
            return []
        identities = [datapoint.identity for _, datapoint in waiting]
        known = await in_thread(self._hub.store.datasets.standing, self._dataset.id, identities)
        for index, datapoint in waiting:
            if (datapoint_id := known.get(datapoint.identity)) is not None:
                self._outcomes[index] |= {"status": "existing", "datapoint_id": datapoint_id}
        return [(index, datapoint) for index, datapoint in waiting if datapoint.identity not in known]

    def _write(self, tx: Transaction, ready: list[Placed], run_id: str | None) -> None:
        """All that the call makes, and its answer."""
        store, dataset = self._hub.store.datasets, self._dataset
        added = store.add_datapoints(tx, dataset.id, [datapoint for _, datapoint in ready])
        if added is None:
            raise ProblemError(not_found("dataset", dataset.id))
        store.add_contents(tx, dataset.id, dataset.workspace_id, self._contents.values())
        for (index, _), one in zip(ready, added, strict=True):
            status = "created" if one.is_new else "existing"
            self._outcomes[index] |= {"status": status, "datapoint_id": one.id}
        self._body = encode(answer_body(dataset.id, run_id, self._outcomes))
        self._guard.store(tx, 200, self._body)

    def _begin(
        self,
        tx: Transaction,
        run_id: str,
        urls: list[str],
        ready: list[Placed],
        waiting: list[Placed],
    ) -> None:
        self._write(tx, ready, run_id)
        self._hub.store.fetches.begin(tx, run_id, self._dataset.id, self._dataset.workspace_id, urls, waiting)

    async def _fetch(self, urls: Sequence[str], begin: Callable[[Transaction, str], None]) -> None:
        """Make a run of the URLs. begin: what else is written in the transaction that makes it visible."""
        run = self._new_run()
        receiving = Receiving(self._hub, run, self._guard, lambda sealed: {})
        try:
            await receiving.open(most=self._hub.most_runs(self._who))
            await receiving.add([_item(seq, url) for seq, url in enumerate(urls)])
            await receiving.seal(validate=False, also=lambda tx: begin(tx, run.id))
        except BaseException:
            await receiving.abandon()
            raise
        self._hub.new_fetch.set()

    def _new_run(self) -> NewRun:
        now = self._hub.now()
        return NewRun(
            id=new_id("run_", now=now),
            workspace_id=self._dataset.workspace_id,
            kind=FETCH,
            model=FETCH,
            params=b"{}",
            created_at=now,
            mode=self._who.mode,
            metadata={"dataset_id": self._dataset.id},
            request_id=self._request_id,
            public_url=self._hub.public_url,
            created_by=self._who.principal,
        )


def answer_body(dataset_id: str, run_id: str | None, outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is answered to a call that adds datapoints, and to who asks later what became of them."""
    counts = dict.fromkeys(("created", "existing", "failed", "pending"), 0)
    for outcome in outcomes:
        counts[outcome["status"]] += 1
    return {
        "object": "dataset.outcomes",
        "dataset_id": dataset_id,
        "run_id": run_id,
        "counts": counts,
        "data": list(outcomes),
    }


def _lacking(datapoint: NewDatapoint) -> list[str]:
    """The URLs that are still to be fetched for it."""
    assets: tuple[Asset, ...] = (*datapoint.assets, *datapoint.media_context)
    return [asset.url for asset in assets if asset.url is not None and asset.sha256 is None]


def _item(seq: int, url: str) -> NewItem:
    payload = msgspec.json.encode({"url": url})
    return NewItem(str(seq), payload, hashlib.sha256(payload).digest())
