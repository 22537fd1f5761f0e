"""Lists: newest first, a cursor is the id of the page's last row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, Literal, TypeVar

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


def page(rows: Sequence[T], limit: int, last_id: str | None) -> Page[T]:
    """The page out of ``limit + 1`` rows, of which the last only tells that there are more. last_id: of row ``limit``."""
    has_more = len(rows) > limit
    return Page[T](data=rows[:limit], has_more=has_more, next_cursor=last_id if has_more else None)
