"""Resuming a job that failed or was cancelled: back to the queue, on from its checkpoint."""

from __future__ import annotations

from sqlalchemy import update

from service.database import Database, database_time
from service.errors import JobNotResumableError
from service.jobs.models import JobRow
from service.jobs.queue import JobQueue
from service.jobs.records import Job
from service.jobs.repository import add_event, get_job, load_job
from service.jobs.states import RESUMABLE, EventKind, JobState
from service.jobs.submission import ring
from service.keys.quota import NOBODY, Account, require_room


def resume_job(database: Database, queue: JobQueue, job_id: str, account: Account = NOBODY) -> Job:
    """Queue a failed or cancelled job again, and announce it.

    Its next attempt goes on from its latest checkpoint, or from the beginning where it has none.
    Attempts so far are forgiven: the job may lose as many again.

    Args:
        database: the records.
        queue: the bell.
        job_id: the job.
        account: how much its owner may have under way.

    Returns:
        The job, queued.

    Raises:
        JobNotFoundError: no job has this id.
        JobNotResumableError: the job is under way, or has succeeded.
        TooManyJobsError: the account has no room for another job.
    """
    statement = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(RESUMABLE))
        .values(
            state=JobState.QUEUED,
            status_reason=None,
            detail="",
            finished_at=None,
            rung_at=database_time(),
            forgiven=JobRow.attempt,
            phase=None,
        )
        .returning(JobRow.attempt)
    )
    with database.writing() as session:
        require_room(session, account)
        attempt = session.execute(statement).scalar_one_or_none()
        if attempt is None:
            raise JobNotResumableError.of(job_id, load_job(session, job_id).state)
        add_event(session, job_id, EventKind.RESUMED, JobState.QUEUED, after_attempt=attempt)
    ring(queue, job_id)
    return get_job(database, job_id)
