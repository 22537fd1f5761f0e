"""``client.credits``: what the workspace has, what it spent, what work would cost."""

from __future__ import annotations

from typing import Unpack

from ._bodies import JsonBody
from ._context import Context, ReadOptions, WriteOptions
from ._flow import Flow
from ._loops import AsyncLoop, SyncLoop
from ._models import CreditConservation, CreditEntry, CreditEstimate, Credits
from ._operations import Rows, fetch, fetch_once, fetch_rows, given
from ._pages import AsyncPage, Page

_ROOT = "/v1/credits"


def _balance(context: Context, options: ReadOptions) -> Flow[Credits]:
    return fetch(context, Credits, options, "GET", _ROOT)


def _estimate(context: Context, model: str, items: int, options: ReadOptions) -> Flow[CreditEstimate]:
    return fetch(context, CreditEstimate, options, "GET", f"{_ROOT}/estimate", query={"model": model, "items": items})


def _history(context: Context, limit: int | None, after: str | None, options: ReadOptions) -> Flow[Rows[CreditEntry]]:
    return fetch_rows(context, CreditEntry, options, f"{_ROOT}/history", given(limit=limit, after=after))


def _top_up(context: Context, amount: float, note: str | None, options: WriteOptions) -> Flow[CreditEntry]:
    body = JsonBody(given(amount=amount, note=note))
    return fetch_once(context, CreditEntry, options, "POST", f"{_ROOT}/top-ups", body=body)


def _conservation(context: Context, options: ReadOptions) -> Flow[CreditConservation]:
    return fetch(context, CreditConservation, options, "GET", f"{_ROOT}/conservation")


class CreditAccount:
    """The workspace's credits."""

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    def balance(self, **options: Unpack[ReadOptions]) -> Credits:
        """Return what is free, what is held for running work, and what that was charged so far."""
        return self._loop.run(_balance(self._context, options))

    def estimate(self, *, model: str, items: int, **options: Unpack[ReadOptions]) -> CreditEstimate:
        """Return what so many items would cost at most; what fails costs nothing. ``dry_run`` does it for a whole batch."""
        return self._loop.run(_estimate(self._context, model, items, options))

    def history(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> Page[CreditEntry]:
        """Return a page of top-ups and charges, newest first; iterating it walks all pages. A run is charged at its end."""
        page = Page(*self._loop.run(_history(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.history(limit=limit, after=cursor, **options)
        return page

    def top_up(self, amount: float, *, note: str | None = None, **options: Unpack[WriteOptions]) -> CreditEntry:
        """Add credits; for owners. Runs that paused for want of them go on by themselves."""
        return self._loop.run(_top_up(self._context, amount, note, options))

    def conservation(self, **options: Unpack[ReadOptions]) -> CreditConservation:
        """Return where the credit is; ``holds`` says that none is lost or came from nowhere."""
        return self._loop.run(_conservation(self._context, options))


class AsyncCreditAccount:
    """The workspace's credits."""

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context

    async def balance(self, **options: Unpack[ReadOptions]) -> Credits:
        """Return what is free, what is held for running work, and what that was charged so far."""
        return await self._loop.run(_balance(self._context, options))

    async def estimate(self, *, model: str, items: int, **options: Unpack[ReadOptions]) -> CreditEstimate:
        """Return what so many items would cost at most; what fails costs nothing. ``dry_run`` does it for a whole batch."""
        return await self._loop.run(_estimate(self._context, model, items, options))

    async def history(
        self, *, limit: int | None = None, after: str | None = None, **options: Unpack[ReadOptions]
    ) -> AsyncPage[CreditEntry]:
        """Return a page of top-ups and charges, newest first; iterating it walks all pages. A run is charged at its end."""
        page = AsyncPage(*await self._loop.run(_history(self._context, limit, after, options)))
        page._fetch = lambda cursor: self.history(limit=limit, after=cursor, **options)
        return page

    async def top_up(self, amount: float, *, note: str | None = None, **options: Unpack[WriteOptions]) -> CreditEntry:
        """Add credits; for owners. Runs that paused for want of them go on by themselves."""
        return await self._loop.run(_top_up(self._context, amount, note, options))

    async def conservation(self, **options: Unpack[ReadOptions]) -> CreditConservation:
        """Return where the credit is; ``holds`` says that none is lost or came from nowhere."""
        return await self._loop.run(_conservation(self._context, options))
