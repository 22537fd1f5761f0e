"""Local files onto the server, a few at a time, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from amends.client import Client
from amends.exceptions import ApiError

from ._exits import REFUSED, CommandError
from ._inputs import Input
from ._sources import upload_key

AT_ONCE = 4


class UploadRefused(CommandError):
    """The server would not have a file; the line says which."""

    code = REFUSED


def upload(
    client: Client, paths: Sequence[Path], *, print_: str, show: Callable[[int, int, int], None]
) -> Mapping[Path, str]:
    """Upload each distinct path; returns the file id of each, or the path itself where it cannot be read.

    Such an item then fails alone, as ``file_not_found``, and says which path was meant.
    ``show`` is told (done, unreadable, total). An error of the server ends it; what was sent is found again under its key.
    """
    distinct = list(dict.fromkeys(paths))
    found: dict[Path, str] = {}
    unreadable = 0
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload") as pool:
        for path, file_id in _as_they_come(pool, client, distinct, print_):
            found[path] = file_id or str(path)
            unreadable += file_id is None
            show(len(found), unreadable, len(distinct))
    return found


def _as_they_come(
    pool: ThreadPoolExecutor, client: Client, paths: Sequence[Path], print_: str
) -> Iterator[tuple[Path, str | None]]:
    """Keeps a bounded number under way, so that a million paths cost no million futures."""
    under_way: dict[Future[str | None], Path] = {}
    waiting = iter(paths)
    try:
        while True:
            while len(under_way) < 2 * AT_ONCE and (path := next(waiting, None)) is not None:
                under_way[pool.submit(_upload_one, client, path, print_)] = path
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(future), future.result()
    finally:
        for future in under_way:
            future.cancel()


def _upload_one(client: Client, path: Path, print_: str) -> str | None:
    if not path.is_file():  # a pipe or a device would be waited for without end
        return None
    try:
        key = upload_key(path, print_)
        with path.open("rb") as stream:
            return client.files.upload(stream, filename=path.name, idempotency_key=key).id
    except ApiError as error:
        raise UploadRefused(f"{path}: {error}") from error
    except OSError:  # no permission, gone meanwhile; what the network does is no OSError of the SDK's
        return None


def as_items(inputs: Sequence[Input], file_ids: Mapping[Path, str]) -> Iterator[dict[str, Any]]:
    """The inputs as the items of a create call, in order."""
    for given in inputs:
        item: dict[str, Any] = {"custom_id": given.custom_id}
        if given.path is not None:
            item["file_id"] = file_ids[given.path]
        elif given.file_id is not None:
            item["file_id"] = given.file_id
        elif given.url is not None:
            item["url"] = given.url
        else:
            item["input"] = given.value
        if given.page is not None:
            item["page"] = given.page
        if given.prompt is not None:
            item["prompt"] = given.prompt
        yield item
