"""Put the state first in the sweep's indexes: SQLite would rather take the index of the lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "m0005"
down_revision = "m0004"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
ACTIVE = sa.text("state IN ('running', 'cancelling')")
INDEXES = (("ix_jobs_queued", "rung_at", QUEUED), ("ix_jobs_active", "lease_until", ACTIVE))


def _replace(*first: str) -> None:
    for name, column, condition in INDEXES:
        op.drop_index(name, "jobs")
        columns = [*first, column]
        op.create_index(name, "jobs", columns, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    """Apply the step."""
    _replace("state")


def downgrade() -> None:
    """Undo the step."""
    _replace()
