"""Trained policies over HTTP: list, look, and ask for decisions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from grpo.models.serialization import digest_bytes
from service.api import acting, views
from service.api.act_bodies import Action, Decision, body_schema
from service.api.auth import ACT, LIST_POLICIES, READ_POLICY, CallerDep
from service.api.dependencies import Parts, PartsDep, RequireJson, WholeNumber
from service.api.examples import ANSWERS
from service.api.problems import BODY_ERRORS, Responses, document
from service.api.schemas import PolicyDetail, PolicyList
from service.database import Database
from service.errors import (
    InvalidRequestError,
    ModelRejectedError,
    PolicyNotFoundError,
    WarmingUpError,
)
from service.policies import repository
from service.policies.cache import ServedPolicy

INLINE_BYTES = 16_384  # larger bodies would keep the event loop from others for too long
router = APIRouter(tags=["policies"])
ETAG = {"ETag": {"description": "SHA-256 of the model.", "schema": {"type": "string"}}}
MODEL: Responses = {
    200: {
        "headers": ETAG,
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"},
                "example": "safetensors: 8 bytes of length, a JSON header, tensors",
            }
        },
    },
    304: {"description": "The client has it", "headers": ETAG},
}


async def decide(parts: Parts, served: ServedPolicy, raw: bytes) -> bytes:
    """Decide and time it: an ordinary body at once, a large one in the thread pool."""
    most = parts.settings.max_patients
    with parts.telemetry.act.time():
        if len(raw) <= INLINE_BYTES:
            return acting.decide(served, raw, most)
        return await run_in_threadpool(acting.decide, served, raw, most)


def is_known(etag: str, if_none_match: str) -> bool:
    """Say whether a client's If-None-Match names the tag."""
    given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in given or "*" in given


def read_model(database: Database, policy_id: str) -> bytes:
    """Return the stored bytes after comparing them with their digest.

    Raises:
        ModelRejectedError: they were altered.
    """
    stored, digest = repository.get_policy_bytes(database, policy_id)
    if digest_bytes(stored) != digest:
        raise ModelRejectedError("the stored model does not have the digest that was recorded")
    return stored


@router.get(
    "/policy",
    summary="List policies",
    dependencies=[LIST_POLICIES],
    responses=document(InvalidRequestError),
)
def list_policies(
    parts: PartsDep,
    caller: CallerDep,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=256, description="From ``next``.")] = None,
) -> PolicyList:
    """Return the trained policies, newest first."""
    page = repository.list_policies(parts.database, limit, views.read_cursor(after), caller)
    return PolicyList(
        data=[views.view_policy(policy) for policy in page.policies],
        has_more=page.next is not None,
        next=views.write_cursor(page.next),
    )


@router.get(
    "/policy/{id}",
    summary="Look at a policy",
    dependencies=[READ_POLICY],
    responses=document(PolicyNotFoundError),
)
def get_policy(id: str, parts: PartsDep) -> PolicyDetail:  # noqa: A002 - the path says id
    """Return a policy, by its id or its job's: manifest, digest, training job, report."""
    return views.view_policy_detail(repository.get_policy(parts.database, id))


@router.get(
    "/policy/{id}/model",
    summary="Download the model",
    dependencies=[READ_POLICY],
    response_class=Response,
    responses=document(PolicyNotFoundError, ModelRejectedError, InvalidRequestError, success=MODEL),
)
def get_model(
    id: str,  # noqa: A002 - the path says id
    parts: PartsDep,
    if_none_match: Annotated[str, Header(description="ETags that the client has.")] = "",
) -> Response:
    """Return the stored model in safetensors format; its ETag is its SHA-256.

    `grpo.models.serialization.load_policy` reads it; the manifest is in the file's header.
    """
    policy = repository.get_policy(parts.database, id)
    headers = {"ETag": f'"{policy.sha256}"'}
    if is_known(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{policy.id}.safetensors"'
    content = read_model(parts.database, policy.id)
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.post(
    "/policy/{id}/act",
    summary="Ask for a decision",
    dependencies=[ACT, RequireJson],
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
async def act(
    id: str,  # noqa: A002 - the path says id
    request: Request,
    parts: PartsDep,
    caller: CallerDep,
) -> Response:
    """Decide who of the waiting patients starts now, or which action to take in a state.

    The same request gets the same answer. Nothing is stored.
    """
    raw = await request.body()
    served = parts.policies.find(id, caller)
    if served is None:
        served = await run_in_threadpool(parts.policies.load, id, caller)
    if served.compiled is not None:
        parts.kernels.require()
    content = await decide(parts, served, raw)
    return Response(content, media_type="application/json")
