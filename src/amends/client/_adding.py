"""Adding datapoints to a dataset: local files read, each content sent once, many in a request, several requests at once.

Datapoints go in order into packs, each one request: so many lines, and the small files that no earlier pack took along. One that
needs a file which another pack is just taking waits for the next round, when that is there. Large files go ahead of their pack, in
parts. In the end the runs are waited for that fetch what was given by URL::

    read, hash ─► pack ─► which contents are known? ─► the others with the lines ─► outcomes ─► rounds … ─► fetches
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from amends.problems import Problem, asset_failed

from ._bodies import Body, JsonBody
from ._bundles import BundleBody, LinesBody
from ._context import Context, ReadOptions, WriteOptions
from ._datapoints import Datapoint, line_of, paths_of
from ._exchange import Call, exchange, malformed, within
from ._failed_uploads import FailedUpload, failed_upload
from ._files import upload_flow
from ._flow import Answer, Flow, Sleep
from ._journaling import begin, finish
from ._json import encode
from ._many import Upload
from ._models import DatapointOutcome, DatapointOutcomes, KnownAssets, Run, read
from ._waiting import wait

_PACK_LINES: Final = 2_000
_PACK_FILES: Final = 250
_PACK_BYTES: Final = 8 << 20
_LARGE_BYTES: Final = 4 << 20
_READ_BYTES: Final = 1 << 20
_LARGE_SECONDS: Final = 86_400
"""How long a large file stays a file of its own; what a dataset shows stays with that."""
_LOOK_SECONDS: Final = 0.2
_MOST_RUNS: Final = 20
"""So many are waited for before more URLs are sent: a workspace may not have more than a hundred under way."""

OnAdded = Callable[[int, int], object]
"""Told how many datapoints have their outcome, and how many of them failed."""


class _Content(NamedTuple):
    """A local file as it was read. data: None of a large one, and of one whose content is on its way."""

    sha256: str
    size: int
    data: bytes | None


@dataclass(slots=True)
class _Pack:
    """One request. places: of its datapoints in the call; digests: of the paths in them; files: what may have to go along."""

    places: list[int] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def holds(self, sha256: str) -> bool:
        return sha256 in self.files or sha256 in self.large


class Adding:
    """One call that adds. run: what runs, or awaits, a flow that goes on after the call: a PollTimeoutError waits on with it."""

    def __init__(
        self,
        context: Context,
        dataset_id: str,
        given: Iterable[Datapoint | FailedUpload],
        options: ReadOptions,
        run: Callable[[Flow[Run]], Any],
    ) -> None:
        self.datapoints: Sequence[Datapoint] = [one.item if isinstance(one, FailedUpload) else one for one in given]
        for one in self.datapoints:
            if not isinstance(one, Datapoint):
                raise TypeError(f"what is added are Datapoints, or FailedUploads of an earlier call; not {one!r}")
        self.failures: dict[int, FailedUpload] = {}
        self.on_added: OnAdded | None = None
        self._context = context
        self._path = f"/v1/datasets/{dataset_id}"
        self._left = within(context, options)
        self._run = run
        self._ended: set[int] = set()
        self._known: dict[str, tuple[str, int]] = {}
        self._on_their_way: set[str] = set()
        self._stored: set[str] = set()
        self._refused: dict[str, Problem] = {}
        self._late: list[int] = []
        self._runs: dict[str, dict[int, int]] = {}
        self._lock = threading.Lock()

    @property
    def succeeded(self) -> list[Datapoint]:
        """Those that stand, in the order given."""
        return [one for place, one in enumerate(self.datapoints) if place in self._ended and place not in self.failures]

    @property
    def failed(self) -> list[FailedUpload]:
        """Those that do not, in the order given."""
        return [self.failures[place] for place in sorted(self.failures)]

    def rounds(self) -> Iterator[Iterator[Flow[None]]]:
        """Flows to be driven, some at a time; those of a round when all of the one before have ended."""
        waiting: Sequence[int] = range(len(self.datapoints))
        while waiting:
            self._late = []
            yield self._packs(waiting)
            self._stored |= self._on_their_way
            self._on_their_way.clear()
            waiting = self._late
            if self._runs and (len(self._runs) >= _MOST_RUNS or not waiting):
                runs, self._runs = self._runs, {}
                yield (self._awaited(run_id, among) for run_id, among in runs.items())

    def _packs(self, places: Iterable[int]) -> Iterator[Flow[None]]:
        pack = _Pack()
        for place in places:
            if len(self._runs) >= _MOST_RUNS:
                self._late.append(place)
                continue
            contents = self._read(place)
            if contents is None:
                continue
            new = self._new_in(contents, pack)
            if pack.places and (
                len(pack.places) >= _PACK_LINES
                or len(pack.files) + len(new) > _PACK_FILES
                or pack.size + sum(len(content.data or b"") for content in new.values()) > _PACK_BYTES
            ):
                yield self._closed(pack)
                pack = _Pack()
            if any(one.sha256 in self._on_their_way for one in contents.values()):
                self._late.append(place)
                continue
            self._put(pack, place, contents)
        if pack.places:
            yield self._closed(pack)

    def _closed(self, pack: _Pack) -> Flow[None]:
        self._on_their_way.update(pack.files, pack.large)
        return self._send(pack)

    def _new_in(self, contents: Mapping[str, _Content], pack: _Pack) -> dict[str, _Content]:
        return {
            one.sha256: one
            for one in contents.values()
            if not (pack.holds(one.sha256) or one.sha256 in self._stored or one.sha256 in self._on_their_way)
        }

    def _put(self, pack: _Pack, place: int, contents: Mapping[str, _Content]) -> None:
        pack.places.append(place)
        new = self._new_in(contents, pack)
        for path, content in contents.items():
            pack.digests[path] = content.sha256
            if content.sha256 not in new or pack.holds(content.sha256):
                continue
            if content.data is None:
                pack.large[content.sha256] = path
            else:
                pack.files[content.sha256] = content.data
                pack.size += content.size

    def _read(self, place: int) -> dict[str, _Content] | None:
        """The local files of a datapoint; None where it has failed for one of them."""
        found: dict[str, _Content] = {}
        for path in paths_of(self.datapoints[place]):
            try:
                content = self._content(path)
            except (OSError, ValueError) as error:  # ValueError: a NUL in a path
                why = getattr(error, "strerror", None) or str(error)
                self._end(place, asset_failed("read", f"{path} cannot be read: {why}"), error)
                return None
            if (refused := self._refused.get(content.sha256)) is not None:
                self._end(place, refused)
                return None
            found[path] = content
        return found

    def _content(self, path: str) -> _Content:
        known = self._known.get(path)
        if known is not None and known[0] in self._stored:
            return _Content(*known, None)
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            if status.st_size <= _LARGE_BYTES:
                data = file.read()
                content = _Content(hashlib.sha256(data).hexdigest(), len(data), data)
            else:
                digest = hashlib.sha256()
                while block := file.read(_READ_BYTES):
                    digest.update(block)
                content = _Content(digest.hexdigest(), status.st_size, None)
        self._known[path] = content.sha256, content.size
        return content

    def _send(self, pack: _Pack) -> Flow[None]:
        lines = b"\n".join(self._line(pack, place) for place in pack.places)
        entry = None
        if self._context.journal is not None:
            digest = hashlib.sha256(lines).hexdigest()
            entry = yield from begin(self._context, "datasets.add_datapoints", digest, self._path, self._left())
            if entry.answer is not None:
                self._settle(pack, Answer(200, {}, entry.answer))
                return
        body = yield from self._body(pack, lines)
        # Under a key of its own, not the journal's: what failed may be mended when the program runs again, and what stands already
        # is found by what it is.
        call = Call("POST", f"{self._path}/datapoints", body=body, is_bulk=True)
        answer = yield from exchange(self._context, call, self._left())
        if self._settle(pack, answer) and entry is not None:
            yield from finish(self._context, entry, answer)

    def _line(self, pack: _Pack, place: int) -> bytes:
        datapoint = self.datapoints[place]
        contents = {path: {"sha256": pack.digests[path], "filename": _name(path)} for path in paths_of(datapoint)}
        return encode(line_of(datapoint, contents))

    def _body(self, pack: _Pack, lines: bytes) -> Flow[Body]:
        """The lines with what the server has not; large files are there before."""
        wanted = [*pack.files, *pack.large]
        if not wanted:
            return LinesBody(lines)
        call = Call("POST", f"{self._path}/assets/check", body=JsonBody({"sha256": wanted}), is_bulk=True)
        answer = yield from exchange(self._context, call, self._left())
        known = set(read(KnownAssets, answer).known)
        for sha256, path in pack.large.items():
            if sha256 not in known:
                upload = Upload(Path(path), expires_after=_LARGE_SECONDS)
                yield from upload_flow(self._context, upload, True, _writing(self._left()))
        files = {sha256: data for sha256, data in pack.files.items() if sha256 not in known}
        return BundleBody(lines, files) if files else LinesBody(lines)

    def _settle(self, pack: _Pack, answer: Answer) -> bool:
        """Note what became of each; whether all of them stand."""
        outcomes = read(DatapointOutcomes, answer)
        if [one.index for one in outcomes.data] != list(range(len(pack.places))):
            raise malformed(answer, "not the outcomes of the datapoints that were sent")
        for one in outcomes.data:
            place = pack.places[one.index]
            if one.status == "pending" and outcomes.run_id:
                with self._lock:
                    self._runs.setdefault(outcomes.run_id, {})[one.index] = place
            else:
                self._conclude(place, one, pack)
        return all(one.status in ("created", "existing") for one in outcomes.data)

    def _conclude(self, place: int, outcome: DatapointOutcome, pack: _Pack | None = None) -> None:
        if outcome.problem is None:
            self._end(place)
            return
        problem = Problem.from_body(outcome.problem)
        path = _at(self.datapoints[place], outcome.pointer)
        if pack is not None and path in pack.digests:
            self._refused[pack.digests[path]] = problem
        self._end(place, problem)

    def _end(self, place: int, problem: Problem | None = None, exception: Exception | None = None) -> None:
        """Note what became of one. The bar is told now and then, by whoever has just noted something."""
        with self._lock:
            self._ended.add(place)
            if problem is not None:
                now = datetime.fromtimestamp(self._context.clock.time(), UTC)
                self.failures[place] = failed_upload(self.datapoints[place], problem, now, exception)
            if self.on_added is not None:
                self.on_added(len(self._ended), len(self.failures))

    def _awaited(self, run_id: str, places: Mapping[int, int]) -> Flow[None]:
        """Wait until what was given by URL is fetched and its datapoints have their outcome."""
        yield from self._wait(run_id, self._left().get("deadline"))
        asked = Call("GET", f"{self._path}/fetches/{run_id}", is_patient=True, is_bulk=True)
        while True:
            answer = yield from exchange(self._context, asked, self._left())
            outcomes = {one.index: one for one in read(DatapointOutcomes, answer).data}
            if any(index not in outcomes for index in places):
                raise malformed(answer, "not the outcomes of the datapoints that were pending")
            if all(outcomes[index].status != "pending" for index in places):
                break
            yield Sleep(_LOOK_SECONDS)
        for index, place in places.items():
            self._conclude(place, outcomes[index])

    def _wait(self, run_id: str, timeout: float | None) -> Flow[Run]:
        call = Call("GET", f"/v1/runs/{run_id}", is_patient=True)
        resume = lambda timeout=None: self._run(self._wait(run_id, timeout))  # noqa: E731
        return wait(self._context, call, Run, run_id, timeout, resume)


def _writing(options: ReadOptions) -> WriteOptions:
    none: WriteOptions = {}
    return {**options, **none}


def _name(path: str) -> str:
    # A name that is no text (surrogates of undecodable bytes) cannot go on the wire as it is.
    return Path(path).name.encode("utf-8", "replace").decode()[:1_024]


def _at(datapoint: Datapoint, pointer: str | None) -> str | None:
    """The asset that a pointer of the server's leads to."""
    _, _, rest = (pointer or "").partition("/")
    name, _, index = rest.partition("/")
    assets = {"assets": datapoint.assets, "media_context": datapoint.media_contexts}.get(name, [])
    return assets[int(index)] if index.isdigit() and int(index) < len(assets) else None
