"""Submitting a training job: the row first, committed; then the bell."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from grpo.config import TrainConfig
from service.database import Database
from service.jobs.idempotency import Key, Submitted, submit_once
from service.jobs.queue import JobQueue, QueueUnavailableError
from service.jobs.records import Job
from service.jobs.repository import get_job, insert_job, load_job
from service.keys.quota import NOBODY, Account, require_room
from service.observability import get_logger


def submit_training_job(
    database: Database, queue: JobQueue, config: TrainConfig, account: Account = NOBODY
) -> Job:
    """Record a training job as queued, commit, then announce it.

    A broker that cannot be reached does not lose the job: the row is there, and the workers ring
    again for what stays queued.

    Args:
        database: the records.
        queue: the bell.
        config: what to train; checked by the caller against the registry.
        account: whose job it is, and how much they may have under way.

    Returns:
        The job, queued.

    Raises:
        TooManyJobsError: the account has no room for another job.
    """
    with database.writing() as session:
        job_id = _insert(session, config, account)
    ring(queue, job_id)
    return get_job(database, job_id)


def submit_training_job_once(
    database: Database,
    queue: JobQueue,
    config: TrainConfig,
    key: Key,
    render: Callable[[Job], str],
    account: Account = NOBODY,
) -> Submitted:
    """Record a training job under a client's key, or return what the key was answered before.

    Args:
        database: the records.
        queue: the bell; a repetition does not ring it.
        config: what to train; checked by the caller against the registry.
        key: the client's key.
        render: makes the answer that is kept; called inside the transaction.
        account: whose job it is, and how much they may have under way.

    Raises:
        TooManyJobsError: the account has no room for another job; a repetition needs none.
        IdempotencyKeyReusedError: the key was used for another body.
    """

    def insert(session: Session) -> tuple[str, str]:
        job_id = _insert(session, config, account)
        return job_id, render(load_job(session, job_id))

    submitted = submit_once(database, key, insert)
    if not submitted.replayed:
        ring(queue, submitted.job_id)
    return submitted


def _insert(session: Session, config: TrainConfig, account: Account) -> str:
    require_room(session, account)
    plain = config.model_dump(mode="json")
    return insert_job(session, plain, config.budget.total_timesteps, account.owner)


def ring(queue: JobQueue, job_id: str) -> bool:
    """Announce a queued job; log it where the broker does not take it, and return False."""
    try:
        queue.ring(job_id)
    except QueueUnavailableError as error:
        get_logger().warning("bell_not_rung", job_id=job_id, error=str(error))
        return False
    return True
