"""Where a command's words go: data to stdout, talk to stderr, progress to a terminal or to a log line now and then."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

from amends.client._progress import bar, onto_bar, onto_log


@dataclass(slots=True)
class Words:
    """A command's two voices.

    is_quiet: no talk, no progress. is_json: data as one JSON document instead of text for people.
    """

    is_quiet: bool = False
    is_json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def data(self, text: str) -> None:
        """A line of what was asked for."""
        self.out.write(text + "\n")

    def document(self, value: Any) -> None:
        """What was asked for, as JSON."""
        self.data(json.dumps(value, ensure_ascii=False, indent=2, default=str))

    def say(self, text: str) -> None:
        """Talk: never data, never under --quiet."""
        if not self.is_quiet:
            print(text, file=self.err, flush=True)

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
        """Aligned columns for people; widths follow the content, so nothing is cut."""
        lines = [[str(cell) for cell in row] for row in (tuple(columns), *rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            self.data("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@dataclass(slots=True)
class Progressing:
    """Shows how far something has come; ``update`` may be called as often as one likes."""

    show: Callable[[int, int, int], None]
    say: Callable[[str], None]

    def note(self, text: str) -> None:
        """Say something beside the progress, which a bar must not overwrite."""
        self.say(text)

    def update(self, done: int, failed: int, total: int) -> None:
        self.show(done, failed, total)


@contextmanager
def progress(words: Words, what: str) -> Iterator[Progressing]:
    """A bar with rate, done, failed and remaining time on a terminal; a log line every ten seconds elsewhere."""
    if words.is_quiet:
        yield Progressing(lambda done, failed, total: None, words.say)
    elif words.err.isatty():
        with bar(words.err) as shown:
            show = onto_bar(shown, shown.add_task(what, total=None, failed=0, rate=""))
            yield Progressing(show, lambda text: shown.console.print(text, markup=False, highlight=False))
    else:
        yield Progressing(onto_log(words.say, what), words.say)


def local_time(moment: datetime | None) -> str:
    """A time as a person here would read it; empty for None."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def counts_line(counts: Mapping[str, int]) -> str:
    """``7 items: 5 succeeded, 2 errored``; what is zero is left out."""
    parts = [
        f"{counts[name]:,} {name}"
        for name in ("succeeded", "errored", "canceled", "expired", "processing")
        if counts.get(name)
    ]
    total = counts.get("total", 0)
    return f"{total:,} item{'' if total == 1 else 's'}: " + (", ".join(parts) or "none ended")
