"""``amends journal``: what programs with a journal have under way, and forgetting it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from amends.client import Journal, JournalEntry, journal_folder, read_journal
from amends.exceptions import ConfigurationError

from ._console import Words, local_time
from ._exits import LocalFailure
from ._options import Common


def list_journals(common: Common, file: Path | None) -> None:
    """Show the entries of one journal, or of all in the user's folder."""
    with _as_local_failure():
        found = {path: read_journal(path) for path in _journals(file)}
    words = common.words
    if words.is_json:
        words.document([{"path": path, "entries": [asdict(entry) for entry in found[path]]} for path in found])
    elif not found:
        words.say(f"No journals in {journal_folder()}")
    for path, entries in found.items() if not words.is_json else ():
        _tell(path, entries, words)


def clear_journals(common: Common, file: Path | None) -> None:
    """Forget what one journal holds, or all in the user's folder: the same calls are new work then."""
    words, cleared = common.words, []
    for path in _journals(file):
        with _as_local_failure():
            count = len(read_journal(path))
            journal = Journal(path)
            journal.clear()
            journal.close(is_done=True)
        cleared.append({"path": path, "entries": count})
        words.say(f"Cleared {path}: {count:,} entr{'y' if count == 1 else 'ies'}")
    if words.is_json:
        words.document(cleared)


def _journals(file: Path | None) -> Sequence[Path]:
    return [file] if file is not None else sorted(journal_folder().glob("*.journal"))


def _tell(path: Path, entries: Sequence[JournalEntry], words: Words) -> None:
    """The entries under way, and how many have their answer."""
    finished = sum(entry.finished_at is not None for entry in entries)
    words.data(f"{path}: {len(entries) - finished:,} under way, {finished:,} finished")
    open_entries = [entry for entry in entries if entry.finished_at is None]
    if open_entries:
        words.table(("call", "begun", "arrived", "key"), (_cells(entry) for entry in open_entries))


def _cells(entry: JournalEntry) -> Iterator[str]:
    yield entry.call
    yield local_time(entry.begun_at)
    yield f"{entry.received or 0:,} of {entry.total:,} bytes" if entry.total is not None else ""
    yield entry.key


@contextmanager
def _as_local_failure() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise LocalFailure(str(error)) from error
