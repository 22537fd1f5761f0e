"""Many uploads at once, each of which succeeds or fails alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Final

from ._context import tell
from ._exceptions import ApiError
from ._flow import Drive, Flow
from ._models import File
from ._upload_bodies import Uploadable

_OF_THE_FILE: Final = frozenset({400, 409, 413, 415, 422})
"""What a server answers to a file that it will not have; anything else would befall the others, too."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be stored, and what is said of it; as the parameters of ``files.upload``."""

    file: Uploadable
    filename: str | None = None
    media_type: str | None = None
    purpose: str | None = None
    expires_after: int | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of one file of many. source: as it was given. Either ``file`` or ``error`` is None.

    error: an OSError where it could not be read, an ApiError where the server refused it.
    """

    source: Uploadable | Upload
    file: File | None
    error: Exception | None = None

    @property
    def is_stored(self) -> bool:
        """Whether it is there."""
        return self.file is not None


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far many uploads have come. done: those that have ended, well or not; total: None where that is not known."""

    done: int
    failed: int
    total: int | None


OnUpload = Callable[[UploadProgress], object]


class _Tally:
    """The outcomes as they come. Raises the first error that would befall every file, once nothing is under way any more."""

    def __init__(self, files: Iterable[Uploadable | Upload], at_once: int, on_progress: OnUpload | None) -> None:
        if at_once < 1:
            raise ValueError(f"at_once is 1 or more, not {at_once}")
        if isinstance(files, str | bytes):
            raise TypeError("files is an iterable of files, not one file: use upload")
        self._total = len(files) if isinstance(files, Sized) else None
        self._files = enumerate(files)
        self._on_progress = on_progress
        self._ended: dict[int, Uploaded] = {}
        self._failed = 0
        self._error: BaseException | None = None

    def next(self) -> tuple[int, Uploadable | Upload] | None:
        """Return the next file to send with its place, None where no more is to be sent."""
        return None if self._error else next(self._files, None)

    def end(self, place: int, source: Uploadable | Upload, file: File | None, error: BaseException | None) -> None:
        if error is not None and not _is_of_the_file(error):
            self._error = self._error or error
            return
        self._ended[place] = Uploaded(source, file, error if isinstance(error, Exception) else None)
        self._failed += error is not None
        tell(self._on_progress, UploadProgress(len(self._ended), self._failed, self._total))

    def outcomes(self) -> list[Uploaded]:
        if self._error is not None:
            raise self._error
        return [self._ended[place] for place in range(len(self._ended))]


def upload_many(
    upload: Callable[[Upload], Flow[File]],
    files: Iterable[Uploadable | Upload],
    at_once: int,
    on_progress: OnUpload | None,
) -> Flow[Sequence[Uploaded]]:
    """Drive what ``upload`` makes of each file, ``at_once`` of them at a time."""
    tally = _Tally(files, at_once, on_progress)
    yield Drive(partial(_run_many, tally, upload, at_once), partial(_arun_many, tally, upload, at_once))
    return tally.outcomes()


def _run_many(
    tally: _Tally, upload: Callable[[Upload], Flow[File]], at_once: int, run: Callable[[Flow[File]], File]
) -> None:
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

    under_way: dict[Future[File], tuple[int, Uploadable | Upload]] = {}
    with ThreadPoolExecutor(at_once, thread_name_prefix="amends-upload") as pool:
        try:
            while True:
                while len(under_way) < at_once and (found := tally.next()) is not None:
                    under_way[pool.submit(run, upload(_as_upload(found[1])))] = found
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    error = future.exception()
                    tally.end(*under_way.pop(future), None if error else future.result(), error)
        finally:
            for future in under_way:
                future.cancel()


async def _arun_many(
    tally: _Tally, upload: Callable[[Upload], Flow[File]], at_once: int, run: Callable[[Flow[File]], Awaitable[File]]
) -> None:
    import asyncio

    async def work() -> None:
        while (found := tally.next()) is not None:
            try:
                file, error = await run(upload(_as_upload(found[1]))), None
            except Exception as failure:
                file, error = None, failure
            tally.end(*found, file, error)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


def _as_upload(source: Uploadable | Upload) -> Upload:
    return source if isinstance(source, Upload) else Upload(source)


def _is_of_the_file(error: BaseException) -> bool:
    if isinstance(error, ApiError):
        return error.status_code in _OF_THE_FILE
    return isinstance(error, OSError | ValueError | TypeError)
