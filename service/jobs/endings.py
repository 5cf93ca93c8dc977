"""How attempts and jobs end: steps inside their caller's transaction, each under a fence.

The job's row is written (or locked) before its attempt's: everybody in the same order.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Update, func, select, update
from sqlalchemy.orm import Session

from service.database import database_time
from service.errors import FencedError
from service.jobs.models import AttemptRow, JobRow
from service.jobs.repository import add_event
from service.jobs.states import ACTIVE, TRANSITIONS, EndReason, EventKind, JobState, StatusReason

# Attempts that ended so were the job's bad luck or its doing; a worker's orderly stop is not.
COUNTED = (EndReason.WORKER_LOST, EndReason.PROCESS_DIED)
DETAIL_LIMIT = 8_000
END_STATES = {
    EndReason.SUCCEEDED: (JobState.SUCCEEDED, EventKind.SUCCEEDED),
    EndReason.FAILED: (JobState.FAILED, EventKind.FAILED),
    EndReason.CANCELLED: (JobState.CANCELLED, EventKind.CANCELLED),
}


def held(job_id: str, fence: int) -> tuple[Any, ...]:
    """Return the conditions under which a write of the claim's holder is allowed."""
    return JobRow.id == job_id, JobRow.fence == fence, JobRow.state.in_(ACTIVE)


def fenced(job_id: str, fence: int) -> FencedError:
    """Build the error for a claim that no longer holds."""
    return FencedError(f"job {job_id} is no longer run under fence {fence}")


def write_held(session: Session, job_id: str, fence: int, statement: Update) -> JobState:
    """Apply an update to the job's row if the claim still holds, and return the job's state.

    Raises:
        FencedError: it does not hold.
    """
    statement = statement.where(*held(job_id, fence))
    state = session.execute(statement.returning(JobRow.state)).scalar_one_or_none()
    if state is None:
        raise fenced(job_id, fence)
    return JobState(state)


def end_job(
    session: Session,
    job_id: str,
    fence: int,
    end: EndReason,
    *,
    reason: StatusReason | None = None,
    detail: str = "",
    **values: object,
) -> None:
    """Move a held job to the terminal state of ``end``; the attempt ends with it.

    Raises:
        FencedError: the claim does not hold.
    """
    state, kind = END_STATES[end]
    statement = update(JobRow).values(
        state=state,
        status_reason=reason,
        detail=detail,
        finished_at=database_time(),
        lease_owner=None,
        lease_until=None,
        seconds_left=None,
        **values,
    )
    before = [source for source in ACTIVE if state in TRANSITIONS[source]]
    write_held(session, job_id, fence, statement.where(JobRow.state.in_(before)))
    add_event(session, job_id, kind, state, **({"reason": reason} if reason else {}))


def end_attempt(session: Session, job_id: str, fence: int, reason: EndReason, detail: str) -> None:
    """Write how the attempt under ``fence`` ended."""
    session.execute(
        update(AttemptRow)
        .where(AttemptRow.job_id == job_id, AttemptRow.fence == fence)
        .values(ended_at=database_time(), end_reason=reason, detail=detail)
    )


def clean_detail(text: str) -> str:
    """Cut a detail to its last 8,000 characters and drop what a database cannot hold."""
    text = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return text[-DETAIL_LIMIT:]


def give_back(
    session: Session,
    job_id: str,
    fence: int,
    state: JobState,
    *,
    reason: EndReason,
    detail: str,
    max_attempts: int,
) -> JobState:
    """End an attempt without a result: cancelled, back to the queue, or over (attempts used up).

    Raises:
        FencedError: the claim does not hold.
    """
    end_attempt(session, job_id, fence, reason, detail)
    if state is JobState.CANCELLING:
        by_client = StatusReason.CANCELLED_BY_CLIENT
        end_job(session, job_id, fence, EndReason.CANCELLED, reason=by_client)
        return JobState.CANCELLED
    counted = select(func.count()).where(
        AttemptRow.job_id == job_id,
        AttemptRow.end_reason.in_(COUNTED),
        AttemptRow.n > select(JobRow.forgiven).where(JobRow.id == job_id).scalar_subquery(),
    )
    if session.execute(counted).scalar_one() >= max_attempts:
        because = StatusReason(reason)
        end_job(session, job_id, fence, EndReason.FAILED, reason=because, detail=detail)
        return JobState.FAILED
    statement = update(JobRow).values(
        state=JobState.QUEUED,
        status_reason=StatusReason(reason),
        detail=detail,
        rung_at=database_time(),
        lease_owner=None,
        lease_until=None,
        phase=None,
        steps_per_second=None,
        seconds_left=None,
    )
    write_held(session, job_id, fence, statement)
    add_event(session, job_id, EventKind.REQUEUED, JobState.QUEUED, reason=reason)
    return JobState.QUEUED
