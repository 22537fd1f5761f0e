"""SQL lives in ``.sql`` files and is called by name.

A file is a sequence of blocks::

    -- name: claim_head
    -- What it does, for the reader.
    select …;

The file of a package is written for SQLite. A statement that PostgreSQL takes as it stands is not written twice; one that it does
not take has a twin of the same name in the file of the same name in the package's ``postgres/``. Both write parameters as ``:name``
or ``?``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, LiteralString

# A literal, a percent sign, a parameter, by name (which no cast is) or place, and what follows it.
_TOKEN: Final = re.compile(r"('(?:[^']|'')*')|(%)|(?:(?<![:\w]):([a-z_]\w*)|(\?))( is null|::jsonb)?")


class Query(str):
    """A statement as SQLite takes it. postgres: as psycopg takes it."""

    __slots__ = ("postgres",)
    postgres: LiteralString

    def __new__(cls, sqlite: str, postgres: str | None = None) -> Query:
        query = super().__new__(cls, sqlite)
        query.postgres = for_psycopg(sqlite if postgres is None else postgres)
        return query


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
    """Read the statements of a package's ``.sql`` file and their twins. ValueError: a name stands twice in a file.

    A name that stands only among the twins is for PostgreSQL alone; on SQLite its text is empty.
    """
    folder = resources.files(package)
    own, twins = _statements(folder.joinpath(filename)), _statements(folder.joinpath("postgres", filename))
    names = [*own, *(name for name in twins if name not in own)]
    return Queries({name: Query(own.get(name, ""), twins.get(name)) for name in names})


def postgres_text(sql: str) -> LiteralString:
    """The statement as psycopg takes it."""
    return sql.postgres if isinstance(sql, Query) else for_psycopg(sql)


@lru_cache(maxsize=256)
def for_psycopg(sql: str) -> LiteralString:
    """``:name`` and ``?`` as ``%(name)s`` and ``%s``, percent signs doubled.

    PostgreSQL cannot know the type of a parameter that is first asked for being null: it is text unless the statement casts it. And its
    JSON knows no NUL: in a list that is looked for it becomes the sign for what cannot be shown, which nothing is called.
    """

    def converted(token: re.Match[str]) -> str:
        literal, percent, name, _, follows = token.groups()
        if literal is not None:
            return str(literal).replace("%", "%%")
        if percent:
            return "%%"
        place = "%s" if name is None else f"%({name})s"
        match follows:
            case " is null":
                return f"{place}::text is null"
            case "::jsonb":
                return rf"replace({place}, '\u0000', '\ufffd')::jsonb"
        return place

    return _TOKEN.sub(converted, sql)


def _statements(file: Traversable) -> dict[str, str]:
    if not file.is_file():
        return {}
    statements: dict[str, str] = {}
    for block in file.read_text("utf-8").split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        if name.strip() in statements:
            raise ValueError(f"{file.name}: {name.strip()} stands twice")
        statements[name.strip()] = _without_comments(body)
    return statements


def _without_comments(body: str) -> str:
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("--")]
    return "\n".join(lines).strip().rstrip(";")
