"""Files that travel in parts, by tus 1.0, and go on where a part got lost."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from amends.problems import problem
from amends.resilience import backoff

from ._context import LOGGER, Context, Hooks, Policy, RetryEvent, WriteOptions, tell
from ._exceptions import ApiError, NetworkError, NotFoundError, error_from
from ._exchange import Call, exchange, malformed, wait_for_token, within
from ._flow import Answer, Flow, Sleep
from ._journaling import reading
from ._upload_bodies import PartBody, Source

PART_BYTES: Final = 32 << 20
RESUMABLE_BYTES: Final = 64 << 20
"""From this size on a file travels in parts: a failure then costs seconds of repetition, not minutes."""

_ROOT: Final = "/v1/uploads"
_VERSION: Final = {"Tus-Resumable": "1.0.0"}
_FILE_ID: Final = "amends-file-id"
# A server that has not noticed the end of an older connection holds the upload for a while, and so does one that reads a large file
# once more, to sum it up after a restart.
_LOCKED_SECONDS: Final = 300.0
_BEGINNINGS: Final = 4

Told = Callable[[int], object]
"""Told how many bytes have arrived."""


@dataclass(frozen=True, slots=True)
class _Stand:
    """How far an upload has come. file_id: what it became, None while it is under way."""

    offset: int
    file_id: str | None


def send_in_parts(
    context: Context,
    source: Source,
    fields: Mapping[str, str],
    key: str,
    options: WriteOptions,
    told: Told | None = None,
) -> Flow[Answer]:
    """Send a file a part at a time; return the answer that holds its record. Begun before under the same key, it goes on.

    fields: what is said of the file. key: of the creation, which makes the same upload of the same key.
    Raises what a call raises once ``max_retries`` parts in a row got no further.
    """
    sending = _Sending(context, source, fields, key, options, told)
    file_id = yield from sending.run()
    return (yield from exchange(context, Call("GET", f"/v1/files/{file_id}", is_patient=True), sending.left()))


class _Sending:
    def __init__(
        self,
        context: Context,
        source: Source,
        fields: Mapping[str, str],
        key: str,
        options: WriteOptions,
        told: Told | None,
    ) -> None:
        self._context = context
        self._source = source
        self._size = source.size
        self._fields = fields
        self._key = key
        self.left = within(context, reading(options))
        self._told = told
        self._stuck = 0
        self._locked_since: float | None = None

    def run(self) -> Flow[str]:
        """Return the id of the file."""
        for beginning in range(_BEGINNINGS):
            path = yield from self._begin(beginning)
            try:
                return (yield from self._go_on(path))
            except NotFoundError:
                # The upload was forgotten, or given up by somebody: its creation's key still answers with it, so take another.
                LOGGER.info("upload_forgotten", extra={"path": path})
        raise error_from(problem("resource_not_found", "The server forgets uploads as soon as they begin"), 404)

    def _begin(self, beginning: int) -> Flow[str]:
        said = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in self._fields.items())
        headers = {**_VERSION, "Upload-Length": str(self._size), "Upload-Metadata": said}
        key = self._key if beginning == 0 else f"{self._key[:250]}.{beginning}"
        options: WriteOptions = {**self.left(), "idempotency_key": key}
        answer = yield from exchange(self._context, Call("POST", _ROOT, headers=headers, is_patient=True), options)
        place = answer.headers.get("location", "")
        at = place.find(_ROOT + "/")
        if at < 0:
            raise malformed(answer, "it names no upload")
        return place[at:]

    def _go_on(self, path: str) -> Flow[str]:
        stand = yield from self._ask(path)
        while stand.file_id is None:
            try:
                stand = yield from self._send(path, stand.offset)
                self._stuck, self._locked_since = 0, None
            except (ApiError, NetworkError) as error:
                yield Sleep(self._pause_or_raise(error, path))
                yield from wait_for_token(self._context, self.left)
                before, stand = stand, (yield from self._ask(path))
                if stand.offset > before.offset:
                    self._stuck = 0
            if self._told is not None:
                self._told(stand.offset)
        return stand.file_id

    def _ask(self, path: str) -> Flow[_Stand]:
        answer = yield from exchange(self._context, Call("HEAD", path, headers=_VERSION, is_patient=True), self.left())
        return self._stand(answer)

    def _send(self, path: str, offset: int) -> Flow[_Stand]:
        """Send the next part, once: how far it came is asked before it is tried again."""
        body = PartBody(self._source, offset, min(PART_BYTES, self._size - offset))
        headers = {**_VERSION, "Upload-Offset": str(offset)}
        call = Call("PATCH", path, body=body, headers=headers, is_bulk=True)
        return self._stand((yield from exchange(_once(self._context), call, self.left())))

    def _stand(self, answer: Answer) -> _Stand:
        offset, file_id = answer.headers.get("upload-offset", ""), answer.headers.get(_FILE_ID)
        if not (offset.isascii() and offset.isdigit() and len(offset) < 20 and int(offset) <= self._size):
            raise malformed(answer, "it does not say how far the upload has come")
        if int(offset) == self._size and file_id is None:
            raise malformed(answer, "the upload is whole and became no file")
        return _Stand(int(offset), file_id)

    def _pause_or_raise(self, error: ApiError | NetworkError, path: str) -> float:
        """The seconds to wait before it is asked how far the upload came; raises what no asking can mend."""
        now = self._context.clock.monotonic()
        if isinstance(error, ApiError) and error.status_code == 423:
            self._locked_since = now if self._locked_since is None else self._locked_since
            if now - self._locked_since > _LOCKED_SECONDS:
                raise error
        elif not _may_go_on(error) or self._stuck >= self._context.policy.max_retries:
            raise error
        else:
            self._stuck += 1
        pause = backoff(
            max(1, self._stuck), base_seconds=1.0, cap_seconds=30.0, draw=self._context.draw, jitter="proportional"
        )
        asked = error.retry_after if isinstance(error, ApiError) else None
        pause = max(pause, asked or 0.0)
        remaining = self.left().get("deadline")
        if remaining is not None and pause >= remaining:
            raise error
        LOGGER.info("upload_broke_off", extra={"path": path, "error": repr(error), "wait_seconds": round(pause, 3)})
        tell(self._context.hooks.on_retry, RetryEvent("PATCH", path, error.attempts[-1], pause, error))
        return pause


def _may_go_on(error: ApiError | NetworkError) -> bool:
    """Whether asking how far the upload came, and going on from there, may help."""
    if isinstance(error, NetworkError):
        return True
    return error.status_code in (408, 429, 460) or error.status_code >= 500 or error.error_code == "OFFSET_CONFLICT"


def _once(context: Context) -> Context:
    """The context of a call that is tried once, and whose failing is not the end."""
    policy = Policy(context.policy.timeout_seconds, context.policy.deadline_seconds, 0)
    return replace(context, policy=policy, hooks=Hooks(on_response=context.hooks.on_response))
