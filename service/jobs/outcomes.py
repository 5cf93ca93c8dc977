"""What a training process writes about its job, always under its fence.

Each function is one transaction and raises FencedError where the claim no longer holds: then the
process must stop, for another one may be running the same job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select, update

from service.database import Database, database_time
from service.jobs.checkpoints import StoredCheckpoint, drop_checkpoint, replace_checkpoint
from service.jobs.endings import clean_detail, end_attempt, end_job, write_held
from service.jobs.models import JobRow, MetricRow
from service.jobs.records import Metric, Progress
from service.jobs.repository import new_id
from service.jobs.states import EndReason, JobState, Phase, StatusReason
from service.policies.models import PolicyRow


def record_metrics(
    database: Database,
    job_id: str,
    fence: int,
    metrics: Sequence[Metric],
    progress: Progress,
    checkpoint: StoredCheckpoint | None = None,
) -> bool:
    """Append metrics and write the progress in one transaction; return whether to cancel.

    Args:
        database: the records.
        job_id: the job.
        fence: of the claim.
        metrics: of consecutive iterations that follow those already written. Repeating a write
            whose outcome stayed unknown (the connection broke) is harmless.
        progress: the latest.
        checkpoint: replaces the job's last one; the metrics reach up to its iteration.

    Raises:
        FencedError: the claim no longer holds.
        ValueError: a metric is NaN or infinite.
    """
    statement = update(JobRow).values(
        phase=progress.phase,
        timesteps=progress.timesteps,
        total_timesteps=progress.total_timesteps,
        steps_per_second=progress.steps_per_second,
        seconds_left=progress.seconds_left,
    )
    with database.writing() as session:
        state = write_held(session, job_id, fence, statement)
        if metrics:
            again = (MetricRow.job_id == job_id, MetricRow.iteration >= metrics[0].iteration)
            session.execute(delete(MetricRow).where(*again))
        session.add_all(
            MetricRow(
                job_id=job_id,
                iteration=metric.iteration,
                fence=fence,
                timesteps=metric.timesteps,
                seconds=metric.seconds,
                values=metric.values,
            )
            for metric in metrics
        )
        if checkpoint is not None:
            replace_checkpoint(session, job_id, fence, checkpoint)
    return state is JobState.CANCELLING


def succeed(
    database: Database,
    job_id: str,
    fence: int,
    *,
    model: bytes,
    sha256: str,
    manifest: dict[str, Any],
    report: dict[str, Any] | None,
) -> str:
    """Store the policy and end the job as succeeded, in one transaction.

    Returns:
        The policy's id.

    Raises:
        FencedError: the claim no longer holds; nothing is stored.
    """
    policy_id = new_id()
    with database.writing() as session:
        end_job(session, job_id, fence, EndReason.SUCCEEDED, phase=Phase.FINISHED)
        end_attempt(session, job_id, fence, EndReason.SUCCEEDED, "")
        drop_checkpoint(session, job_id)
        session.add(
            PolicyRow(
                id=policy_id,
                job_id=job_id,
                owner=select(JobRow.owner).where(JobRow.id == job_id).scalar_subquery(),
                created_at=database_time(),
                sha256=sha256,
                num_bytes=len(model),
                manifest=manifest,
                report=report,
                model=model,
            )
        )
    return policy_id


def fail(database: Database, job_id: str, fence: int, reason: StatusReason, detail: str) -> None:
    """End the job as failed, with the reason and the error in words.

    Raises:
        FencedError: the claim no longer holds.
    """
    detail = clean_detail(detail)
    with database.writing() as session:
        end_job(session, job_id, fence, EndReason.FAILED, reason=reason, detail=detail)
        end_attempt(session, job_id, fence, EndReason.FAILED, detail)


def finish_cancelled(database: Database, job_id: str, fence: int) -> None:
    """End a job as cancelled, as its client asked.

    Raises:
        FencedError: the claim no longer holds.
    """
    reason = StatusReason.CANCELLED_BY_CLIENT
    with database.writing() as session:
        end_job(session, job_id, fence, EndReason.CANCELLED, reason=reason)
        end_attempt(session, job_id, fence, EndReason.CANCELLED, "")
