"""Taking a new batch prediction, from one JSON object or from NDJSON of any length.

Both are read into the same items and go the same way; what differs is where they come from. Every fault of a request is
reported at once, so reading goes on after the first, though nothing is written any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from fastapi import Request
from starlette.responses import Response

from amends.engine.processor import Job
from amends.ledger import Counts, NewItem
from amends.problems import (
    FieldError,
    ProblemError,
    problem,
    validation_failed,
)
from amends.server.answers import json_response
from amends.server.composition import processor_settings
from amends.server.idempotency import Guard, digest_of, idempotent
from amends.server.items import Faults, ItemLine, file_ids, rows_of, sent_digest
from amends.server.parameters import new_run, read_parameters
from amends.server.prices import credits
from amends.server.receiving import Receiving
from amends.server.services import Services, caller, services
from amends.server.sources import LineSource, ObjectSource, Source
from amends.server.threads import in_thread
from amends.server.wire import KIND, Parameters, batch_body, counts_body
from amends.store import FileRef

NDJSON: Final = frozenset({"application/x-ndjson", "application/jsonl"})
_JSON: Final = "application/json"


async def create(request: Request) -> Response:
    """Accept a batch, or say all that is wrong with it."""
    caller(request).authorize("create", "batch_prediction")
    source = await _source(request)
    async with idempotent(request, None) as guard:
        intake = Intake(request, guard)
        return await intake.take(source)


async def _source(request: Request) -> Source:
    media_type = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    limits = services(request).settings.limits
    if media_type in NDJSON:
        return LineSource(request.stream(), limits.ndjson_line_bytes, limits.nesting)
    if media_type == _JSON or media_type.endswith("+json"):
        return ObjectSource(await request.body(), limits.nesting)
    raise ProblemError(
        problem("unsupported_media_type", f"A batch is {_JSON} or application/x-ndjson, not {media_type}")
    )


class Intake:
    """One request to create a batch."""

    def __init__(self, request: Request, guard: Guard) -> None:
        self._services = services(request)
        self._caller = caller(request)
        self._request_id = request.state.request_id
        self._guard = guard
        self._faults = Faults()
        self._digest = hashlib.sha256()
        self._total = 0
        self._has_files = False

    async def take(self, source: Source) -> Response:
        given = await source.parameters()
        parameters, faults = read_parameters(given, self._services.settings)
        self._faults.add(faults)
        self._digest.update(digest_of(given))
        if parameters is None or self._faults or self._guard.is_known:
            return await self._only_read(source)
        if parameters.dry_run:
            return await self._try(source, parameters)
        return await self._accept(source, parameters)

    async def _only_read(self, source: Source) -> Response:
        """Read to the end, for the faults in it or to see whether it is what was sent under the key before."""
        async for items in source.items(self._faults):
            await self._rows(items)
        self._refuse_faults()
        replay = self._guard.settle(self._digest.digest())
        assert replay is not None
        return replay

    async def _accept(self, source: Source, parameters: Parameters) -> Response:
        receiving = self._receiving(parameters, self._guard)
        try:
            await receiving.open(most=self._services.most_runs(self._caller))
            async for items in source.items(self._faults):
                rows = await self._rows(items)
                if not self._faults:
                    await receiving.add(rows)
            self._refuse_faults()
            self._guard.settle(self._digest.digest())
            # The processor looks at items with files before they run; text has nothing that could be said against it.
            return await receiving.seal(validate=self._has_files or parameters.validation == "strict")
        except BaseException:
            await receiving.abandon()
            raise

    async def _try(self, source: Source, parameters: Parameters) -> Response:
        """The dry run: everything is done and looked at, and nothing kept."""
        receiving = self._receiving(parameters, Guard())
        trial = Trial(self._services, receiving_job(parameters, self._services, self._caller.mode))
        try:
            await receiving.open()
            async for items in source.items(self._faults):
                rows = await self._rows(items)
                if not self._faults:
                    trial.look_at(rows)
                    await receiving.add(rows)
            self._refuse_faults()
            await receiving.check()
        finally:
            await receiving.abandon()
        return json_response(trial.body(receiving.run.price, receiving.run.max_cost))

    def _receiving(self, parameters: Parameters, guard: Guard) -> Receiving:
        run = new_run(
            parameters,
            caller=self._caller,
            request_id=self._request_id,
            public_url=self._services.public_url,
            settings=self._services.settings,
            now=self._services.now(),
        )
        return Receiving(self._services, run, guard, lambda sealed: batch_body(sealed, self._services.public_url))

    async def _rows(self, items: list[ItemLine]) -> list[NewItem]:
        ids = file_ids(items)
        files: Mapping[str, FileRef] = {}
        if ids:
            self._has_files = True
            files = await in_thread(self._services.store.files.resolve, self._caller.workspace_id, ids)
        rows = rows_of(items, files)
        self._digest.update(sent_digest(items, rows))
        self._total += len(rows)
        return rows

    def _refuse_faults(self) -> None:
        if self._faults:
            raise ProblemError(validation_failed(self._faults.first, errors_total=self._faults.total))


def receiving_job(parameters: Parameters, services: Services, mode: str) -> Job:
    """The job as a processor is asked about it before there is a run."""
    aliases = services.settings.models.aliases
    resolved = aliases.get(parameters.model, parameters.model)
    params = {"model": resolved, "prompt": parameters.prompt, "output_schema": parameters.output_schema}
    return Job("", mode, params, processor_settings(services.settings))


class Trial:
    """What a dry run finds: each item is shown to the processor, as it would be while the run is validating."""

    def __init__(self, services: Services, job: Job) -> None:
        self._processor = services.processors[KIND]
        self._job = job
        self._found = Faults()
        self._total = 0

    def look_at(self, rows: Sequence[NewItem]) -> None:
        for index, row in enumerate(rows, self._total):
            against = self._processor.validate(self._job, msgspec.json.decode(row.payload))
            if against is not None:
                place = ("body", "items", index)
                fault = FieldError.at(place, against.detail, code=against.slug, custom_id=row.custom_id)
                self._found.add([fault])
        self._total += len(rows)

    def body(self, price: int, max_cost: int | None) -> dict[str, Any]:
        """price, max_cost: as the ledger keeps them."""
        cost = (self._total - self._found.total) * price
        counts = Counts(total=self._total, errored=self._found.total)
        return {
            "object": "batch_prediction.dry_run",
            "request_counts": counts_body(counts),
            "cost": credits(cost if max_cost is None else min(cost, max_cost)),
            "errors": [fault.to_dict() for fault in self._found.first],
        }
