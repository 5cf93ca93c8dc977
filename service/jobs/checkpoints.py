"""The latest checkpoint of each job's training: one row, replaced under the fence."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from sqlalchemy import ScalarSelect, delete, func, select
from sqlalchemy.orm import Session

from service.database import Database, database_time
from service.jobs.models import CheckpointRow


class StoredCheckpoint(NamedTuple):
    """A training's state after an iteration, as the library wrote it."""

    iteration: int
    data: bytes


def replace_checkpoint(
    session: Session, job_id: str, fence: int, checkpoint: StoredCheckpoint
) -> None:
    """Store a checkpoint in place of the job's last one; the transaction has checked the fence."""
    drop_checkpoint(session, job_id)
    session.add(
        CheckpointRow(
            job_id=job_id,
            fence=fence,
            iteration=checkpoint.iteration,
            written_at=database_time(),
            sha256=hashlib.sha256(checkpoint.data).hexdigest(),
            state=checkpoint.data,
        )
    )


def drop_checkpoint(session: Session, job_id: str) -> None:
    """Delete a job's checkpoint, if there is one."""
    session.execute(delete(CheckpointRow).where(CheckpointRow.job_id == job_id))


def checkpoint_iteration(job_id: str) -> ScalarSelect[int]:
    """Return the SQL expression for the iteration of a job's checkpoint, 0 without one."""
    latest = select(func.max(CheckpointRow.iteration)).where(CheckpointRow.job_id == job_id)
    return select(func.coalesce(latest.scalar_subquery(), 0)).scalar_subquery()


def load_stored(database: Database, job_id: str) -> StoredCheckpoint | None:
    """Return a job's latest checkpoint; None where it has none, or one that is not as written."""
    query = select(CheckpointRow).where(CheckpointRow.job_id == job_id)
    with database.reading() as session:
        row = session.scalars(query).one_or_none()
    if row is None or hashlib.sha256(row.state).hexdigest() != row.sha256:
        return None
    return StoredCheckpoint(row.iteration, row.state)
