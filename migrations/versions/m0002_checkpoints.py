"""Keep the latest checkpoint of each job, and forgive attempts when a job is resumed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "m0002"
down_revision = "m0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "checkpoints",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_checkpoints_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_checkpoints"),
    )
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(
            sa.Column("forgiven", sa.Integer(), nullable=False, server_default=sa.text("0"))
        )


def downgrade() -> None:
    """Undo the step."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("forgiven")
    op.drop_table("checkpoints")
