"""The flags that every command has, and the environment twin of each flag."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, ArgumentCollection, Group, Parameter, Token

from ._console import Words

EVERYWHERE = Group("Everywhere", sort_key=99)


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True, slots=True)
class Common:
    """What every command takes."""

    server: str | None = None
    "Address of a server; the key is read from AMENDS_API_KEY. Without it, the data directory is used."

    data: Path | None = None
    "Data directory, ./.amends by default: its server is used where one runs, else this command is the server."

    config: Path | None = None
    "Configuration file; by default amends.toml in the working or the data directory."

    json: bool = False
    "Answer in JSON."

    quiet: Annotated[bool, Parameter(alias="-q")] = False
    "Say nothing on stderr but errors."

    @property
    def words(self) -> Words:
        """The command's voices."""
        return Words(is_quiet=self.quiet, is_json=self.json)

    def repeated(self) -> str:
        """The flags that a suggested command must repeat to reach the same place, with a space before them or empty."""
        if self.server:
            return f" --server {self.server}"
        return f" --data {self.data}" if self.data and not os.environ.get("AMENDS_DATA") else ""


COMMON = Common()


class EnvironmentTwins:
    """Gives each flag its one environment twin: ``--no-auth`` is ``AMENDS_NO_AUTH``. Arguments have none.

    Flags that are given win, and ``--data`` wins over ``AMENDS_SERVER`` too: both say where.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> Any:
        environ = os.environ if self._environ is None else self._environ
        given = {argument.name for argument in arguments if argument.tokens}
        for argument in arguments:
            if argument.name == "--server" and "--data" in given:
                continue
            if argument.tokens or not argument.parse or not argument.name.startswith("--"):
                continue
            variable = twin_of(argument.name)
            if environ.get(variable):
                argument.append(Token(keyword=variable, value=environ[variable], source="environment"))


def twin_of(flag: str) -> str:
    """``--no-auth`` → ``AMENDS_NO_AUTH``."""
    return "AMENDS_" + flag.removeprefix("--").replace("-", "_").upper()
