"""``/openai/v1/models``: the names that can be asked for here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from amends.models import MODELS
from amends.problems import ProblemError, not_found
from amends.server.auth import Caller
from amends.server.openai.endpoints import endpoints_of
from amends.server.routing import Route
from amends.server.services import Services, hub, who

router = APIRouter(prefix="/openai/v1/models", tags=["openai models"], route_class=Route)

Hub = Annotated[Services, Depends(hub)]
Who = Annotated[Caller, Depends(who)]


class ModelObject(BaseModel):
    """owned_by: who answers. created: nobody keeps it, so it is 0."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.get("", summary="List the models")
def list_models(hub: Hub, who: Who) -> ModelList:
    """Embedded models that answer text, the models that providers' configuration names, and aliases."""
    return ModelList(data=list(_models(hub)))


@router.get("/{model:path}", summary="One model")
def get_model(
    hub: Hub, who: Who, model: Annotated[str, Path(max_length=256, description="Slashes may stand as they are.")]
) -> ModelObject:
    found = next((one for one in _models(hub) if one.id == model), None)
    if found is None:
        raise ProblemError(not_found("model", model))
    return found


def _models(hub: Services) -> Iterator[ModelObject]:
    for name in MODELS:
        if endpoints_of(name):
            yield ModelObject(id=name, owned_by="amends")
    for provider in hub.settings.server.providers.values():
        for name in dict.fromkeys((*(provider.models or ()), *provider.embedding_models)):
            yield ModelObject(id=f"{provider.name}/{name}", owned_by=provider.name)
    for alias, name in hub.settings.models.aliases.items():
        yield ModelObject(id=alias, owned_by=name.partition("/")[0])
