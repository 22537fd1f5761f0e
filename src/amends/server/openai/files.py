"""``/openai/v1/files``: the same files as ``/v1/files``, with the parameters that OpenAI's clients send."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import JSONResponse, Response

from amends.database import Transaction
from amends.problems import FieldError, ProblemError, validation_failed
from amends.server import files
from amends.server.auth import Caller
from amends.server.files import DeletedFile, Filename, FileObject, file_object
from amends.server.idempotency import digest_of, idempotent
from amends.server.keeping import Described, keep
from amends.server.multipart import Form, FormReader
from amends.server.openai.bodies import LEAST_SECONDS, MOST_SECONDS, Seconds
from amends.server.openapi import problems
from amends.server.pagination import After
from amends.server.routing import Route
from amends.server.services import Services, hub, who
from amends.store import FileRecord

router = APIRouter(prefix="/openai/v1/files", tags=["openai files"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]
Purpose = Literal["batch", "user_data"]

_ANCHOR: Final = "expires_after[anchor]"
_SECONDS: Final = "expires_after[seconds]"
_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
                        "purpose": {"enum": ["batch", "user_data"]},
                        _ANCHOR: {"const": "created_at"},
                        _SECONDS: {"type": "integer", "minimum": LEAST_SECONDS, "maximum": MOST_SECONDS},
                    },
                }
            }
        },
    }
}


class _Upload(BaseModel):
    """The form's fields beside the file, under the names that the form has."""

    model_config = ConfigDict(extra="forbid")

    filename: Filename
    purpose: Purpose
    anchor: Annotated[Literal["created_at"] | None, Field(alias=_ANCHOR)] = None
    seconds: Annotated[Seconds | None, Field(alias=_SECONDS)] = None


class FileList(BaseModel):
    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post("", summary="Upload a file", response_model=FileObject, openapi_extra=_FORM,
             responses=problems("unsupported_media_type"))  # fmt: skip
async def upload_file(request: Request, hub: Hub, who: Who) -> Response:
    """``purpose`` is ``batch`` for the input of a batch. Without an expiry such a file is kept for 30 days."""
    who.authorize("create", "file")
    async with idempotent(request, None) as guard:
        with hub.blobs.writer() as writer:
            form = await FormReader(writer, hub.settings.limits).read(request)
            upload = _upload(form)
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
    hub: Hub,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Rows a page.")] = 10_000,
    after: After = None,
    order: Annotated[Literal["desc"], Query(description="Newest first is the only order.")] = "desc",
    purpose: Annotated[str | None, Query(max_length=64)] = None,
) -> FileList:
    found = hub.store.files.find(who.workspace_id, limit=limit + 1, after=after, purpose=purpose)
    rows = found[:limit]
    return FileList(
        data=[file_object(file) for file in rows],
        first_id=rows[0].id if rows else None,
        last_id=rows[-1].id if rows else None,
        has_more=len(found) > limit,
    )


router.get("/{file_id}", summary="One file")(files.get_file)
router.get("/{file_id}/content", summary="The bytes of a file, or a range of them", response_class=Response,
           responses=files.CONTENT | problems("range_not_satisfiable"))(files.get_content)  # fmt: skip
router.delete("/{file_id}", summary="Delete a file", response_model=DeletedFile)(files.delete_file)


def _upload(form: Form) -> _Upload:
    """The form's fields, checked; every fault at once."""
    faults = [] if form.has_file else [FieldError.at(("body", "file"), "Field required", "missing")]
    fields: dict[str, Any] = {name: value for name, value in form.fields.items() if name != "filename"}
    if (_ANCHOR in fields) != (_SECONDS in fields):
        lacking = _SECONDS if _ANCHOR in fields else _ANCHOR
        faults.append(FieldError.at(("body", lacking), f"{_ANCHOR} and {_SECONDS} are given together", "missing"))
    try:
        return_value = TypeAdapter(_Upload).validate_python({**fields, "filename": form.filename})
    except ValidationError as error:
        faults += [
            FieldError.at(("body", *row["loc"]), row["msg"], row["type"]) for row in error.errors(include_url=False)
        ]
    if faults:
        raise ProblemError(validation_failed(faults))
    return return_value
