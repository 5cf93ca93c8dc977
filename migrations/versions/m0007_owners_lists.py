"""Let one owner's list of jobs in one state cost the same however many other jobs they have."""

from __future__ import annotations

from alembic import op

revision = "m0007"
down_revision = "m0006"
branch_labels = None
depends_on = None

NAME, COLUMNS = "ix_jobs_owner_state_created_at_id", ["owner", "state", "created_at", "id"]


def upgrade() -> None:
    """Apply the step."""
    op.create_index(NAME, "jobs", COLUMNS)


def downgrade() -> None:
    """Undo the step."""
    op.drop_index(NAME, "jobs")
