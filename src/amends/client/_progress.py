"""Showing how far long work has come: a bar on a terminal, a line of the log now and then elsewhere, nothing where it is to be quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from ._context import LOGGER

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOG_EVERY_SECONDS: Final = 10.0
_BAR_EVERY_SECONDS: Final = 0.05

Show = Callable[[int, int, int], None]
"""Told how many are done, how many of them failed, and how many there are."""


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Show]:
    """Show the progress of something; what is yielded may be called as often as one likes."""
    if quiet:
        yield lambda done, failed, total: None
    elif sys.stderr.isatty():
        with bar(sys.stderr) as shown:
            yield onto_bar(shown, shown.add_task(what, total=None, failed=0, rate=""))
    else:
        yield onto_log(lambda text: LOGGER.info("progress", extra={"progress": text}), what)


def bar(file: TextIO) -> Progress:
    """A bar with rate, done, failed and remaining time, which goes when it is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("[red]{task.fields[failed]} failed"),
        TimeRemainingColumn(),
        console=Console(file=file),
        transient=True,
    )


def onto_bar(shown: Progress, task: TaskID) -> Show:
    """Show on a bar's task."""
    started, said = time.monotonic(), 0.0

    def show(done: int, failed: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < _BAR_EVERY_SECONDS and done < total:
            return
        said = now
        rate = done / max(now - started, 1e-9)
        shown.update(task, completed=done, total=total, failed=failed, rate=f"{rate:,.1f}/s")

    return show


def onto_log(say: Callable[[str], object], what: str) -> Show:
    """Say a line every ten seconds."""
    started = said = time.monotonic()

    def show(done: int, failed: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= LOG_EVERY_SECONDS:
            said = now
            rate = done / max(now - started, 1e-9)
            left = f", about {(total - done) / rate:,.0f} s left" if rate and total > done else ""
            say(f"{what}: {done:,} of {total:,} done, {failed:,} failed, {rate:,.1f}/s{left}")

    return show
