"""Result lines that are kept as blobs, put back into a stream of lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

ReadBlob = Callable[[str], bytes]
"""The bytes of a blob by its SHA-256 in hex."""

# A ledger streams such a line as its head and ``@sha256``. Every other line ends in a brace, so nothing else looks like this.
_BLOB_LINE: Final = re.compile(rb"@([0-9a-f]{64})\n")


def filled_lines(lines: bytes, read_blob: ReadBlob) -> Iterator[bytes]:
    """The same whole lines with their blobs put in, in pieces of whole lines: a large line is held one at a time.

    Lines without any pass untouched. What ``read_blob`` raises goes on to the caller.
    """
    place = 0
    for found in _BLOB_LINE.finditer(lines):
        start = lines.rfind(b"\n", 0, found.start()) + 1
        if start > place:
            yield lines[place:start]
        yield b"%b%b\n" % (lines[start : found.start()], read_blob(found[1].decode()))
        place = found.end()
    if place == 0:
        yield lines
    elif place < len(lines):
        yield lines[place:]
