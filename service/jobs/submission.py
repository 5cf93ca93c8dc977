"""Submitting a training job: the row first, committed; then the bell."""

from __future__ import annotations

from grpo.config import TrainConfig
from service.database import Database
from service.jobs.queue import JobQueue, QueueUnavailableError
from service.jobs.records import Job
from service.jobs.repository import get_job, insert_job
from service.observability import get_logger


def submit_training_job(database: Database, queue: JobQueue, config: TrainConfig) -> Job:
    """Record a training job as queued, commit, then announce it.

    A broker that cannot be reached does not lose the job: the row is there, and the workers ring
    again for what stays queued.

    Args:
        database: the records.
        queue: the bell.
        config: what to train; checked by the caller against the registry.

    Returns:
        The job, queued.
    """
    with database.writing() as session:
        job_id = insert_job(session, config.model_dump(mode="json"), config.budget.total_timesteps)
    ring(queue, job_id)
    return get_job(database, job_id)


def ring(queue: JobQueue, job_id: str) -> bool:
    """Announce a queued job; log it where the broker does not take it, and return False."""
    try:
        queue.ring(job_id)
    except QueueUnavailableError as error:
        get_logger().warning("bell_not_rung", job_id=job_id, error=str(error))
        return False
    return True
