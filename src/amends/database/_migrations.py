"""Numbered migrations: one list for the ledger and the store, with a twin of each for PostgreSQL.

SQLite's ``PRAGMA user_version`` holds the number of the last one applied, PostgreSQL's table ``schema_version`` a row for each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import apsw


class NewerDatabase(Exception):
    """The database was written by a newer version of Amends. place: path or address. found, known: schema versions."""

    def __init__(self, place: Path | str, found: int, known: int) -> None:
        super().__init__(
            f"{place} has schema version {found}, this version of Amends knows {known}: install the newer version"
        )
        self.place = place
        self.found = found
        self.known = known


def migrations(dialect: Literal["sqlite", "postgres"] = "sqlite") -> Sequence[tuple[int, str]]:
    """(number, SQL) of every migration, in order."""
    folder = resources.files("amends.database") / "migrations"
    if dialect == "postgres":
        folder = folder / "postgres"
    found = [
        (int(m[1]), f.read_text("utf-8")) for f in folder.iterdir() if (m := re.match(r"(\d{4})_\w+\.sql$", f.name))
    ]
    return sorted(found)


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the file to the newest schema, keeping a copy of one that already holds data.

    Each migration is one transaction: a crash leaves the last whole one. Raises NewerDatabase.
    """
    steps = migrations()
    version = int(connection.pragma("user_version") or 0)
    known = steps[-1][0]
    if version > known:
        raise NewerDatabase(path, version, known)
    if 0 < version < known:
        _back_up(connection, path.with_name(f"{path.name}.before-{known:04d}"))
    for number, sql in steps:
        if number > version:
            with connection:
                connection.execute(sql)
                connection.pragma("user_version", number)


def _back_up(connection: apsw.Connection, copy: Path) -> None:
    import apsw  # the names of this package are wanted where SQLite is not

    copy.unlink(missing_ok=True)
    target = apsw.Connection(str(copy))
    try:
        with target.backup("main", connection, "main") as backup:
            while not backup.done:
                backup.step(1000)
    finally:
        target.close()
