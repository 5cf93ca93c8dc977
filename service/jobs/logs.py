"""What trainings print, kept in the records: the last output of each of the last attempts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.database import Database, database_time
from service.errors import JobNotFoundError
from service.jobs.models import AttemptRow, JobRow
from service.jobs.side_models import TrainingLogRow

KEPT_ATTEMPTS = 10


@dataclass(frozen=True)
class TrainingLog:
    """The output of one attempt.

    Attributes:
        attempt: number of the attempt, 1 for the first.
        text: the last output, at most as long as the worker keeps.
        dropped_bytes: how much came before it and is not kept.
        updated: when it was last written, UTC.
    """

    attempt: int
    text: str
    dropped_bytes: int
    updated: datetime


def record_log(database: Database, job_id: str, fence: int, text: str, dropped_bytes: int) -> bool:
    """Replace the log of the attempt under ``fence``, also after the job's end.

    Returns:
        Whether it was written: not where another attempt has begun, or the job is unknown.
    """
    number = select(AttemptRow.n).join(JobRow, JobRow.id == AttemptRow.job_id)
    number = number.where(
        AttemptRow.job_id == job_id, AttemptRow.fence == fence, JobRow.fence == fence
    )
    with database.writing() as session:
        attempt = session.scalar(number)
        if attempt is None:
            return False
        _write(session, job_id, attempt, _storable(text), dropped_bytes)
    return True


def list_logs(database: Database, job_id: str) -> tuple[TrainingLog, ...]:
    """Return the logs of a job's last attempts, oldest first.

    Raises:
        JobNotFoundError: no job has this id.
    """
    query = select(TrainingLogRow).where(TrainingLogRow.job_id == job_id)
    with database.reading() as session:
        if session.scalar(select(JobRow.id).where(JobRow.id == job_id)) is None:
            raise JobNotFoundError.of(job_id)
        rows = session.scalars(query.order_by(TrainingLogRow.attempt)).all()
    return tuple(
        TrainingLog(row.attempt, row.text, row.dropped_bytes, row.updated_at) for row in rows
    )


def _write(session: Session, job_id: str, attempt: int, text: str, dropped_bytes: int) -> None:
    row = session.get(TrainingLogRow, (job_id, attempt))
    if row is None:
        row = TrainingLogRow(job_id=job_id, attempt=attempt)
        old = TrainingLogRow.attempt <= attempt - KEPT_ATTEMPTS
        session.execute(delete(TrainingLogRow).where(TrainingLogRow.job_id == job_id, old))
        session.add(row)
    row.text, row.dropped_bytes, row.updated_at = text, dropped_bytes, database_time()


def _storable(text: str) -> str:
    """Drop what a database cannot hold as text."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
