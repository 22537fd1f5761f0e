"""Items whose file somebody else serves: fetched, and then items of a file like any other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, Final

import msgspec

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, WorkItem
from amends.fetching import Allowed, Fetched, Fetcher, FetchLimits, Target
from amends.models import Kind, identify, identify_head, kind_of, media_type_of, type_named
from amends.problems import Problem, ProblemError, asset_failed, problem

from ._problems import problem_of
from ._runners import is_url

__all__ = ["UrlItems"]

_AT_ONCE: Final = 8
_PROMISING: Final = frozenset({"pdf", "image", "docx"})
"""Kinds whose names promise what a page of HTML is not: a form to log in, most often."""


class UrlItems:
    """Turns the items of URLs among others into items of files. settings: of the fetches, as ``[fetch]`` has them."""

    def __init__(self, blobs: LocalBlobs, settings: Mapping[str, Any], fetcher: Fetcher | None = None) -> None:
        self._blobs = blobs
        bounds = {name: value for name, value in settings.items() if name != "allow"}
        allowed = Allowed.of(settings.get("allow", ()))
        self._fetcher = fetcher or Fetcher(blobs, limits=FetchLimits(**bounds), allowed=allowed)

    def ready(self, items: Sequence[WorkItem], takes: Collection[Kind]) -> Iterator[list[WorkItem | Failed]]:
        """The items in groups, each as soon as it is there: those without a URL first, the others as they arrive, or as they failed."""
        urls = [item for item in items if is_url(item.payload)]
        if len(urls) < len(items):
            yield [item for item in items if not is_url(item.payload)]
        if len(urls) == 1:
            yield [self._arrived(urls[0], takes)]
        elif urls:
            yield from self._together(urls, takes)

    def _together(self, urls: Sequence[WorkItem], takes: Collection[Kind]) -> Iterator[list[WorkItem | Failed]]:
        pool = ThreadPoolExecutor(min(_AT_ONCE, len(urls)), thread_name_prefix="amends-fetch")
        try:
            waiting = {pool.submit(self._arrived, item, takes) for item in urls}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield [one.result() for one in done]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _arrived(self, item: WorkItem, takes: Collection[Kind]) -> WorkItem | Failed:
        try:
            return item._replace(payload=self._as_file(item.payload, takes))
        except Exception as error:
            return Failed(item.seq, problem_of(error, item))

    def _as_file(self, payload: bytes, takes: Collection[Kind]) -> bytes:
        members = msgspec.json.decode(payload)
        url = members.pop("url")

        def look_at(head: bytes, declared: str, target: Target) -> None:
            if head and (found := identify_head(head)) is not None:
                _check(media_type_of(found, len(head), declared, target.filename), target.filename, takes)

        fetched = self._fetcher.fetch(url, look_at)
        if fetched.size == 0:
            raise ProblemError(problem("unprocessable_content", "The URL answered nothing", error_code="FILE_EMPTY"))
        media_type = self._media_type(fetched)
        _check(media_type, fetched.filename, takes)
        file = {"id": url, "sha256": fetched.sha256, "media_type": media_type}
        return msgspec.json.encode({"file": file, **members})

    def _media_type(self, fetched: Fetched) -> str:
        found = identify(self._blobs.path(fetched.sha256))
        return media_type_of(found, fetched.size, fetched.declared, fetched.filename)


def _check(media_type: str, filename: str, takes: Collection[Kind]) -> None:
    """Raises ProblemError where the answer is of no kind that the model takes, or a page in place of the file."""
    kind = kind_of(media_type)
    if kind not in takes:
        raise ProblemError(_unfit(f"The URL answered {media_type}, which the model does not process", media_type))
    promised = kind_of(type_named(filename))
    if kind == "html" and promised in _PROMISING:
        raise ProblemError(_unfit(f"The URL answered a page of HTML, and not the {promised} that it names", media_type))


def _unfit(detail: str, media_type: str) -> Problem:
    return asset_failed("content_type", detail, media_type=media_type, upstream_status=200)
