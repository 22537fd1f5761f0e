"""Lists, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from ._exceptions import ConfigurationError
from ._flow import Answer
from ._models import Record, read, read_value

M = TypeVar("M", bound=Record)


class _PageBase(Generic[M]):
    """data: this page's rows, newest first. next_cursor: None on the last page."""

    def __init__(self, data: list[M], has_more: bool, next_cursor: str | None) -> None:
        self.data = data
        self.has_more = has_more
        self.next_cursor = next_cursor

    def _cursor(self) -> str | None:
        # A server that promises more and gives nothing would be asked for ever.
        return self.next_cursor if self.has_more and self.data else None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(data={self.data!r}, has_more={self.has_more!r}, next_cursor={self.next_cursor!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        # The way to the next page is a client, which stays in its process.
        return {"data": self.data, "has_more": self.has_more, "next_cursor": self.next_cursor}


class Page(_PageBase[M]):
    """One page of a list. Iterating it walks this page and all that follow, asking for each when it is needed."""

    _fetch: Callable[[str], Page[M]] | None = None

    def next_page(self) -> Page[M] | None:
        """Return the page after this one, None on the last. ConfigurationError on a copy from another process."""
        cursor = self._cursor()
        if cursor is None:
            return None
        if self._fetch is None:
            raise ConfigurationError("This page holds no client: list again, with after=page.next_cursor")
        return self._fetch(cursor)

    def __iter__(self) -> Iterator[M]:
        page: Page[M] | None = self
        while page is not None:
            yield from page.data
            page = page.next_page()


class AsyncPage(_PageBase[M]):
    """One page of a list. Iterating it walks this page and all that follow, asking for each when it is needed."""

    _fetch: Callable[[str], Awaitable[AsyncPage[M]]] | None = None

    async def next_page(self) -> AsyncPage[M] | None:
        """Return the page after this one, None on the last. ConfigurationError on a copy from another process."""
        cursor = self._cursor()
        if cursor is None:
            return None
        if self._fetch is None:
            raise ConfigurationError("This page holds no client: list again, with after=page.next_cursor")
        return await self._fetch(cursor)

    async def __aiter__(self) -> AsyncIterator[M]:
        page: AsyncPage[M] | None = self
        while page is not None:
            for row in page.data:
                yield row
            page = await page.next_page()


class Listing(Record):
    """The body of a list, its rows not yet looked at."""

    data: list[dict[str, Any]]
    has_more: bool | None = None
    next_cursor: str | None = None


def read_rows(model: type[M], answer: Answer) -> tuple[list[M], bool, str | None]:
    """Return rows, whether more follow, and the cursor to them; ApiError where the body is no list of ``model``."""
    listing = read(Listing, answer)
    rows = [read_value(model, row, answer) for row in listing.data]
    return rows, bool(listing.has_more), listing.next_cursor
