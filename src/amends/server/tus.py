"""The headers of tus 1.0, the protocol of resumable uploads (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final

from fastapi import Request
from starlette.types import Scope

from amends.problems import FieldError, ProblemError, problem, validation_failed

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,termination,checksum,expiration"
PART_TYPE: Final = "application/offset+octet-stream"
ALGORITHMS: Final = ("sha256", "sha1")
FILE_ID: Final = "Amends-File-Id"
"""Ours: the file that a finished upload became."""

_ROOT: Final = "/v1/uploads"
_MAX_DIGITS: Final = 18
_OVERRIDABLE: Final = frozenset({"PATCH", "DELETE", "HEAD"})


def speaks(path: str) -> bool:
    """Whether the protocol is spoken there."""
    return path.startswith(_ROOT) and path[len(_ROOT) : len(_ROOT) + 1] in ("", "/")


def told(status: int) -> list[tuple[bytes, bytes]]:
    """What the protocol wants on every answer, of errors, too."""
    version = VERSION.encode()
    return [(b"tus-resumable", version), *([(b"tus-version", version)] if status == 412 else ())]


def override_method(scope: Scope, fields: Mapping[bytes, bytes]) -> None:
    """Heed ``X-HTTP-Method-Override``, as the protocol demands. fields: the headers by their names."""
    wanted = fields.get(b"x-http-method-override", b"").decode("latin-1").upper()
    if scope["method"] == "POST" and wanted in _OVERRIDABLE:
        scope["method"] = wanted


def check_version(request: Request) -> None:
    """ProblemError precondition_failed where the client speaks another version, or does not say which."""
    if request.headers.get("tus-resumable") != VERSION:
        detail = f"Tus-Resumable names no version that is spoken here: send {VERSION}"
        raise ProblemError(problem("precondition_failed", detail, supported=[VERSION]))


def is_part(request: Request) -> bool:
    """Whether the body is a part of an upload."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == PART_TYPE


def number_of(request: Request, name: str) -> int:
    """The header ``name`` as a number of bytes; ProblemError malformed_request."""
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise ProblemError(problem("malformed_request", f"{name} must be a whole number of bytes."))
    return int(text)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a part must sum up to."""

    algorithm: str
    digest: bytes

    def begin(self) -> Any:
        """A hash of nothing yet."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def checksum_of(request: Request) -> Checksum | None:
    """The checksum that came with a part, None without one; ProblemError malformed_request for one that is not spoken here."""
    text = request.headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in ALGORITHMS:
        known = " and ".join(ALGORITHMS)
        raise ProblemError(problem("malformed_request", f"Upload-Checksum names an algorithm other than {known}."))
    try:
        return Checksum(algorithm, base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise ProblemError(problem("malformed_request", "Upload-Checksum is not in Base64.")) from None


def metadata_of(request: Request) -> Mapping[str, str]:
    """The pairs of ``Upload-Metadata``, decoded. ProblemError malformed_request, or validation_failed for what is no text."""
    pairs: dict[str, str] = {}
    for pair in request.headers.get("upload-metadata", "").split(","):
        name, _, encoded = pair.strip().partition(" ")
        if not name and not encoded:
            continue
        if not name or name in pairs or not name.isascii():
            raise ProblemError(
                problem("malformed_request", "Upload-Metadata is no list of distinct names with values.")
            )
        try:
            pairs[name] = base64.b64decode(encoded, validate=True).decode("utf-8")
        except UnicodeDecodeError:
            fault = FieldError.at(
                ("header", "upload-metadata", name), f"{name} must be text in UTF-8", "string_unicode"
            )
            raise ProblemError(validation_failed([fault])) from None
        except (binascii.Error, ValueError):
            raise ProblemError(
                problem("malformed_request", f"Upload-Metadata: {name[:64]} is not in Base64.")
            ) from None
    return pairs


def http_date(epoch_seconds: float) -> str:
    """The time as HTTP writes it (RFC 9110, section 5.6.7)."""
    return formatdate(epoch_seconds, usegmt=True)
