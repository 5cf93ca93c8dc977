"""Whether the process lives, and whether it can work. Open without a key."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from service.api.auth import ANYBODY, OPERATE
from service.api.dependencies import Parts, PartsDep
from service.api.problems import Responses, document
from service.api.schemas import Health, Readiness
from service.database import current_revision, head_revision
from service.storage import StorageReserve

NOT_READY: Responses = {503: {"model": Readiness, "description": "Not yet, or not now"}}
METRICS_EXAMPLE = """\
# TYPE grpo_http_requests_total counter
grpo_http_requests_total{method="POST",route="/policy/{id}/act",status="200"} 1042.0
# TYPE grpo_jobs gauge
grpo_jobs{state="running"} 2.0
"""
METRICS: Responses = {200: {"content": {"text/plain": {"example": METRICS_EXAMPLE}}}}
router = APIRouter(tags=["health"])


def check_migrations(parts: Parts) -> str:
    """Return ok if the schema is the one that this code knows, otherwise what is wrong."""
    try:
        found, wanted = current_revision(parts.database), head_revision()
    except SQLAlchemyError as error:
        return f"the database does not answer: {type(error).__name__}"
    return "ok" if found == wanted else f"schema at {found}, not {wanted}: run grpo migrate"


@router.get(
    "/healthz",
    summary="Is the process alive?",
    dependencies=[ANYBODY],
    responses=document(needs_key=False),
)
async def healthz() -> Health:
    """Answer at once, whatever else is going on."""
    return Health()


@router.get(
    "/readyz",
    summary="Can the service work?",
    dependencies=[ANYBODY],
    responses=document(success=NOT_READY, needs_key=False),
)
def readyz(parts: PartsDep, response: Response) -> Readiness:
    """Check database, schema, kernels and space on the disk; 503 until all are ok."""
    checks = {
        "database": check_migrations(parts),
        "kernels": parts.kernels.state,
        "storage": StorageReserve(parts.settings).check(),
    }
    ready = all(state == "ok" for state in checks.values())
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, checks=checks)


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    dependencies=[OPERATE],
    response_class=PlainTextResponse,
    responses=document(success=METRICS),
)
def get_metrics(parts: PartsDep) -> Response:
    """Return requests, latencies, decisions and jobs by state in Prometheus' text format."""
    content = parts.telemetry.render(parts.database, parts.streams.open)
    return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})
