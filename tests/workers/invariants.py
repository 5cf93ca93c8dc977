"""What must hold of every job, whatever was killed: checked from the records alone."""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy import func, select

from grpo.config import TrainConfig
from grpo.models.serialization import digest_bytes, load_policy
from grpo.training.job import count_iterations
from service.database import Database
from service.jobs.models import AttemptRow, CheckpointRow, MetricRow
from service.jobs.records import Event, Job
from service.jobs.repository import get_job, list_events
from service.jobs.states import TRANSITIONS, EndReason, EventKind, JobState
from service.policies.models import PolicyRow

CANCEL_SECONDS = 10.0
LAST_ENDS = {
    JobState.SUCCEEDED: {EndReason.SUCCEEDED},
    JobState.FAILED: {EndReason.FAILED, EndReason.PROCESS_DIED, EndReason.WORKER_LOST},
    JobState.CANCELLED: {
        EndReason.CANCELLED,
        EndReason.PROCESS_DIED,
        EndReason.WORKER_LOST,
        EndReason.WORKER_STOPPED,
    },
}
"""How the last attempt of a job may have ended; a queued job is cancelled whatever came before."""


def check_over(database: Database, job_id: str) -> Job:
    """Check everything about a job that must be over, and return it."""
    job = get_job(database, job_id)
    assert job.state.is_terminal, f"{job.state}: {job.detail}"
    check_sound(database, job_id)
    assert job.finished is not None
    assert (job.status_reason is None) == (job.state is JobState.SUCCEEDED)
    if job.attempts:
        assert job.attempts[-1].end_reason in LAST_ENDS[job.state]
    if job.state is JobState.SUCCEEDED:
        check_complete(database, job)
    return job


def check_sound(database: Database, job_id: str) -> None:
    """Check what must hold of a job at every moment."""
    job = get_job(database, job_id)
    events = list_events(database, job_id)
    check_events(events)
    assert events[-1].state is job.state
    check_attempts(database, job, events)
    check_metrics(database, job)
    check_policy(database, job)


def check_events(events: tuple[Event, ...]) -> None:
    """Numbered without gaps, from submission on, by legal transitions; cancels are prompt."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[0].kind is EventKind.SUBMITTED
    for before, after in pairwise(events):
        assert after.state in TRANSITIONS[before.state], f"{before.state} -> {after.state}"
        assert after.at >= before.at
        if before.kind is EventKind.CANCEL_REQUESTED:
            assert (after.at - before.at).total_seconds() < CANCEL_SECONDS


def check_attempts(database: Database, job: Job, events: tuple[Event, ...]) -> None:
    """One writer per fence: each attempt has its own, in order; one start event for each."""
    with database.reading() as session:
        query = select(AttemptRow).where(AttemptRow.job_id == job.id).order_by(AttemptRow.n)
        rows = session.scalars(query).all()
    assert [row.n for row in rows] == list(range(1, len(rows) + 1))
    assert [row.fence for row in rows] == list(range(1, len(rows) + 1))
    starts = [event.data["worker"] for event in events if event.kind is EventKind.STARTED]
    assert starts == [row.worker for row in rows]
    ended = [row.ended_at is not None and row.end_reason is not None for row in rows]
    assert ended == [True] * (len(rows) - job.state.is_active) + [False] * job.state.is_active


def check_metrics(database: Database, job: Job) -> None:
    """From the first iteration without gaps or doubles, steps increasing, fences never falling."""
    with database.reading() as session:
        query = select(MetricRow).where(MetricRow.job_id == job.id).order_by(MetricRow.iteration)
        rows = session.scalars(query).all()
    assert [row.iteration for row in rows] == list(range(1, len(rows) + 1))
    assert all(a.timesteps < b.timesteps for a, b in pairwise(rows))
    assert all(a.fence <= b.fence for a, b in pairwise(rows))
    assert all(1 <= row.fence <= job.fence for row in rows)


def count_resumed(database: Database, job_ids: list[str]) -> int:
    """Count the jobs whose series was measured by more than one attempt."""
    query = select(func.count(func.distinct(MetricRow.fence))).group_by(MetricRow.job_id)
    with database.reading() as session:
        return sum(n > 1 for n in session.scalars(query.where(MetricRow.job_id.in_(job_ids))))


def check_policy(database: Database, job: Job) -> None:
    """One whole policy for a job that succeeded, none for any other."""
    query = select(PolicyRow.model, PolicyRow.sha256, PolicyRow.manifest)
    with database.reading() as session:
        rows = session.execute(query.where(PolicyRow.job_id == job.id)).all()
    assert len(rows) == (job.state is JobState.SUCCEEDED)
    for row in rows:
        assert digest_bytes(row.model) == row.sha256
        stored = load_policy(row.model, row.sha256)
        assert stored.manifest.model_dump(mode="json") == row.manifest


def check_complete(database: Database, job: Job) -> None:
    """Every iteration of the budget has its metrics; nothing is left to resume."""
    with database.reading() as session:
        metrics = session.scalars(select(MetricRow.iteration).where(MetricRow.job_id == job.id))
        config = TrainConfig.parse(job.config)
        if config.budget.max_seconds is None:
            assert len(metrics.all()) == count_iterations(config)
        checkpoint = select(CheckpointRow.job_id).where(CheckpointRow.job_id == job.id)
        assert session.scalar(checkpoint) is None
