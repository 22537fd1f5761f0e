"""``/v1/files``: what people upload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from amends.blobs import BlobNotFound
from amends.database import Transaction
from amends.problems import FieldError, ProblemError, validation_failed
from amends.server.auth import Caller
from amends.server.finding import existing
from amends.server.idempotency import body_digest, digest_of, idempotent
from amends.server.keeping import Described, drop_unused, keep
from amends.server.multipart import Form, FormReader
from amends.server.openapi import problems
from amends.server.pagination import After, Limit, Page, page
from amends.server.ranges import blob_response
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import ExpiredFile, FileRecord

router = APIRouter(prefix="/v1/files", tags=["files"], route_class=Route)

MAX_EXPIRY_SECONDS: Final = 518_400
_MAX_FILENAME: Final = 1_024

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
FileId = Annotated[str, Path(max_length=128, description="The file's id.")]
Purpose = Literal["user_data", "batch"]
Stored = Literal["user_data", "batch", "batch_output"]
"""``batch_output`` is what batches make, and nobody uploads."""


class FileObject(BaseModel):
    """A file. Times are Unix seconds here, since two public clients read this object."""

    id: str
    object: Literal["file"] = "file"
    filename: str
    media_type: str
    bytes: int
    sha256: str
    pages: Annotated[int | None, Field(description="Of a PDF; null where there are none or they cannot be counted.")]
    purpose: str
    status: Literal["processed"] = "processed"
    created_at: int
    expires_at: int | None


class DeletedFile(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


ExpiresAfter = Annotated[int, Field(ge=1, le=MAX_EXPIRY_SECONDS, description="Seconds from now.")]
Filename = Annotated[str, Field(min_length=1, max_length=_MAX_FILENAME, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Upload(BaseModel):
    """The form's fields beside the file."""

    model_config = ConfigDict(extra="forbid")

    filename: Filename
    purpose: Purpose = "user_data"
    expires_after: ExpiresAfter | None = None

    @property
    def seconds(self) -> int | None:
        """How long it is kept."""
        return self.expires_after


M = TypeVar("M", bound=BaseModel)


class Change(BaseModel):
    """What can be changed of a file. ``expires_after: null`` lets it stay."""

    model_config = ConfigDict(extra="forbid", strict=True)  # true is not one second

    filename: Filename | None = None
    purpose: Purpose | None = None
    expires_after: ExpiresAfter | None = None


_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
                        "purpose": {"enum": ["user_data", "batch"], "default": "user_data"},
                        "expires_after": {"type": "integer", "minimum": 1, "maximum": MAX_EXPIRY_SECONDS},
                    },
                }
            }
        },
    }
}
CONTENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The bytes", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {
        "description": "The part asked for by Range",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The same as the If-None-Match names"},
}


@router.post("", summary="Upload a file", response_model=FileObject, openapi_extra=_FORM,
             responses=problems("unsupported_media_type"))  # fmt: skip
async def upload_file(request: Request, hub: Hub, who: Who) -> Response:
    return await take(request, hub, who, _upload)


class Said(Protocol):
    """What a form says beside the file. seconds: after which it goes, None keeps it."""

    filename: str

    @property
    def purpose(self) -> Stored: ...

    @property
    def seconds(self) -> int | None: ...

    def model_dump(self) -> dict[str, Any]: ...


async def take(request: Request, hub: Services, who: Caller, read: Callable[[Form], Said]) -> Response:
    """Store the file of a form. read: what that says beside it, or ProblemError."""
    who.authorize("create", "file")
    async with idempotent(request, None) as guard:
        with hub.blobs.writer() as writer:
            form = await FormReader(writer, hub.settings.limits).read(request)
            upload = read(form)
            if replay := guard.settle(digest_of([upload.model_dump(), form.media_type, writer.sha256])):
                return replay
            said = Described(
                who.workspace_id, who.principal, upload.filename, form.media_type, upload.purpose, upload.seconds
            )

            def also(tx: Transaction, record: FileRecord) -> None:
                guard.store(tx, 200, file_object(record).model_dump(), resource_id=record.id)

            record = await keep(hub, said, writer.sha256, writer.commit, also)
    return JSONResponse(file_object(record).model_dump())


@router.get("", summary="List the files, newest first")
def list_files(
    hub: Hub, who: Who, limit: Limit = 20, after: After = None, purpose: Annotated[Stored | None, Query()] = None
) -> Page[FileObject]:
    found = hub.store.files.find(who.workspace_id, limit=limit + 1, after=after, purpose=purpose)
    return page(found, limit, file_object)


@router.get("/{file_id}", summary="One file")
def get_file(hub: Hub, who: Who, file_id: FileId) -> FileObject:
    return file_object(_found(hub, who, file_id))


@router.get("/{file_id}/content", summary="The bytes of a file, or a range of them", response_class=Response,
            responses=CONTENT | problems("range_not_satisfiable"))  # fmt: skip
def get_content(request: Request, hub: Hub, who: Who, file_id: FileId) -> Response:
    file = _found(hub, who, file_id)
    if not hub.blobs.exists(file.sha256):
        raise BlobNotFound(file.sha256)
    # The bytes are anybody's: a page among them must not run as one of ours.
    headers = {
        "Content-Type": file.media_type,
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(file.filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return blob_response(request, hub.blobs, file.sha256, file.bytes, headers)


@router.patch("/{file_id}", summary="Change a file's name, purpose or expiry", response_model=FileObject)
async def change_file(request: Request, hub: Hub, who: Who, file_id: FileId, change: Change) -> Response:
    file = await asyncio.to_thread(_found, hub, who, file_id)
    who.authorize("change", "file", made_by=file.created_by)
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        changed = _changed(file, change, hub.now())
        answer = file_object(changed).model_dump()

        def write(tx: Transaction) -> None:
            hub.store.files.update(tx, changed)
            guard.store(tx, 200, answer)

        await asyncio.wrap_future(hub.database.submit(write))
    return JSONResponse(answer)


@router.delete("/{file_id}", summary="Delete a file", response_model=DeletedFile)
async def delete_file(request: Request, hub: Hub, who: Who, file_id: FileId) -> Response:
    async with idempotent(request, await body_digest(request)) as guard:
        if guard.replay:
            return guard.replay
        file = await asyncio.to_thread(_found, hub, who, file_id)
        who.authorize("delete", "file", made_by=file.created_by)
        answer = DeletedFile(id=file.id).model_dump()

        def write(tx: Transaction) -> None:
            hub.store.files.delete(tx, who.workspace_id, file.id)
            _forget(tx, hub, who.workspace_id, file.id)
            guard.store(tx, 200, answer)

        await asyncio.wrap_future(hub.database.submit(write))
        await asyncio.to_thread(drop_unused, hub, file.sha256)
    return JSONResponse(answer)


def sweep_expired(hub: Services) -> int:
    """Forget files that have expired, and their bytes where nobody else has them; how many."""

    def write(tx: Transaction) -> list[ExpiredFile]:
        gone = hub.store.files.delete_expired(tx)
        for file in gone:
            _forget(tx, hub, file.workspace_id, file.id)
        return gone

    gone = hub.database.write(write)
    for file in gone:
        drop_unused(hub, file.sha256)
    return len(gone)


def _forget(tx: Transaction, hub: Services, workspace_id: str, file_id: str) -> None:
    """What speaks of a file goes with it: its creation's key, and the resumable upload that it came by."""
    hub.store.idempotency.forget_resource(tx, file_id)
    for upload_id in hub.store.uploads.of_file(tx, file_id):
        hub.store.uploads.delete(tx, workspace_id, upload_id)
        hub.store.idempotency.forget_resource(tx, upload_id)


def _upload(form: Form) -> Upload:
    if "filename" not in form.fields:
        return fields_of(form, Upload)
    twice = FieldError.at(("body", "filename"), "The filename belongs to the part file", "extra_forbidden")
    return fields_of(form, Upload, twice)


def fields_of(form: Form, model: type[M], *more: FieldError) -> M:
    """The form's fields, checked; every fault at once. more: faults that are known."""
    faults = [*([] if form.has_file else [FieldError.at(("body", "file"), "Field required", "missing")]), *more]
    try:
        fields = model.model_validate({**form.fields, "filename": form.filename})
    except ValidationError as error:
        faults += [
            FieldError.at(("body", *row["loc"]), row["msg"], row["type"]) for row in error.errors(include_url=False)
        ]
    if faults:
        raise ProblemError(validation_failed(faults))
    return fields


def _changed(file: FileRecord, change: Change, now: float) -> FileRecord:
    given = change.model_fields_set
    expires_at = file.expires_at
    if "expires_after" in given:
        expires_at = None if change.expires_after is None else now + change.expires_after
    return replace(
        file, filename=change.filename or file.filename, purpose=change.purpose or file.purpose, expires_at=expires_at
    )


def _found(hub: Services, who: Caller, file_id: str) -> FileRecord:
    return existing(hub.store.files.get(who.workspace_id, file_id), "file", file_id)


def file_object(file: FileRecord) -> FileObject:
    return FileObject(
        id=file.id,
        filename=file.filename,
        media_type=file.media_type,
        bytes=file.bytes,
        sha256=file.sha256,
        pages=file.pages,
        purpose=file.purpose,
        created_at=int(file.created_at),
        expires_at=None if file.expires_at is None else int(file.expires_at),
    )
