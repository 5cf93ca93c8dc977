"""Who may run a job: claiming under a lease, renewing it, giving it back, taking it over.

A claim is a compare-and-set on the row. It carries a fence number that goes with every later
write, so that a worker which lost its lease cannot write any more. Leases run on the database's
clock.
"""

from __future__ import annotations

from sqlalchemy import delete, func, select, update

from service.database import Database, database_time
from service.jobs.checkpoints import checkpoint_iteration
from service.jobs.endings import clean_detail, fenced, give_back, held, write_held
from service.jobs.models import IS_ACTIVE, IS_QUEUED, AttemptRow, JobRow, MetricRow
from service.jobs.records import Claim
from service.jobs.repository import add_event
from service.jobs.states import EndReason, EventKind, JobState, Phase


def claim(database: Database, job_id: str, worker: str, lease_seconds: float) -> Claim | None:
    """Claim a queued job for ``worker``: exactly one of many callers gets it.

    The attempt goes on from the job's checkpoint, or starts from the beginning without one, so
    later metrics of earlier attempts go in the same transaction: the series stays strictly
    increasing without gaps.

    Args:
        database: the records.
        job_id: the job that a bell announced; it may be unknown, running or over.
        worker: name of the claiming process.
        lease_seconds: how long the claim holds without renewal.

    Returns:
        The claim, or None where the job is not waiting.
    """
    statement = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            status_reason=None,
            detail="",
            fence=JobRow.fence + 1,
            attempt=JobRow.attempt + 1,
            lease_owner=worker,
            lease_until=database_time(lease_seconds),
            started_at=func.coalesce(JobRow.started_at, database_time()),
            phase=Phase.STARTING,
            timesteps=0,
            steps_per_second=None,
            seconds_left=None,
        )
        .returning(JobRow.fence, JobRow.attempt, JobRow.config)
    )
    with database.writing() as session:
        row = session.execute(statement).one_or_none()
        if row is None:
            return None
        started = database_time()
        session.add(
            AttemptRow(
                job_id=job_id, n=row.attempt, fence=row.fence, worker=worker, started_at=started
            )
        )
        later = MetricRow.iteration > checkpoint_iteration(job_id)
        session.execute(delete(MetricRow).where(MetricRow.job_id == job_id, later))
        data = {"attempt": row.attempt, "worker": worker}
        add_event(session, job_id, EventKind.STARTED, JobState.RUNNING, **data)
        return Claim(job_id, row.fence, row.attempt, row.config)


def get_claimed(database: Database, job_id: str, fence: int) -> Claim:
    """Return the claim that holds under ``fence``.

    Raises:
        FencedError: the job is no longer run under it.
    """
    query = select(JobRow.attempt, JobRow.config).where(*held(job_id, fence))
    with database.reading() as session:
        row = session.execute(query).one_or_none()
    if row is None:
        raise fenced(job_id, fence)
    return Claim(job_id, fence, row.attempt, row.config)


def renew_lease(database: Database, job_id: str, fence: int, lease_seconds: float) -> bool:
    """Extend the lease by ``lease_seconds`` from now, and return whether to cancel.

    Raises:
        FencedError: the lease was taken over, or the job is over.
    """
    statement = update(JobRow).values(lease_until=database_time(lease_seconds))
    with database.writing() as session:
        return write_held(session, job_id, fence, statement) is JobState.CANCELLING


def release(
    database: Database,
    job_id: str,
    fence: int,
    reason: EndReason,
    detail: str = "",
    *,
    max_attempts: int,
) -> JobState:
    """End an attempt without a result: back to the queue, or over where attempts are used up.

    A cancelling job becomes cancelled. An orderly stop of the worker counts no attempt.

    Args:
        database: the records.
        job_id: the job.
        fence: of the claim.
        reason: ``worker_stopped``, ``worker_lost`` or ``process_died``.
        detail: in words, for the attempt and for the failure.
        max_attempts: how many attempts may be lost before the job fails.

    Returns:
        The state it stands in now: queued, cancelled or failed.

    Raises:
        FencedError: the lease was taken over, or the job is over.
    """
    with database.writing() as session:
        state = session.scalar(select(JobRow.state).where(*held(job_id, fence)).with_for_update())
        if state is None:
            raise fenced(job_id, fence)
        return give_back(
            session,
            job_id,
            fence,
            JobState(state),
            reason=reason,
            detail=clean_detail(detail),
            max_attempts=max_attempts,
        )


def recover_expired(database: Database, max_attempts: int, limit: int = 100) -> dict[str, JobState]:
    """Take back the jobs whose lease ran out; their workers are gone or fenced from now on.

    Returns:
        The new state of each job taken back: queued, cancelled (it was cancelling), or failed
        (``worker_lost``, attempts used up).
    """
    expired = (IS_ACTIVE, JobRow.lease_until < database_time())
    with database.reading() as session:
        if session.scalar(select(JobRow.id).where(*expired).limit(1)) is None:
            return {}
    query = select(JobRow.id, JobRow.fence, JobRow.state, JobRow.lease_owner).where(*expired)
    query = query.order_by(JobRow.lease_until).limit(limit).with_for_update(skip_locked=True)
    recovered = {}
    with database.writing() as session:
        for job_id, fence, state, owner in session.execute(query).all():
            recovered[job_id] = give_back(
                session,
                job_id,
                fence,
                JobState(state),
                reason=EndReason.WORKER_LOST,
                detail=f"worker {owner} did not renew its lease",
                max_attempts=max_attempts,
            )
    return recovered


def take_unrung(database: Database, older_than_seconds: float, limit: int) -> list[str]:
    """Return queued jobs whose bell rang longest ago, and mark them as rung now.

    Args:
        database: the records.
        older_than_seconds: a bell younger than this may still be under way.
        limit: at most so many.
    """
    waiting = (
        IS_QUEUED,
        JobRow.rung_at < database_time(-older_than_seconds),
    )
    with database.reading() as session:
        if session.scalar(select(JobRow.id).where(*waiting).limit(1)) is None:
            return []
    oldest = select(JobRow.id).where(*waiting).order_by(JobRow.rung_at, JobRow.id).limit(limit)
    statement = update(JobRow).where(JobRow.state == JobState.QUEUED)
    statement = statement.values(rung_at=database_time())
    with database.writing() as session:
        ids = list(session.scalars(oldest.with_for_update(skip_locked=True)))
        session.execute(statement.where(JobRow.id.in_(ids)))
    return ids
