"""What this machine must remember of a run: where its files came from, and under which key it was created.

Kept in ``DIR/runs`` and never sent anywhere: a path is nobody's business but its owner's. Two kinds of file, each replaced whole:

    <run id>.json           {"manifest": path | null, "paths": {custom_id: path}}     what `amends retry` reads again
    <fingerprint>.started   how often the same inputs were started afresh (--new)     what the idempotency key is made of
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._exits import LocalFailure
from ._inputs import Inputs


@dataclass(frozen=True, slots=True)
class Source:
    """Where a run's items came from. paths: of the items that were files of this machine."""

    paths: Mapping[str, Path]
    manifest: Path | None = None


def fingerprint(inputs: Inputs, *, model: str, prompt: str | None, schema: Any, is_test: bool) -> str:
    """What makes two ``amends run`` the same: inputs, model, prompt, schema and mode. Hex, 32 characters."""
    stated = json.dumps([inputs.digest, model, prompt, schema, is_test], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(stated.encode()).hexdigest()[:32]


def upload_key(path: Path, print_: str) -> str:
    """The idempotency key of a file's upload: the same while the file is unchanged, so a killed upload is not done twice.

    A link is not the file it leads to: it is sent under its own name, which is another request.
    """
    found = path.stat()
    stated = f"{print_}\0{path.absolute()}\0{found.st_size}\0{found.st_mtime_ns}"
    return "amends-upload-" + hashlib.sha256(os.fsencode(stated)).hexdigest()[:32]


class Sources:
    """The files in ``DIR/runs``."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "runs"

    def remember(self, run_id: str, source: Source) -> None:
        """Keep where the items of a run came from; an entry that stands is replaced."""
        document = {
            "manifest": str(source.manifest.resolve()) if source.manifest else None,
            "paths": {custom_id: str(path.absolute()) for custom_id, path in source.paths.items()},
        }
        self._write(f"{run_id}.json", json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape"))

    def recall(self, run_id: str) -> Source:
        """Where the items of a run came from; empty for a run that was not started from here."""
        try:
            text = (self._folder / f"{run_id}.json").read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return Source({})
        document = json.loads(text)
        manifest = Path(document["manifest"]) if document["manifest"] else None
        return Source({custom_id: Path(path) for custom_id, path in document["paths"].items()}, manifest)

    def creation_key(self, print_: str, *, is_new: bool) -> str:
        """The idempotency key under which the run is created. is_new: begin another one from the same inputs."""
        name = f"{print_}.started"
        try:
            started = int((self._folder / name).read_bytes())
        except (FileNotFoundError, ValueError):
            started = 0
        if is_new:
            started += 1
            self._write(name, str(started).encode())
        return f"amends-run-{print_}-{started}"

    def _write(self, name: str, content: bytes) -> None:
        partial = self._folder / f".{name}.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(content)
            partial.replace(self._folder / name)
        except OSError as error:
            raise LocalFailure(f"{self._folder}: {error.strerror or error}") from error
