"""Create jobs with their attempts, events and metrics, and policies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "m0001"
down_revision = None
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
ACTIVE = sa.text("state IN ('running', 'cancelling')")


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _job_id() -> sa.Column[str]:
    return sa.Column("job_id", sa.String(36), nullable=False)


def _belongs_to_job(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_job_id"
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=name, ondelete="CASCADE")


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("status_reason", sa.String(32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        _time("created_at"),
        _time("started_at", nullable=True),
        _time("finished_at", nullable=True),
        _time("rung_at", nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(255), nullable=True),
        _time("lease_until", nullable=True),
        sa.Column("phase", sa.String(32), nullable=True),
        sa.Column("timesteps", sa.Integer(), nullable=False),
        sa.Column("total_timesteps", sa.Integer(), nullable=False),
        sa.Column("steps_per_second", sa.Float(), nullable=True),
        sa.Column("seconds_left", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index(
        "ix_jobs_queued", "jobs", ["rung_at"], sqlite_where=QUEUED, postgresql_where=QUEUED
    )
    op.create_index(
        "ix_jobs_active", "jobs", ["lease_until"], sqlite_where=ACTIVE, postgresql_where=ACTIVE
    )


def _create_records_of_jobs() -> None:
    op.create_table(
        "attempts",
        _job_id(),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(255), nullable=False),
        _time("started_at"),
        _time("ended_at", nullable=True),
        sa.Column("end_reason", sa.String(32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        _belongs_to_job("attempts"),
        sa.PrimaryKeyConstraint("job_id", "n", name="pk_attempts"),
    )
    op.create_table(
        "events",
        _job_id(),
        sa.Column("sequence", sa.Integer(), nullable=False),
        _time("at"),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        _belongs_to_job("events"),
        sa.PrimaryKeyConstraint("job_id", "sequence", name="pk_events"),
    )
    op.create_table(
        "metrics",
        _job_id(),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("timesteps", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        _belongs_to_job("metrics"),
        sa.PrimaryKeyConstraint("job_id", "iteration", name="pk_metrics"),
    )


def _create_policies() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.String(36), nullable=False),
        _job_id(),
        _time("created_at"),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("num_bytes", sa.Integer(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("model", sa.LargeBinary(), nullable=False),
        _belongs_to_job("policies"),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
        sa.UniqueConstraint("job_id", name="uq_policies_job_id"),
    )
    op.create_index("ix_policies_created_at_id", "policies", ["created_at", "id"])


def upgrade() -> None:
    """Apply the step."""
    _create_jobs()
    _create_records_of_jobs()
    _create_policies()


def downgrade() -> None:
    """Undo the step."""
    for table in ("policies", "metrics", "events", "attempts", "jobs"):
        op.drop_table(table)
