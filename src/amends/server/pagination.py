"""Lists: newest first, a cursor is the id of the page's last row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Literal, Protocol, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=100, description="Rows a page.")]
After = Annotated[str | None, Query(max_length=128, description="The id after which the page begins.")]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: Sequence[T]
    has_more: bool
    next_cursor: Annotated[
        str | None, Field(description="What to pass as `after` for the next page; null on the last.")
    ]


class Row(Protocol):
    """What a list is made of."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)


def page(found: Sequence[R], limit: int, show: Callable[[R], T]) -> Page[T]:
    """The page out of up to ``limit + 1`` rows, of which the last only tells that there are more."""
    rows, has_more = found[:limit], len(found) > limit
    return Page[T](data=[show(row) for row in rows], has_more=has_more, next_cursor=rows[-1].id if has_more else None)
