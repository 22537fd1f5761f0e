"""``/v1/uploads``: files that arrive in parts and go on after whatever broke, by tus 1.0; a finished one becomes a file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from amends.blobs import PartialBlob, PartialLocked, PartialLost
from amends.database import Transaction, new_id
from amends.problems import FieldError, ProblemError, not_found, problem, validation_failed
from amends.server import tus
from amends.server.auth import Caller
from amends.server.files import ExpiresAfter, Filename, Purpose
from amends.server.finding import existing
from amends.server.idempotency import Guard, digest_of, idempotent
from amends.server.limits import too_large
from amends.server.openapi import Responses, problems
from amends.server.parts import Part, expiry, sha256_of
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import UploadRecord

log = structlog.get_logger("amends.server")

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
UploadId = Annotated[str, Path(max_length=128, description="The upload's id.")]
MediaType = Annotated[str, Field(max_length=255, pattern=r"^[!-~]+/[ -~]+$")]

_ALIASES: Final = {"filetype": "media_type"}
"""What other clients of the protocol call it."""


class UploadObject(BaseModel):
    """An upload. Times are Unix seconds, as of the file that it becomes."""

    id: str
    object: Literal["upload"] = "upload"
    filename: str
    media_type: Annotated[str | None, Field(description="As declared; the content of the whole decides.")]
    purpose: str
    bytes: Annotated[int, Field(description="In all.")]
    received: Annotated[int, Field(description="How many of them are durable here.")]
    status: Literal["receiving", "processed"]
    file_id: Annotated[str | None, Field(description="The file that it became, null while it is under way.")]
    created_at: int
    expires_at: Annotated[int | None, Field(description="Of an unfinished one; each part puts it off.")]


class Metadata(BaseModel):
    """What ``Upload-Metadata`` may say."""

    model_config = ConfigDict(extra="forbid")

    filename: Filename = "upload"
    media_type: MediaType | None = None
    purpose: Purpose = "user_data"
    expires_after: ExpiresAfter | None = None


def _header(name: str, description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}


_VERSION: Final = _header("Tus-Resumable", "The protocol's version.", required=True, enum=[tus.VERSION])
_CHECKSUM: Final = _header(
    "Upload-Checksum", f"Of the part: {' or '.join(tus.ALGORITHMS)}, a space, and the digest in Base64.", type="string"
)
_OFFSET: Final = _header(
    "Upload-Offset", "How much has arrived; the part begins there.", required=True, type="integer", minimum=0
)
_LENGTH: Final = _header("Upload-Length", "Bytes in all.", required=True, type="integer", minimum=0)
_METADATA: Final = _header(
    "Upload-Metadata",
    "Names with values in Base64, separated by commas: filename, media_type (or filetype), purpose, expires_after.",
    type="string",
)
_BODY: Final = {"content": {tus.PART_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


def _told(status: int, description: str, *names: str) -> Responses:
    """A good answer as OpenAPI describes it, with the headers that tell how the upload stands."""
    meanings = {
        "Upload-Offset": "How many bytes have arrived.",
        "Upload-Length": "How many there are in all.",
        "Upload-Expires": "When an unfinished upload is forgotten.",
        "Upload-Metadata": "As it was given.",
        "Location": "The upload.",
        tus.FILE_ID: "The file that it became, once it has.",
    }
    headers = {name: {"schema": {"type": "string"}, "description": meanings[name]} for name in names}
    return {status: {"description": description, "headers": headers}}


@router.options("", summary="What of the protocol is spoken", status_code=204, response_class=Response)
async def describe_protocol(hub: Hub) -> Response:
    headers = {
        "Tus-Version": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Max-Size": str(hub.settings.limits.file_bytes),
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
        "Allow": "OPTIONS, POST",
    }
    return Response(status_code=204, headers=headers)


@router.post("", summary="Begin an upload, with its first part or without", status_code=201, response_model=UploadObject,
             openapi_extra={"parameters": [_VERSION, _LENGTH, _METADATA, _CHECKSUM], "requestBody": _BODY},
             responses=_told(201, "The upload", "Location", "Upload-Offset", "Upload-Expires", tus.FILE_ID)
             | problems("precondition_failed", "checksum_mismatch"))  # fmt: skip
async def create_upload(request: Request, hub: Hub, who: Who) -> Response:
    tus.check_version(request)
    who.authorize("create", "upload")
    upload, checksum, has_part = _new(request, hub, who), tus.checksum_of(request), _has_part(request)
    said = [upload.length, upload.filename, upload.media_type, upload.purpose, upload.expires_after]
    async with idempotent(request, None if has_part else digest_of(said)) as guard:
        if replay := guard.replay or await _replay(request, hub, guard, said):
            return replay

        def also(tx: Transaction, now: UploadRecord, sha256: str = "") -> None:
            if has_part:
                guard.settle(digest_of([*said, sha256]))
            _store(tx, guard, _created(now), resource_id=now.id)

        is_whole = has_part or upload.length == 0

        def write(tx: Transaction) -> None:
            hub.store.uploads.add(tx, upload)
            if not is_whole:
                also(tx, upload)

        await asyncio.wrap_future(hub.database.submit(write))
        if is_whole:
            with _held(hub, upload) as partial:
                partial.rewind(0)
                upload = await Part(hub, upload, partial, checksum, also).receive(request)
    return _created(upload)


@router.head("/{upload_id}", summary="How much of an upload has arrived", response_class=Response,
             openapi_extra={"parameters": [_VERSION]},
             responses=_told(200, "As the headers say", "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", tus.FILE_ID)
             | problems("precondition_failed"))  # fmt: skip
def head_upload(request: Request, hub: Hub, who: Who, upload_id: UploadId) -> Response:
    tus.check_version(request)
    upload = _found(hub, who, upload_id)
    headers = {"Upload-Length": str(upload.length), "Cache-Control": "no-store", **_progress(upload)}
    return Response(headers=headers | ({"Upload-Metadata": upload.metadata} if upload.metadata else {}))


@router.get("/{upload_id}", summary="One upload")
def get_upload(hub: Hub, who: Who, upload_id: UploadId) -> UploadObject:
    return _wire(_found(hub, who, upload_id))


@router.patch("/{upload_id}", summary="Send a part of an upload", status_code=204, response_class=Response,
              openapi_extra={"parameters": [_VERSION, _OFFSET, _CHECKSUM], "requestBody": {**_BODY, "required": True}},
              responses=_told(204, "It is durable", "Upload-Offset", "Upload-Expires", tus.FILE_ID)
              | problems("precondition_failed", "resource_locked", "checksum_mismatch"))  # fmt: skip
async def send_part(request: Request, hub: Hub, who: Who, upload_id: UploadId) -> Response:
    tus.check_version(request)
    offset, checksum = tus.number_of(request, "Upload-Offset"), tus.checksum_of(request)
    if not tus.is_part(request):
        detail = f"A part of an upload is {tus.PART_TYPE}"
        raise ProblemError(problem("unsupported_media_type", detail, supported=[tus.PART_TYPE]))
    upload = await asyncio.to_thread(_found, hub, who, upload_id)
    who.authorize("change", "upload", made_by=upload.created_by)
    async with idempotent(request, None) as guard:
        if replay := await _replay(request, hub, guard, [offset]):
            return replay
        _check_fits(request, upload, offset)

        def also(tx: Transaction, now: UploadRecord, sha256: str) -> None:
            guard.settle(digest_of([offset, sha256]))
            _store(tx, guard, _received(now))

        with _held(hub, upload) as partial:
            upload = await asyncio.to_thread(_at, request, hub, who, upload_id, offset, partial)
            upload = await Part(hub, upload, partial, checksum, also).receive(request)
    return _received(upload)


@router.delete("/{upload_id}", summary="Give up an upload; a file that it became stays", status_code=204,
               response_class=Response, openapi_extra={"parameters": [_VERSION]},
               responses=problems("precondition_failed"))  # fmt: skip
async def delete_upload(request: Request, hub: Hub, who: Who, upload_id: UploadId) -> Response:
    tus.check_version(request)
    async with idempotent(request, digest_of(None)) as guard:
        if guard.replay:
            return guard.replay
        upload = await asyncio.to_thread(_found, hub, who, upload_id)
        who.authorize("delete", "upload", made_by=upload.created_by)
        answer = Response(status_code=204)

        def write(tx: Transaction) -> None:
            if not hub.store.uploads.delete(tx, who.workspace_id, upload_id):
                raise ProblemError(not_found("upload", upload_id))
            hub.store.idempotency.forget_resource(tx, upload_id)
            _store(tx, guard, answer)

        await asyncio.wrap_future(hub.database.submit(write))
        await asyncio.to_thread(hub.partials.delete, upload_id)
    return answer


def sweep_uploads(hub: Services) -> int:
    """Forget uploads that have expired, and remove bytes that belong to none under way; how many were forgotten."""

    def write(tx: Transaction) -> list[str]:
        gone = hub.store.uploads.delete_expired(tx)
        for upload_id in gone:
            hub.store.idempotency.forget_resource(tx, upload_id)
        return gone

    gone = hub.database.write(write)
    names = hub.partials.names()  # before it is asked which are under way: one that begins meanwhile is none of these
    for name in set(names) - hub.store.uploads.under_way(names):
        hub.partials.delete(name)
    return len(gone)


def _new(request: Request, hub: Services, who: Caller) -> UploadRecord:
    """The upload that a creation asks for, checked."""
    length = tus.number_of(request, "Upload-Length")
    if length > hub.settings.limits.file_bytes:
        raise too_large(hub.settings.limits.file_bytes, "file")
    said = {_ALIASES.get(name, name): value for name, value in tus.metadata_of(request).items()}
    try:
        metadata = Metadata.model_validate(said)
    except ValidationError as error:
        faults = [
            FieldError.at(("header", "upload-metadata", *row["loc"]), row["msg"], row["type"])
            for row in error.errors(include_url=False)
        ]
        raise ProblemError(validation_failed(faults)) from error
    now = hub.now()
    return UploadRecord(
        id=new_id("upload_", now=now),
        workspace_id=who.workspace_id,
        filename=metadata.filename,
        media_type=metadata.media_type,
        purpose=metadata.purpose,
        expires_after=metadata.expires_after,
        metadata=request.headers.get("upload-metadata", ""),
        length=length,
        received=0,
        file_id=None,
        created_by=who.principal,
        created_at=now,
        expires_at=expiry(hub, now),
    )


def _has_part(request: Request) -> bool:
    """Whether a creation brings the first part. ProblemError unsupported_media_type for a body of another kind."""
    if tus.is_part(request):
        return True
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        detail = f"An upload is created with a part, as {tus.PART_TYPE}, or without a body"
        raise ProblemError(problem("unsupported_media_type", detail, supported=[tus.PART_TYPE]))
    return False


async def _replay(request: Request, hub: Services, guard: Guard, said: list[Any]) -> Response | None:
    """The answer to give again, where the key has been answered and the part is the same; it is read to its end for that."""
    if not guard.is_known:
        return None
    return guard.settle(digest_of([*said, await sha256_of(request, hub.settings.limits.upload_silence_seconds)]))


def _check_fits(request: Request, upload: UploadRecord, offset: int) -> None:
    """Refuse before it is read what cannot be kept: a part beyond the end, an offset that is not the upload's."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and offset + int(declared) > upload.length:
        raise too_large(upload.length, "upload")
    if offset != upload.received or upload.file_id:
        detail = f"{upload.received} bytes of the upload have arrived, and the part begins at {offset}"
        conflict = problem(
            "conflict", detail, error_code="OFFSET_CONFLICT", offset=upload.received, upload_id=upload.id
        )
        raise ProblemError(conflict)


@contextmanager
def _held(hub: Services, upload: UploadRecord) -> Iterator[PartialBlob]:
    """What has arrived of an upload, held alone; ProblemError resource_locked while another request holds it."""
    try:
        partial = hub.partials.open(upload.id)
    except PartialLocked:
        detail = "Another request is sending a part of this upload"
        raise ProblemError(problem("resource_locked", detail, upload_id=upload.id)) from None
    with partial:
        yield partial


def _at(
    request: Request, hub: Services, who: Caller, upload_id: str, offset: int, partial: PartialBlob
) -> UploadRecord:
    """The upload as it stands now that nobody else changes it, and ``partial`` ready to go on; all is checked again."""
    try:
        upload = _found(hub, who, upload_id)
        _check_fits(request, upload, offset)
        partial.rewind(upload.received)
    except PartialLost as error:
        hub.database.write(lambda tx: hub.store.uploads.delete(tx, who.workspace_id, upload_id))
        log.warning("upload_lost", upload_id=upload_id)
        partial.discard()
        raise ProblemError(not_found("upload", upload_id)) from error
    except ProblemError:
        if not hub.store.uploads.under_way([upload_id]):
            partial.discard()
        raise
    return upload


def _found(hub: Services, who: Caller, upload_id: str) -> UploadRecord:
    return existing(hub.store.uploads.get(who.workspace_id, upload_id), "upload", upload_id)


def _store(tx: Transaction, guard: Guard, answer: Response, *, resource_id: str | None = None) -> None:
    headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
    guard.store(tx, answer.status_code, bytes(answer.body), headers=headers, resource_id=resource_id)


def _created(upload: UploadRecord) -> Response:
    headers = {"Location": f"{router.prefix}/{upload.id}", **_progress(upload)}
    return JSONResponse(_wire(upload).model_dump(), 201, headers)


def _received(upload: UploadRecord) -> Response:
    return Response(status_code=204, headers=_progress(upload))


def _progress(upload: UploadRecord) -> dict[str, str]:
    """The headers that say how an upload stands."""
    headers = {"Upload-Offset": str(upload.received)}
    if upload.expires_at is not None:
        headers["Upload-Expires"] = tus.http_date(upload.expires_at)
    return headers | ({tus.FILE_ID: upload.file_id} if upload.file_id else {})


def _wire(upload: UploadRecord) -> UploadObject:
    return UploadObject(
        id=upload.id,
        filename=upload.filename,
        media_type=upload.media_type,
        purpose=upload.purpose,
        bytes=upload.length,
        received=upload.received,
        status="processed" if upload.file_id else "receiving",
        file_id=upload.file_id,
        created_at=int(upload.created_at),
        expires_at=None if upload.expires_at is None else int(upload.expires_at),
    )
