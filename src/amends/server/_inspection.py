"""The child that looks at uploaded files: ``python -m amends.server._inspection``.

Decoders meet hostile bytes here, in a process with limits of its own, and not in the owner's. One JSON line in, ``{"path": …}``;
two out, ``{"media_type": …, "is_text": …}`` and, should the counting come to an end, ``{"pages": …}``. For ``{"assets": [path, …]}``
comes one line each, of what it is or of the problem that it has. It ends with its standard input.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

# It also keeps onnxruntime, on which the identifier stands, from sending usage events.
from amends.models import identify, load_identifier, look_at_asset
from amends.problems import ProblemError, asset_failed

_ADDRESS_SPACE_BYTES = 6 << 30  # onnxruntime reserves much more than it touches
_FILE_BYTES = 1 << 20
_OPEN_FILES = 64


def main() -> None:
    _limit(resource.RLIMIT_AS, _ADDRESS_SPACE_BYTES)
    _limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    load_identifier()  # before the first file is waited for
    for line in sys.stdin:
        asked = json.loads(line)
        if "assets" in asked:
            for path in asked["assets"]:
                _answer(_look_at(Path(path)))
        else:
            _inspect(Path(asked["path"]))


def _inspect(path: Path) -> None:
    found = identify(path)
    _answer({"media_type": found.media_type, "is_text": found.is_text})
    pages = _count_pages(path) if found.media_type == "application/pdf" else None
    _answer({"pages": pages})


def _look_at(path: Path) -> dict[str, Any]:
    try:
        return {"looked": look_at_asset(path)}
    except ProblemError as error:
        return {"problem": error.problem.to_body("")}
    except OSError:
        return {"problem": asset_failed("internal", "The file could not be read here").to_body("")}


def _answer(part: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(part) + "\n")
    sys.stdout.flush()


def _count_pages(path: Path) -> int | None:
    """None for a document that cannot be opened: broken, or closed with a password."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError:
        return None
    try:
        return len(document)
    finally:
        document.close()


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main()
