"""Whether the process lives, and whether it can work. Open without a key."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from service.api.dependencies import Parts, PartsDep
from service.api.problems import Responses, document
from service.api.schemas import Health, Readiness
from service.database import current_revision, head_revision

NOT_READY: Responses = {503: {"model": Readiness, "description": "Not yet, or not now"}}
router = APIRouter(tags=["health"])


def check_migrations(parts: Parts) -> str:
    """Return ok if the schema is the one that this code knows, otherwise what is wrong."""
    try:
        found, wanted = current_revision(parts.database), head_revision()
    except SQLAlchemyError as error:
        return f"the database does not answer: {type(error).__name__}"
    return "ok" if found == wanted else f"schema at {found}, not {wanted}: run grpo migrate"


@router.get("/healthz", summary="Is the process alive?", responses=document(needs_key=False))
async def healthz() -> Health:
    """Answer at once, whatever else is going on."""
    return Health()


@router.get(
    "/readyz",
    summary="Can the service work?",
    responses=document(success=NOT_READY, needs_key=False),
)
def readyz(parts: PartsDep, response: Response) -> Readiness:
    """Check database, schema and kernels; 503 until all are ok."""
    checks = {"database": check_migrations(parts), "kernels": parts.kernels.state}
    ready = all(state == "ok" for state in checks.values())
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, checks=checks)
