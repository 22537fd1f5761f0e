"""Local files onto the server, a few at a time, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amends.client import Client, Upload, UploadProgress
from amends.exceptions import ApiError

from ._exits import REFUSED, CommandError
from ._inputs import Input
from ._sources import upload_key


class UploadRefused(CommandError):
    """The server would not have a file; the line says which."""

    code = REFUSED


def upload(
    client: Client, paths: Sequence[Path], *, print_: str, show: Callable[[int, int, int], None]
) -> Mapping[Path, str]:
    """Upload each distinct path; returns the file id of each, or the path itself where it cannot be read.

    Such an item then fails alone, as ``file_not_found``, and says which path was meant.
    ``show`` is told (done, unreadable, total). An error of the server ends it; what was sent is found again under its key, and a
    large file goes on where it was.
    """
    distinct = list(dict.fromkeys(paths))
    found = {path: str(path) for path in distinct}
    sent: list[Path] = []
    unreadable = 0

    def uploads() -> Iterator[Upload]:
        nonlocal unreadable
        for path in distinct:
            if (one := _upload_of(path, print_)) is None:
                unreadable += 1
            else:
                sent.append(path)
                yield one

    def tell(progress: UploadProgress) -> None:
        show(progress.done + unreadable, progress.failed + unreadable, len(distinct))

    for path, one in zip(sent, client.files.upload_many(uploads(), on_progress=tell), strict=True):
        if isinstance(one.error, ApiError):
            raise UploadRefused(f"{path}: {one.error}") from one.error
        if one.file is not None:  # else it could not be read: no permission, gone meanwhile
            found[path] = one.file.id
    return found


def _upload_of(path: Path, print_: str) -> Upload | None:
    """What to send; None for what is no file: a pipe or a device would be waited for without end."""
    try:
        return Upload(path, path.name, idempotency_key=upload_key(path, print_)) if path.is_file() else None
    except OSError:
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
