"""Trained policies over HTTP: list, look, and ask for decisions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.api import acting, views
from service.api.act_bodies import Action, Decision, body_schema
from service.api.dependencies import PartsDep, RequireJson
from service.api.examples import ANSWERS
from service.api.problems import BODY_ERRORS, document
from service.api.schemas import PolicyDetail, PolicyList
from service.errors import (
    InvalidRequestError,
    ModelRejectedError,
    PolicyNotFoundError,
    WarmingUpError,
)
from service.policies import repository

INLINE_BYTES = 16_384  # larger bodies would keep the event loop from others for too long
router = APIRouter(tags=["policies"])


@router.get("/policy", summary="List policies", responses=document(InvalidRequestError))
def list_policies(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=256, description="From ``next``.")] = None,
) -> PolicyList:
    """Return the trained policies, newest first."""
    page = repository.list_policies(parts.database, limit, views.read_cursor(after))
    return PolicyList(
        data=[views.view_policy(policy) for policy in page.policies],
        has_more=page.next is not None,
        next=views.write_cursor(page.next),
    )


@router.get("/policy/{id}", summary="Look at a policy", responses=document(PolicyNotFoundError))
def get_policy(id: str, parts: PartsDep) -> PolicyDetail:  # noqa: A002 - the path says id
    """Return a policy, by its id or its job's: manifest, digest, training job, report."""
    return views.view_policy_detail(repository.get_policy(parts.database, id))


@router.post(
    "/policy/{id}/act",
    summary="Ask for a decision",
    dependencies=[RequireJson],
    openapi_extra=body_schema(),
    response_model=Decision | Action,
    responses=document(
        PolicyNotFoundError,
        ModelRejectedError,
        WarmingUpError,
        *BODY_ERRORS,
        success={200: {"content": {"application/json": {"examples": ANSWERS}}}},
    ),
)
async def act(id: str, request: Request, parts: PartsDep) -> Response:  # noqa: A002
    """Decide who of the waiting patients starts now, or which action to take in a state.

    The same request gets the same answer. Nothing is stored.
    """
    raw = await request.body()
    served = parts.policies.find(id)
    if served is None:
        served = await run_in_threadpool(parts.policies.load, id)
    if served.compiled is not None:
        parts.kernels.require()
    if len(raw) <= INLINE_BYTES:
        content = acting.decide(served, raw, parts.settings.max_patients)
    else:
        content = await run_in_threadpool(acting.decide, served, raw, parts.settings.max_patients)
    return Response(content, media_type="application/json")
