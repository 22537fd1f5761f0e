"""``/openai/v1/files``: the same files as ``/v1/files``, with the parameters that OpenAI's clients send."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from amends.problems import FieldError
from amends.server import files
from amends.server.auth import Caller
from amends.server.files import DeletedFile, Filename, FileObject, file_object
from amends.server.multipart import Form
from amends.server.openai.bodies import LEAST_SECONDS, MOST_SECONDS, Seconds
from amends.server.openapi import problems
from amends.server.pagination import After
from amends.server.routing import Route
from amends.server.services import Services, hub, who

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
    return await files.take(request, hub, who, _upload)


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
    if (_ANCHOR in form.fields) == (_SECONDS in form.fields):
        return files.fields_of(form, _Upload)
    lacking = _SECONDS if _ANCHOR in form.fields else _ANCHOR
    alone = FieldError.at(("body", lacking), f"{_ANCHOR} and {_SECONDS} are given together", "missing")
    return files.fields_of(form, _Upload, alone)
