"""Style sheet, scripts and icon: read once, served under an address that names their content, and so kept for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.responses import Response

from amends.problems import ProblemError, not_found

router = APIRouter(prefix="/ui/static", include_in_schema=False)

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All of them. digest: of their contents together, so that a script may import its neighbour by a relative address."""

    contents: dict[str, bytes]
    digest: str

    @classmethod
    def load(cls) -> StaticFiles:
        folder = resources.files("amends.web").joinpath("static")
        contents = {entry.name: entry.read_bytes() for entry in folder.iterdir() if _suffix(entry.name) in _TYPES}
        whole = hashlib.sha256()
        for name in sorted(contents):
            whole.update(f"{name}\0{len(contents[name])}\0".encode() + contents[name])
        return cls(contents, whole.hexdigest()[:16])

    def address(self, name: str) -> str:
        """Where the browser finds the file. KeyError for one that there is not: a template's mistake."""
        self.contents[name]
        return f"{router.prefix}/{self.digest}/{name}"


FILES: Final = StaticFiles.load()


@router.get("/{digest}/{name}")
async def get_static(
    digest: Annotated[str, Path(max_length=64)], name: Annotated[str, Path(max_length=128)]
) -> Response:
    """What another version serves must not be kept under this one's address: another digest is not found."""
    content = FILES.contents.get(name) if digest == FILES.digest else None
    if content is None:
        raise ProblemError(not_found("file", name))
    return Response(content, headers={**_HEADERS, "Content-Type": _TYPES[_suffix(name)]})
