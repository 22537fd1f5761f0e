"""``amends doctor``: what could stand in the way on this machine, each with a verdict."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from amends.exceptions import AmendsError

from ._connection import Connection, connect, settings_of
from ._console import Words
from ._exits import LOCAL_FAILURE, SUCCEEDED, CommandError, line_of
from ._options import Common

LEAST_FREE_BYTES = 1 << 30
# Versions before it may lose a WAL reset under concurrent checkpoints.
LEAST_SQLITE = (3, 51, 3)

_EXTRAS = {
    "server": ("apsw", "fastapi", "uvicorn", "magika"),
    "models": ("onnxruntime", "rapidocr", "selectolax", "tokenizers"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """is_ok: nothing to do about it."""

    name: str
    is_ok: bool
    detail: str


def doctor(common: Common) -> int:
    """Look at everything and say it; 1 where something is wrong."""
    findings = [*_machine(common), *_weights(), _gap_filling(common), *_providers(common), *_runs(common)]
    _show(findings, common.words)
    return SUCCEEDED if all(finding.is_ok for finding in findings) else LOCAL_FAILURE


def _show(findings: list[Finding], words: Words) -> None:
    if words.is_json:
        words.document([asdict(finding) for finding in findings])
    else:
        words.table(("", "check", "found"), (("ok" if one.is_ok else "!!", one.name, one.detail) for one in findings))


def _machine(common: Common) -> Iterator[Finding]:
    yield Finding("Python", sys.version_info >= (3, 11), sys.version.split()[0])
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        yield Finding(f"amends[{extra}]", not missing, f"missing: {', '.join(missing)}" if missing else "installed")
    if importlib.util.find_spec("apsw"):
        import apsw

        version = apsw.sqlite_lib_version()
        yield Finding("SQLite", tuple(map(int, version.split("."))) >= LEAST_SQLITE, version)
    if address := settings_of(common).server.database:
        yield _database(address)
    place = _existing(settings_of(common).server.data.absolute())
    free = shutil.disk_usage(place).free
    yield Finding("Disk", free >= LEAST_FREE_BYTES, f"{free / (1 << 30):,.1f} GiB free at {place}")


def _database(address: str) -> Finding:
    """Whether PostgreSQL answers and takes writes; whether somebody owns it the data directory tells."""
    try:
        import psycopg
    except ModuleNotFoundError:
        return Finding("Database", False, "psycopg is missing: pip install 'amends[postgres]'")
    from amends.database import masked

    try:
        with psycopg.connect(address, connect_timeout=5) as connection:
            row = connection.execute("select current_setting('server_version'), pg_is_in_recovery()").fetchone()
    except psycopg.Error as error:
        return Finding("Database", False, f"{masked(address)}: {str(error).strip().splitlines()[0]}")
    version, is_standby = row or ("", False)
    said = f"PostgreSQL {version} at {masked(address)}"
    return Finding("Database", not is_standby, f"{said} is a standby and takes no writes" if is_standby else said)


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _weights() -> Iterator[Finding]:
    from amends.models import verify

    for check in verify():
        weight = check.weight
        detail = f"{check.verdict}: {weight.requirement}"
        is_off = weight.is_extra and check.verdict == "missing"
        if is_off:
            detail += f"; without it {', '.join(weight.models)} is off (amends models install)"
        yield Finding(f"weights {weight.name}", check.verdict == "ok" or is_off, detail)


def _gap_filling(common: Common) -> Finding:
    """Whether what the rules of ``local/extract`` leave open is looked for; that it is not is no fault."""
    from amends.models import absent

    wanted = settings_of(common).models.fill_gaps
    if wanted != "model":
        detail = (
            "off, because of the setting models.fill_gaps" if wanted == "off" else "on: only likely values are taken"
        )
    elif missing := absent("local/smollm2"):
        detail = f"on, without a model, because {missing[0].requirement} is missing (amends models install)"
    elif importlib.util.find_spec("xllamacpp") is None:
        detail = "on, without a model, because xllamacpp is missing: pip install 'amends[models]'"
    else:
        detail = "on: local/smollm2 chooses where several values are likely"
    return Finding("local/extract gap filling", True, detail)


def _providers(common: Common) -> Iterator[Finding]:
    """Whether each provider's keys are in this environment; a key itself is never shown."""
    for name, provider in settings_of(common).server.providers.items():
        variables = sorted({end.key_variable for end in provider.endpoints if end.key_variable is not None})
        missing = [variable for variable in variables if not os.environ.get(variable)]
        keys = ", ".join(f"{variable} is {'not set' if variable in missing else '********'}" for variable in variables)
        where = ", ".join(endpoint.base_url for endpoint in provider.endpoints)
        yield Finding(f"provider {name}", not missing, f"{where}; {keys or 'needs no key'}")


def _runs(common: Common) -> Iterator[Finding]:
    """Whether every run keeps all its items; also opens the directory, and so finds a lock or a newer version."""
    data = settings_of(common).server.data
    if not common.server and not data.exists():
        yield Finding("Data directory", True, f"{data} is not there yet; it is made when first used")
        return
    try:
        with connect(common) as connection:
            conservation = [*_conserved(connection), _credit(connection)]
            yield (
                Finding("Server", True, f"{common.server} answers")
                if connection.is_remote
                else Finding("Data directory", True, _whose(connection))
            )
            yield from conservation
    except (CommandError, AmendsError) as error:
        yield Finding("Server" if common.server else "Data directory", False, line_of(error))


def _whose(connection: Connection) -> str:
    return "this command owned it" if connection.is_embedded else "its owner answers"


def _conserved(connection: Connection) -> Iterator[Finding]:
    broken, seen = [], 0
    for run in connection.client.runs.list(limit=100):
        seen += 1
        if not connection.client.runs.conservation(run.id).holds:
            broken.append(run.id)
    detail = (
        f"does not hold for {', '.join(broken)}" if broken else f"every item of {seen:,} runs is in exactly one place"
    )
    yield Finding("Conservation", not broken, detail)


def _credit(connection: Connection) -> Finding:
    found = connection.client.credits.conservation()
    parts = (
        f"balance {found.balance:,g}, held {found.held:,g}, charged {found.charged:,g}, recorded {found.recorded:,g}"
    )
    return Finding("Credit", bool(found.holds), parts)
