"""The tables of jobs: the job, its attempts, events, metrics and latest checkpoint."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, UtcDateTime

ID_LENGTH = 36
WORD_LENGTH = 32
OWNER_LENGTH = 64


class JobRow(Base):
    """A job: the truth about it.

    ``rung_at`` says when its bell was last rung (the outbox). Attempts up to number ``forgiven``
    were made before the job was resumed and do not count.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    state: Mapped[str] = mapped_column(String(WORD_LENGTH))
    status_reason: Mapped[str | None] = mapped_column(String(WORD_LENGTH))
    detail: Mapped[str] = mapped_column(Text, default="")
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    owner: Mapped[str | None] = mapped_column(String(OWNER_LENGTH))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    rung_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fence: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    forgiven: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    phase: Mapped[str | None] = mapped_column(String(WORD_LENGTH))
    timesteps: Mapped[int] = mapped_column(default=0)
    total_timesteps: Mapped[int] = mapped_column(default=0)
    steps_per_second: Mapped[float | None] = mapped_column(Float)
    seconds_left: Mapped[float | None] = mapped_column(Float)


# Lists run along the indexes with a time: of all jobs or one owner's, in any state or one. The
# sweep looks at queued and at active jobs only: its indexes hold only those, and cost the same
# however many jobs are finished. Their conditions are literal, and the sweep asks in the same
# words: a database uses a partial index only then.
IS_QUEUED = text("jobs.state = 'queued'")
IS_ACTIVE = text("jobs.state IN ('running', 'cancelling')")
IS_UNFINISHED = text("jobs.state IN ('queued', 'running', 'cancelling')")
_QUEUED = text("state = 'queued'")
_ACTIVE = text("state IN ('running', 'cancelling')")
_UNFINISHED = text("state IN ('queued', 'running', 'cancelling')")
Index("ix_jobs_created_at_id", JobRow.created_at, JobRow.id)
Index("ix_jobs_state_created_at_id", JobRow.state, JobRow.created_at, JobRow.id)
_where: dict[str, Any] = {"sqlite_where": _QUEUED, "postgresql_where": _QUEUED}
Index("ix_jobs_queued", JobRow.state, JobRow.rung_at, **_where)
_where = {"sqlite_where": _ACTIVE, "postgresql_where": _ACTIVE}
Index("ix_jobs_active", JobRow.state, JobRow.lease_until, **_where)
Index("ix_jobs_owner_created_at_id", JobRow.owner, JobRow.created_at, JobRow.id)
_columns = (JobRow.owner, JobRow.state, JobRow.created_at, JobRow.id)
Index("ix_jobs_owner_state_created_at_id", *_columns)
Index("ix_jobs_unfinished", JobRow.owner, sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED)


class AttemptRow(Base):
    """One run of a job by one worker, under one fence."""

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fence: Mapped[int]
    worker: Mapped[str] = mapped_column(String(255))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_reason: Mapped[str | None] = mapped_column(String(WORD_LENGTH))
    detail: Mapped[str] = mapped_column(Text, default="")


class EventRow(Base):
    """One thing that happened to a job; the sequence counts within the job."""

    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(WORD_LENGTH))
    state: Mapped[str] = mapped_column(String(WORD_LENGTH))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class MetricRow(Base):
    """The metrics of one iteration, and the fence under which they were measured."""

    __tablename__ = "metrics"

    job_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    iteration: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fence: Mapped[int]
    timesteps: Mapped[int]
    seconds: Mapped[float] = mapped_column(Float)
    values: Mapped[dict[str, Any]] = mapped_column(JSON)


class CheckpointRow(Base):
    """The latest state of a job's training, from which another attempt goes on."""

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    fence: Mapped[int]
    iteration: Mapped[int]
    written_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[bytes] = mapped_column(LargeBinary)
