"""SQL lives in ``.sql`` files and is called by name.

A file is a sequence of blocks::

    -- name: claim_head
    -- What it does, for the reader.
    select …;
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import LiteralString


class Queries(Mapping[str, LiteralString]):
    """Named statements; ``queries.name`` and ``queries["name"]`` are the same.

    The text is typed ``LiteralString``, so that user input glued into it does not type-check.
    """

    def __init__(self, statements: Mapping[str, LiteralString]) -> None:
        self._statements = dict(statements)

    def __getitem__(self, name: str) -> LiteralString:
        return self._statements[name]

    def __getattr__(self, name: str) -> LiteralString:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


def load_queries(package: str, filename: str) -> Queries:
    """Read the statements of a ``.sql`` file inside a package. ValueError: a name stands twice."""
    text = resources.files(package).joinpath(filename).read_text("utf-8")
    statements: dict[str, LiteralString] = {}
    for block in text.split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        if name.strip() in statements:
            raise ValueError(f"{filename}: {name.strip()} stands twice")
        statements[name.strip()] = _without_comments(body)
    return Queries(statements)


def _without_comments(body: str) -> str:
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("--")]
    return "\n".join(lines).strip().rstrip(";")
