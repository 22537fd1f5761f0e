"""Whether the server lives, and whether it can take work."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from amends.problems import ProblemError, problem
from amends.server.openapi import problems
from amends.server.routing import Route
from amends.server.services import services

router = APIRouter(prefix="/health", tags=["watching"], route_class=Route)


class Health(BaseModel):
    """status: always ``ok``; what is not answers 503."""

    status: Literal["ok"] = "ok"
    workers: Annotated[int | None, Field(description="Workers that run; null where the question is not asked.")] = None


@router.get("/live", summary="The process answers")
async def live() -> Health:
    return Health()


@router.get("/ready", summary="The database answers and the workers run", responses=problems("service_unavailable"))
def ready(request: Request) -> Health:
    hub = services(request)
    try:
        with hub.database.read() as tx:
            tx.value("select 1")
    except Exception as error:
        raise ProblemError(problem("service_unavailable", retry_after=5)) from error
    return Health(workers=len(hub.engine.workers()) if hub.engine else None)
