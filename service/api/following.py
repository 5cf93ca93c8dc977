"""The course of a job over HTTP: its events, once or as a stream, and what it printed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api import views
from service.api.auth import READ_JOB
from service.api.dependencies import PartsDep, WholeNumber
from service.api.following_schemas import JobEvents, JobLogs
from service.api.problems import Responses, document
from service.errors import InvalidRequestError, JobNotFoundError, TooManyStreamsError
from service.jobs import logs, repository

router = APIRouter(tags=["jobs"])
MAX_EVENTS = 1_000
STREAM_EXAMPLE = """\
retry: 3000

event: started
data: {"sequence": 2, "at": "2026-11-22T14:05:00.480Z", "kind": "started", "status": "running", \
"data": {"attempt": 1, "worker": "host-1:4711"}}
id: 2

event: end
data: {"job_id": "0199a1c2-6f0e-7c31-9b52-4f6f2f0c9a10", "status": "succeeded"}
"""
STREAM: Responses = {200: {"content": {"text/event-stream": {"example": STREAM_EXAMPLE}}}}


def require_job(id: str, parts: PartsDep) -> None:  # noqa: A002 - the path says id
    """Refuse an unknown job while an answer can still be a problem."""
    repository.watch_events(parts.database, id, 0, 0)


async def hold_stream(parts: PartsDep) -> AsyncIterator[None]:
    """Hold one of the places for streams until the stream is over."""
    with parts.streams.slot():
        yield


@router.get(
    "/jobs/{id}/events",
    summary="List what happened to a job",
    dependencies=[READ_JOB],
    responses=document(JobNotFoundError, InvalidRequestError),
)
def get_events(
    id: str,  # noqa: A002 - the path says id
    parts: PartsDep,
    after: Annotated[WholeNumber, Query(ge=0, lt=2**31, description="Only later events.")] = 0,
    limit: Annotated[WholeNumber, Query(ge=1, le=MAX_EVENTS)] = MAX_EVENTS,
) -> JobEvents:
    """Return a job's events in order; every change of its state is one."""
    events, state = repository.watch_events(parts.database, id, after, limit + 1)
    data = [views.view_event(event) for event in events[:limit]]
    return JobEvents(
        job_id=id,
        status=state.value,
        data=data,
        next_after=data[-1].sequence if data else after,
        has_more=len(events) > limit,
    )


@router.get(
    "/jobs/{id}/stream",
    summary="Follow what happens to a job",
    response_class=EventSourceResponse,
    dependencies=[READ_JOB, Depends(require_job), Depends(hold_stream)],
    responses=document(JobNotFoundError, InvalidRequestError, TooManyStreamsError, success=STREAM),
)
async def stream_events(
    id: str,  # noqa: A002 - the path says id
    parts: PartsDep,
    last_event_id: Annotated[
        WholeNumber,
        Header(alias="Last-Event-ID", ge=0, lt=2**31, description="Only later events."),
    ] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Stream a job's events as they come (server-sent events), and `end` when it is over.

    Ids are the events' sequence numbers: a client that comes back with `Last-Event-ID` misses
    nothing and sees nothing twice. A silent stream carries a comment every 15 seconds.
    """
    async for event in parts.streams.follow(parts.database, id, last_event_id):
        yield event


@router.get(
    "/jobs/{id}/logs",
    summary="Read what a training printed",
    dependencies=[READ_JOB],
    responses=document(JobNotFoundError),
)
def get_logs(id: str, parts: PartsDep) -> JobLogs:  # noqa: A002 - the path says id
    """Return the last output of each of the job's last ten attempts."""
    found = logs.list_logs(parts.database, id)
    job = repository.get_job(parts.database, id)
    return JobLogs(job_id=id, status=job.state.value, data=[views.view_log(log) for log in found])
