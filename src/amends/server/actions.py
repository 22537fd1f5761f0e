"""What can be asked and done about runs: shared by the routes of runs and of batch predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from amends.ledger import Also, FailureGroup, InvalidTransition, Run, line_members
from amends.problems import (
    CATALOGUE,
    FieldError,
    Problem,
    ProblemError,
    not_found,
    results_gone,
    validation_failed,
)
from amends.server.answers import change, json_response
from amends.server.prices import millionths
from amends.server.results import whole_line
from amends.server.retries import retry
from amends.server.services import caller, services
from amends.server.threads import in_thread
from amends.server.wire import STATES, ExtendBody, RetryBody

EXAMPLES: Final = 3


class Actions:
    """One request about runs of its caller's workspace.

    kind: what the surface calls them (``run``, ``batch_prediction``); show: how it shows one.
    Every method raises ProblemError: resource_not_found, insufficient_permissions, and what it names itself.
    """

    def __init__(self, request: Request, kind: str, show: Callable[[Run, str], dict[str, Any]]) -> None:
        self.request = request
        self.hub = services(request)
        self.who = caller(request)
        self._kind = kind
        self._show = show

    def show(self, run: Run) -> dict[str, Any]:
        """The run as this surface answers it."""
        return self._show(run, self.hub.public_url)

    async def find(self, run_id: str) -> Run:
        """The run, if it is of the caller's workspace; what is not is answered like what never was."""
        run = await in_thread(self.hub.ledger.get, run_id)
        if run is None or run.workspace_id != self.who.workspace_id:
            raise ProblemError(not_found(self._kind, run_id))
        return run

    async def get(self, run_id: str) -> Response:
        """Show the run."""
        return json_response(self.show(await self.find(run_id)))

    async def list(self, *, of_kind: str | None, status: str | None, limit: int, after: str | None) -> Response:
        """One page, newest first. ProblemError validation_failed for a cursor that is no run's id."""
        if after is not None:
            await self._check_cursor(after)
        found = await in_thread(
            self.hub.ledger.find,
            self.who.workspace_id,
            kind=of_kind,
            state=STATES[status] if status else None,
            limit=limit + 1,
            after=after,
        )
        return self.page(found, limit)

    async def _check_cursor(self, after: str) -> None:
        run = await in_thread(self.hub.ledger.get, after)
        if run is None or run.workspace_id != self.who.workspace_id:
            fault = FieldError.at(("query", "after"), "after must be the id of a row of this list")
            raise ProblemError(validation_failed([fault]))

    def page(self, found: Sequence[Run], limit: int) -> Response:
        """A page out of up to ``limit + 1`` runs, of which the last only tells that there are more."""
        rows = found[:limit]
        has_more = len(found) > limit
        return json_response(
            {
                "object": "list",
                "data": [self.show(run) for run in rows],
                "has_more": has_more,
                "next_cursor": rows[-1].id if has_more else None,
            }
        )

    async def failures(self, run_id: str, *, lineage: bool) -> Response:
        """The items that did not succeed, grouped by type. ProblemError results_gone after retention."""
        run = await self.find(run_id)
        if run.lines_deleted_at is not None:
            raise ProblemError(results_gone(run.id))
        groups = await in_thread(self.failure_groups, run, lineage=lineage)
        return json_response(
            {
                "object": "batch_prediction.failures",
                "batch_id": run.id,
                "total": sum(group["count"] for group in groups),
                "data": groups,
            }
        )

    def failure_groups(self, run: Run, *, lineage: bool = False) -> Sequence[dict[str, Any]]:
        """What did not succeed, by type with the remedy and examples, the largest group first. Blocks."""
        groups = self.hub.ledger.failures(run.id, examples=EXAMPLES, lineage=lineage)
        return [self._group_body(group, run) for group in groups]

    def _group_body(self, group: FailureGroup, run: Run) -> dict[str, Any]:
        lines = [line_members(whole_line(line, run.id, self.hub.blobs)) for line in group.examples]
        row = CATALOGUE[group.problem]
        # The verdict of the occurrence where there is one: it depends on its error code.
        remedy = Problem.from_body(lines[0]["error"]).remedy if lines else row.remedy
        return {
            "type": f"{self.hub.public_url}/errors/{group.problem}",
            "slug": group.problem,
            "title": row.title,
            "count": group.count,
            "remedy": remedy.to_dict(),
            "examples": [
                {
                    "custom_id": line["custom_id"],
                    "status": line["status"],
                    "detail": line["error"]["detail"],
                    "error_code": line["error"]["error_code"],
                }
                for line in lines
            ],
        }

    async def conservation(self, run_id: str) -> Response:
        """Where the run's items are."""
        run = await self.find(run_id)
        found = await in_thread(self.hub.ledger.conservation, run.id)
        names = ("total", "outcomes", "deferred", "pending", "leased", "holds")
        sums = {name: getattr(found, name) for name in names}
        return json_response({"object": "run.conservation", "run_id": run.id, **sums})

    async def cancel(self, run_id: str) -> Response:
        """Cancel; a cancelling or cancelled run is answered unchanged. ProblemError conflict once it has ended otherwise."""
        run = await self.find(run_id)
        self.who.authorize("cancel", self._kind, made_by=run.created_by)
        return await self._change(run, lambda also: self.hub.ledger.cancel(run.id, also=also))

    async def extend(self, run_id: str, body: ExtendBody | None) -> Response:
        """Go on with the items that a limit or a sample holds back, or beyond what the run was to cost.

        ProblemError conflict where nothing holds it back.
        """
        run = await self.find(run_id)
        self.who.authorize("extend", self._kind, made_by=run.created_by)
        max_cost = None if body is None or body.max_cost is None else millionths(body.max_cost)

        def extend(also: Also) -> Run:
            current = self.hub.ledger.get(run.id)
            if current is not None and not current.is_terminal and not is_held_back(current, max_cost):
                raise InvalidTransition(current.state, "extended: it holds no items back")
            return self.hub.ledger.extend(run.id, max_cost=max_cost, also=also)

        return await self._change(run, extend)

    async def retry(self, run_id: str, body: RetryBody | None) -> Response:
        """Retry what failed in a child run, see ``retries``."""
        run = await self.find(run_id)
        self.who.authorize("retry", self._kind, made_by=run.created_by)
        return await retry(self.request, run, body or RetryBody(), self.show, self._kind)

    async def expire(self, run_id: str) -> Response:
        """Close the completion window now; an expired run is answered unchanged. ProblemError conflict once it has ended."""
        run = await self.find(run_id)
        self.who.authorize("expire", self._kind, role="admin")

        def expire(also: Also) -> Run:
            current = self.hub.ledger.get(run.id)
            if current is None or current.ending != "expired":
                self.hub.ledger.end(run.id, "expired")
            return self._answered(run, also)

        return await self._change(run, expire)

    async def purge(self, run_id: str) -> Response:
        """Delete the result lines now; a run without them is answered unchanged. ProblemError conflict before the end."""
        run = await self.find(run_id)
        self.who.authorize("purge", self._kind, role="admin")

        def purge(also: Also) -> Run:
            current = self.hub.ledger.get(run.id)
            if current is None or current.lines_deleted_at is None:
                self.hub.ledger.delete_lines(run.id)
            return self._answered(run, also)

        return await self._change(run, purge)

    async def _change(self, run: Run, work: Callable[[Also], Run]) -> Response:
        return await change(self.request, run, self._kind, self.show, work)

    def _answered(self, run: Run, also: Also) -> Run:
        """Store the answer to a change that is its own replay: dying before this leaves the key free, and a repeated
        request finds the change made and is answered the same."""
        self.hub.database.write(also)
        changed = self.hub.ledger.get(run.id)
        assert changed is not None
        return changed


def is_held_back(run: Run, max_cost: int | None) -> bool:
    return run.held > 0 or run.paused_reason == "cost_cap" or max_cost is not None
