"""Retrying what failed: a child run of the failed items of a lineage, each with its place in the root."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
from fastapi import Request
from starlette.responses import Response

from amends.database import new_id
from amends.ledger import NewItem, NewRun, Run
from amends.problems import CATALOGUE, FieldError, ProblemError, invalid_state, validation_failed
from amends.server.answers import BodyOf
from amends.server.idempotency import Guard, body_digest, idempotent
from amends.server.items import ItemLine, file_ids, rows_of
from amends.server.parameters import check_model, job_params, resolved_model
from amends.server.prices import price_of
from amends.server.receiving import Receiving
from amends.server.services import caller, services
from amends.server.threads import in_thread
from amends.server.wire import DEFAULT_WINDOW, FETCH, KIND, ReplacementBody, RetryBody, window_seconds

_PAGE: Final = 10_000
_NAMED: Final = 10
_ELSEWHERE: Final[Mapping[str, str]] = {
    FETCH: "What was not fetched is fetched anew when its datapoints are added to their dataset again",
    "annotate": "Tasks that a model did not answer wait for other annotators of the order",
    "openai": "What failed of a batch of OpenAI's kind is sent again as another batch",
}
"""How what failed is mended in runs of other kinds."""

Failed = tuple[int, str, bytes]
"""(seq in the root, custom_id, payload)."""

# Two retries of one lineage at once would both find the same items failed. One process owns the ledger, so a lock here is enough.
_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


class _Sent(msgspec.Struct):
    """What of a payload can be sent again."""

    input: msgspec.Raw = msgspec.Raw(b"")
    file: dict[str, Any] | None = None
    url: str | None = None
    page: int | None = None
    prompt: str | None = None


async def retry(request: Request, run: Run, body: RetryBody, body_of: BodyOf, kind: str) -> Response:
    """Make the child run, or say why there is none.

    ProblemError: conflict while the run or a child that holds the items is unfinished, or where nothing is left to retry;
    validation_failed for what cannot be retried so.
    """
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay is not None:
            return guard.replay
        retrial = Retrial(request, run, body, kind)
        async with _locks.setdefault(run.root_id, asyncio.Lock()):
            return await retrial.make(guard, body_of)


class Retrial:
    """One request to retry."""

    def __init__(self, request: Request, run: Run, body: RetryBody, kind: str) -> None:
        self._hub = services(request)
        self._caller = caller(request)
        self._request_id = request.state.request_id
        self._run = run
        self._body = body
        self._kind = kind
        self._replacements = {given.custom_id: given for given in body.replace or ()}
        self._types = None if body.types is None else frozenset(name.rsplit("/", 1)[-1] for name in body.types)
        self._has_files = False
        self._found: set[str] = set()

    async def make(self, guard: Guard, body_of: BodyOf) -> Response:
        self._check()
        first = await self._page(-1)
        if not first and not (self._body.custom_ids or self._replacements):
            which = "of these types " if self._types is not None else ""
            raise ProblemError(self._wrong_state(f"Nothing is left to retry: no item {which}stands as failed"))
        receiving = Receiving(self._hub, self._child(), guard, body_of)
        try:
            await receiving.open(most=self._hub.most_runs(self._caller))
            page = first
            while page:
                await self._refuse_held(page)
                await receiving.add(await self._rows(page))
                page = await self._page(page[-1][0]) if len(page) == _PAGE else []
            self._refuse_unknown()
            return await receiving.seal(validate=self._has_files or self._run.validation == "strict")
        except BaseException:
            await receiving.abandon()
            raise

    def _check(self) -> None:
        if not self._run.is_terminal:
            raise ProblemError(self._wrong_state(f"The run is {self._run.state}: it can be retried when it has ended"))
        if self._run.kind != KIND:
            raise ProblemError(self._wrong_state(_ELSEWHERE.get(self._run.kind, "Runs of this kind are not retried")))
        faults = list(self._faults())
        if faults:
            raise ProblemError(validation_failed(faults))

    def _faults(self) -> Iterator[FieldError]:
        body = self._body
        if body.model is not None:
            has_schema = msgspec.json.decode(self._run.params).get("output_schema") is not None
            yield from check_model(body.model, self._hub.settings, has_schema=has_schema)
        for index, name in enumerate(body.types or ()):
            if name.rsplit("/", 1)[-1] not in CATALOGUE:
                yield FieldError.at(("body", "types", index), f"'{name}' is no type of problem", code="unknown_type")
        seen: set[str] = set()
        for index, given in enumerate(body.replace or ()):
            if given.custom_id in seen:
                place = ("body", "replace", index, "custom_id")
                message = f"'{given.custom_id}' is replaced twice"
                yield FieldError.at(place, message, code="duplicate_custom_id", custom_id=given.custom_id)
            seen.add(given.custom_id)

    def _wrong_state(self, detail: str, **members: Any) -> Any:
        return invalid_state(detail, state=self._run.state, **{f"{self._kind}_id": self._run.id}, **members)

    async def _page(self, after: int) -> Sequence[Failed]:
        custom_ids = None if self._body.custom_ids is None else frozenset(self._body.custom_ids)
        return await in_thread(
            self._hub.ledger.failed_items,
            self._run.id,
            types=self._types,
            custom_ids=custom_ids,
            after=after,
            limit=_PAGE,
        )

    async def _refuse_held(self, page: Sequence[Failed]) -> None:
        held = await in_thread(self._hub.ledger.held_by_children, self._run.id, [name for _, name, _ in page])
        if held:
            detail = "An unfinished retry holds items that were to be retried; wait for it or cancel it"
            raise ProblemError(self._wrong_state(detail, custom_ids=list(held[:_NAMED])))

    def _refuse_unknown(self) -> None:
        """Whatever was named must have been there, or the caller is mistaken about what failed."""
        faults = [
            FieldError.at(("body", "custom_ids", index), f"'{name}' is no failed item of this run", custom_id=name)
            for index, name in enumerate(self._body.custom_ids or ())
            if name not in self._found
        ]
        faults += [
            FieldError.at(
                ("body", "replace", index, "custom_id"), f"'{name}' is not among what is retried", custom_id=name
            )
            for index, name in enumerate(self._replacements)
            if name not in self._found
        ]
        if faults:
            raise ProblemError(validation_failed(faults))

    async def _rows(self, page: Sequence[Failed]) -> list[NewItem]:
        """The child's rows: payloads as they failed, replaced where that is asked for, their files looked up again."""
        self._found.update(name for _, name, _ in page)
        kept: dict[int, NewItem] = {}
        again: dict[int, ItemLine] = {}
        for origin, name, payload in page:
            if payload.startswith(b"@") and name not in self._replacements:
                kept[origin] = NewItem(name, payload, bytes.fromhex(payload[1:].decode()), origin)
            else:
                whole = await self._whole(payload)
                again[origin] = self._line(name, msgspec.json.decode(whole, type=_Sent))
        lines = list(again.values())
        ids = file_ids(lines)
        self._has_files = self._has_files or bool(ids)
        files: Mapping[str, Any] = {}
        if ids:
            files = await in_thread(self._hub.store.files.resolve, self._run.workspace_id, ids)
        for origin, row in zip(again, rows_of(lines, files), strict=True):
            kept[origin] = row._replace(origin=origin)
        return [kept[origin] for origin, _, _ in page]

    async def _whole(self, payload: bytes) -> bytes:
        return await in_thread(self._hub.blobs.get, payload[1:].decode()) if payload.startswith(b"@") else payload

    def _line(self, custom_id: str, sent: _Sent) -> ItemLine:
        given = self._replacements.get(custom_id)
        file_id = None if sent.file is None else str(sent.file["id"])
        if given is None:
            return ItemLine(custom_id, file_id, sent.input, sent.url, sent.page, sent.prompt)
        changed = given.model_fields_set
        page = given.page if "page" in changed else sent.page
        prompt = given.prompt if "prompt" in changed else sent.prompt
        if given.input is not None:
            return ItemLine(custom_id, None, msgspec.Raw(msgspec.json.encode(given.input)), None, None, prompt)
        if given.file_id is not None or given.url is not None:
            return ItemLine(custom_id, given.file_id, msgspec.Raw(b""), given.url, page, prompt)
        if page is not None and file_id is None and sent.url is None:
            self._refuse_page(given)
        return ItemLine(custom_id, file_id, sent.input, sent.url, page, prompt)

    def _refuse_page(self, given: ReplacementBody) -> None:
        index = (self._body.replace or []).index(given)
        fault = FieldError.at(
            ("body", "replace", index, "page"),
            "page belongs to a file_id or url",
            code="page_without_file",
            custom_id=given.custom_id,
        )
        raise ProblemError(validation_failed([fault]))

    def _child(self) -> NewRun:
        run, now = self._run, self._hub.now()
        params = msgspec.json.decode(run.params)
        model = resolved_model(self._body.model, self._hub.settings) if self._body.model else params["model"]
        prompt = params["prompt"] if self._body.prompt is None else self._body.prompt
        window = run.completion_window or DEFAULT_WINDOW
        return NewRun(
            id=new_id("bpred_", now=now),
            workspace_id=run.workspace_id,
            kind=run.kind,
            model=self._body.model or run.model,
            params=job_params(model, prompt, params["output_schema"]),
            created_at=now,
            mode=run.mode,
            metadata=run.metadata,
            request_id=self._request_id,
            public_url=self._hub.public_url,
            validation=run.validation,
            failure_tolerance=run.failure_tolerance,
            priority=run.priority,
            completion_window=window,
            deadline=now + window_seconds(window),
            parent_id=run.id,
            created_by=self._caller.principal,
            price=price_of(self._hub.settings, model),
            max_cost=run.max_cost,
            on_credit_exhausted=run.on_credit_exhausted,
        )
