"""Reading jobs, and what a client may change: submit the row, ask for an end.

Each function is one transaction. What workers write under their fence stands in
``service.jobs.leases`` and ``service.jobs.outcomes``.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.orm import Session

from service.database import Database, database_time
from service.errors import JobNotFoundError
from service.jobs.models import AttemptRow, EventRow, JobRow, MetricRow
from service.jobs.records import Attempt, Cursor, Event, Job, JobPage, Metric, Progress
from service.jobs.states import EndReason, EventKind, JobState, StatusReason
from service.keys.ownership import narrow
from service.keys.records import OPERATOR, Caller
from service.policies.models import PolicyRow

MAX_PAGE = 1000


def new_id() -> str:
    """Return a UUID of version 7: 48 bits of milliseconds, 12 of their fraction, 62 random."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random
    return str(uuid.UUID(int=value))


def insert_job(
    session: Session, config: dict[str, Any], total_timesteps: int, owner: str | None = None
) -> str:
    """Insert a queued job and its first event; the caller's transaction commits both or neither.

    Args:
        session: a writing transaction.
        config: the whole ``TrainConfig`` as plain data.
        total_timesteps: the budget, for progress.
        owner: whose job it is, None for nobody's.

    Returns:
        The job's id.
    """
    job_id = new_id()
    session.add(
        JobRow(
            id=job_id,
            state=JobState.QUEUED,
            config=config,
            owner=owner,
            created_at=database_time(),
            rung_at=database_time(),
            total_timesteps=total_timesteps,
        )
    )
    session.flush()
    add_event(session, job_id, EventKind.SUBMITTED, JobState.QUEUED)
    return job_id


def add_event(
    session: Session, job_id: str, kind: EventKind, state: JobState, **data: object
) -> None:
    """Append an event; the transaction must have written the job's row, which orders writers."""
    last = select(func.coalesce(func.max(EventRow.sequence), 0)).where(EventRow.job_id == job_id)
    sequence = session.execute(last).scalar_one() + 1
    session.add(
        EventRow(
            job_id=job_id, sequence=sequence, at=database_time(), kind=kind, state=state, data=data
        )
    )
    session.flush()


def get_job(database: Database, job_id: str) -> Job:
    """Return one job.

    Raises:
        JobNotFoundError: no job has this id.
    """
    with database.reading() as session:
        return load_job(session, job_id)


def list_jobs(
    database: Database,
    limit: int = 50,
    after: Cursor | None = None,
    states: Collection[JobState] | None = None,
    caller: Caller = OPERATOR,
) -> JobPage:
    """Return jobs newest first, ``after`` a position; jobs added meanwhile do not shift pages.

    Args:
        database: the records.
        limit: 1 to 1000.
        after: position given by the previous page, None for the newest.
        states: only these, None for all.
        caller: only what they see.
    """
    query = select(JobRow, PolicyRow.id).outerjoin(PolicyRow, PolicyRow.job_id == JobRow.id)
    query = query.where(narrow(caller, JobRow))
    if after is not None:
        query = query.where(tuple_(JobRow.created_at, JobRow.id) < tuple(after))
    if states is not None:
        query = query.where(JobRow.state.in_(sorted(states)))
    query = query.order_by(JobRow.created_at.desc(), JobRow.id.desc())
    limit = min(max(limit, 1), MAX_PAGE)
    with database.reading() as session:
        rows = session.execute(query.limit(limit + 1)).all()
        attempts = _load_attempts(session, [row.id for row, _ in rows[:limit]])
    jobs = tuple(_job(row, attempts.get(row.id, ()), policy) for row, policy in rows[:limit])
    more = len(rows) > limit
    return JobPage(jobs, Cursor(jobs[-1].created, jobs[-1].id) if more else None)


def count_jobs(database: Database) -> dict[JobState, int]:
    """Return how many jobs stand in each state; an index is counted, not the rows."""
    query = select(JobRow.state, func.count()).group_by(JobRow.state)
    with database.reading() as session:
        found = {JobState(state): n for state, n in session.execute(query)}
    return {state: found.get(state, 0) for state in JobState}


def list_events(
    database: Database, job_id: str, after: int = 0, limit: int = MAX_PAGE
) -> tuple[Event, ...]:
    """Return a job's events with a sequence number above ``after``, in order.

    Raises:
        JobNotFoundError: no job has this id.
    """
    return watch_events(database, job_id, after, limit)[0]


def watch_events(
    database: Database, job_id: str, after: int, limit: int
) -> tuple[tuple[Event, ...], JobState]:
    """Return the events above ``after``, at most ``limit``, and where the job stands after all.

    Raises:
        JobNotFoundError: no job has this id.
    """
    query = select(EventRow).where(EventRow.job_id == job_id, EventRow.sequence > after)
    with database.reading() as session:
        state = session.scalar(select(JobRow.state).where(JobRow.id == job_id))
        rows = session.scalars(query.order_by(EventRow.sequence).limit(limit)).all()
    if state is None:
        raise JobNotFoundError.of(job_id)
    events = tuple(
        Event(row.sequence, row.at, EventKind(row.kind), JobState(row.state), row.data)
        for row in rows
    )
    return events, JobState(state)


def list_metrics(
    database: Database, job_id: str, after: int | None = None, limit: int = 10 * MAX_PAGE
) -> tuple[Metric, ...]:
    """Return a job's metrics of the iterations above ``after`` (None: all), in order.

    Raises:
        JobNotFoundError: no job has this id.
    """
    query = select(MetricRow).where(MetricRow.job_id == job_id)
    if after is not None:
        query = query.where(MetricRow.iteration > after)
    with database.reading() as session:
        _require_job(session, job_id)
        rows = session.scalars(query.order_by(MetricRow.iteration).limit(limit)).all()
    return tuple(Metric(row.iteration, row.timesteps, row.seconds, row.values) for row in rows)


def latest_metric(database: Database, job_id: str) -> Metric | None:
    """Return the metrics of a job's last iteration, None before the first.

    Raises:
        JobNotFoundError: no job has this id.
    """
    query = select(MetricRow).where(MetricRow.job_id == job_id)
    with database.reading() as session:
        _require_job(session, job_id)
        row = session.scalars(query.order_by(MetricRow.iteration.desc()).limit(1)).one_or_none()
    return None if row is None else Metric(row.iteration, row.timesteps, row.seconds, row.values)


def request_cancel(database: Database, job_id: str) -> Job:
    """Ask for a job's end: a queued job is cancelled at once, a running one becomes cancelling.

    A job that is cancelling or over stays as it is.

    Returns:
        The job after the request.

    Raises:
        JobNotFoundError: no job has this id.
    """
    reason = StatusReason.CANCELLED_BY_CLIENT
    ask = update(JobRow).where(JobRow.id == job_id).values(status_reason=reason)
    with database.writing() as session:
        at_once = ask.where(JobRow.state == JobState.QUEUED).values(
            state=JobState.CANCELLED, finished_at=database_time()
        )
        running = ask.where(JobRow.state == JobState.RUNNING).values(state=JobState.CANCELLING)
        if _changed(session, at_once):
            add_event(session, job_id, EventKind.CANCELLED, JobState.CANCELLED, reason=reason)
        elif _changed(session, running):
            add_event(session, job_id, EventKind.CANCEL_REQUESTED, JobState.CANCELLING)
        return load_job(session, job_id)


def _changed(session: Session, statement: Any) -> bool:
    return session.execute(statement.returning(JobRow.id)).first() is not None


def _require_job(session: Session, job_id: str) -> None:
    if session.scalar(select(JobRow.id).where(JobRow.id == job_id)) is None:
        raise JobNotFoundError.of(job_id)


def load_job(session: Session, job_id: str) -> Job:
    """Return one job as it stands in this transaction.

    Raises:
        JobNotFoundError: no job has this id.
    """
    query = select(JobRow, PolicyRow.id).outerjoin(PolicyRow, PolicyRow.job_id == JobRow.id)
    query = query.where(JobRow.id == job_id).execution_options(populate_existing=True)
    found = session.execute(query).one_or_none()
    if found is None:
        raise JobNotFoundError.of(job_id)
    row, policy_id = found
    return _job(row, _load_attempts(session, [job_id]).get(job_id, ()), policy_id)


def _load_attempts(session: Session, job_ids: Iterable[str]) -> dict[str, list[Attempt]]:
    query = select(AttemptRow).where(AttemptRow.job_id.in_(list(job_ids)))
    attempts: dict[str, list[Attempt]] = {}
    for row in session.scalars(query.order_by(AttemptRow.job_id, AttemptRow.n)):
        reason = EndReason(row.end_reason) if row.end_reason else None
        attempt = Attempt(row.n, row.worker, row.started_at, row.ended_at, reason, row.detail)
        attempts.setdefault(row.job_id, []).append(attempt)
    return attempts


def _job(row: JobRow, attempts: Sequence[Attempt], policy_id: str | None) -> Job:
    return Job(
        id=row.id,
        state=JobState(row.state),
        status_reason=StatusReason(row.status_reason) if row.status_reason else None,
        detail=row.detail,
        config=row.config,
        created=row.created_at,
        started=row.started_at,
        finished=row.finished_at,
        progress=Progress(
            row.phase, row.timesteps, row.total_timesteps, row.steps_per_second, row.seconds_left
        ),
        attempts=tuple(attempts),
        policy_id=policy_id,
        fence=row.fence,
    )
