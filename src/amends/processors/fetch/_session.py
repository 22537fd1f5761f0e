"""What a worker's child does with items of kind ``fetch``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import msgspec

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, Surroundings, WorkItem
from amends.fetching import Allowed, Fetcher, FetchLimits, Target
from amends.models import identify_head, look_at_asset, may_be_shown, media_type_of
from amends.problems import Problem, ProblemError, asset_failed

__all__ = ["FetchSession"]

_THREADS = 16

_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("amends.processors.fetch")


class FetchSession:
    """Fetches URLs into blobs, several at a time; what goes wrong with one is that one's problem."""

    def __init__(self, surroundings: Surroundings, fetcher: Fetcher | None = None) -> None:
        self._blobs = LocalBlobs(surroundings.blobs)
        given = dict(surroundings.settings.get("fetch", {}))
        allowed = Allowed.of(given.pop("allow", ()))
        self._fetcher = fetcher or Fetcher(self._blobs, limits=FetchLimits(**given), allowed=allowed)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="amends-fetch")

    def process(self, job: Job, items: Sequence[WorkItem]) -> Iterator[Result]:
        """Yield one result for each item, as they come. Raises nothing for what a host does."""
        if len(items) == 1:
            yield self._result(items[0])
            return
        for future in as_completed([self._pool.submit(self._result, item) for item in items]):
            yield future.result()

    def close(self) -> None:
        """Wait for nobody: what hangs has a time of its own."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _result(self, item: WorkItem) -> Result:
        try:
            return Succeeded(item.seq, self._fetch(str(msgspec.json.decode(item.payload)["url"])))
        except Exception as error:
            return Failed(item.seq, _problem_of(error, item))

    def _fetch(self, url: str) -> bytes:
        fetched = self._fetcher.fetch(url, _look_at)
        try:
            looked = look_at_asset(self._blobs.path(fetched.sha256))
        except ProblemError as error:
            known = error.problem
            raise ProblemError(
                known.replace(
                    detail=f"What the URL answered cannot be shown. {known.detail}",
                    extensions={**known.extensions, "upstream_status": 200},
                )
            ) from error
        return _encode({"sha256": fetched.sha256, **looked._asdict(), "filename": fetched.filename[:1_024] or None})


def _look_at(head: bytes, declared: str, target: Target) -> None:
    """Stop where the first bytes are those of a text: a page that asks to log in, most often."""
    if not head or (found := identify_head(head)) is None:
        return
    media_type = media_type_of(found, len(head), declared, target.filename)
    if not may_be_shown(media_type):
        what = f"The URL answered {media_type}, and neither a picture that is decoded here nor video or audio"
        raise ProblemError(asset_failed("content_type", what, media_type=media_type, upstream_status=200))


def _problem_of(error: Exception, item: WorkItem) -> Problem:
    if isinstance(error, ProblemError):
        return error.problem
    _log.error("item_failed", exc_info=error, extra={"item": item.key})
    return asset_failed("internal", "What the URL answered could not be looked at here")
