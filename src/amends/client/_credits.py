"""``client.credits``: what the workspace has, what it spent, what work would cost."""

from __future__ import annotations

from typing import Final, Unpack

from ._bodies import JsonBody
from ._context import ReadOptions, WriteOptions
from ._flow import Flow
from ._models import CreditConservation, CreditEntry, CreditEstimate, Credits
from ._operations import Rows, fetch, fetch_once, fetch_rows, given
from ._twins import AsyncResource, Methods, SyncResource, method, paged

_ROOT: Final = "/v1/credits"


class _CreditAccount(Methods):
    @method
    def balance(self, **options: Unpack[ReadOptions]) -> Flow[Credits]:
        """Return what is free, what is held for running work, and what that was charged so far."""
        return fetch(self._context, Credits, options, "GET", _ROOT)

    @method
    def estimate(self, *, model: str, items: int, **options: Unpack[ReadOptions]) -> Flow[CreditEstimate]:
        """Return what so many items would cost at most; what fails costs nothing. ``dry_run`` does it for a whole batch."""
        query = {"model": model, "items": items}
        return fetch(self._context, CreditEstimate, options, "GET", f"{_ROOT}/estimate", query=query)

    @paged
    def history(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Flow[Rows[CreditEntry]]:
        """Return a page of top-ups and charges, newest first; iterating it walks all pages. A run is charged at its end."""
        return fetch_rows(self._context, CreditEntry, options, f"{_ROOT}/history", given(limit=limit, after=after))

    @method
    def top_up(self, amount: float, *, note: str | None = None, **options: Unpack[WriteOptions]) -> Flow[CreditEntry]:
        """Add credits; for owners. Runs that paused for want of them go on by themselves."""
        body = JsonBody(given(amount=amount, note=note))
        return fetch_once(self._context, CreditEntry, options, "POST", f"{_ROOT}/top-ups", body=body)

    @method
    def conservation(self, **options: Unpack[ReadOptions]) -> Flow[CreditConservation]:
        """Return where the credit is; ``holds`` says that none is lost or came from nowhere."""
        return fetch(self._context, CreditConservation, options, "GET", f"{_ROOT}/conservation")


class CreditAccount(_CreditAccount, SyncResource):
    """The workspace's credits."""


class AsyncCreditAccount(_CreditAccount, AsyncResource):
    """The workspace's credits."""
