"""Where a program's journal lies when it names none."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ._exceptions import ConfigurationError

SUFFIX: Final = ".journal"


def state_folder(environ: Mapping[str, str], platform: str, home: Path) -> Path:
    """The folder of journals: in the state folder of the user (XDG Base Directory Specification; %LOCALAPPDATA% on Windows)."""
    if platform == "win32" and environ.get("LOCALAPPDATA"):
        return Path(environ["LOCALAPPDATA"]) / "amends" / "journals"
    state = environ.get("XDG_STATE_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    return (Path(state) if os.path.isabs(state) else home / ".local" / "state") / "amends" / "journals"


def journal_name(program: Sequence[str], folder: str) -> str:
    """The name of the journal of a program called thus in ``folder``: another call is other work, and has another journal."""
    digest = hashlib.sha256(json.dumps([list(program), folder]).encode()).hexdigest()
    stem = Path(program[0]).stem if program else ""
    spoken = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in stem)[:40].strip("-")
    return f"{spoken or 'python'}-{digest[:16]}{SUFFIX}"


def own_journal() -> Path:
    """The path of this program's journal; its folder is made. Raises ConfigurationError where that cannot be."""
    folder = journal_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"No journal can be kept in {folder}: {error.strerror or error}.") from error
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    program = [os.path.abspath(main) if main else "", *sys.argv[1:]]
    return folder / journal_name(program, os.getcwd())


def journal_folder() -> Path:
    """Where the journals of this user lie."""
    return state_folder(os.environ, sys.platform, Path.home())
