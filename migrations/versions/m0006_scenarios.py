"""Add stored scenarios, by owner, name and version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "m0006"
down_revision = "m0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "scenarios",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("num_bytes", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scenarios"),
        sa.UniqueConstraint("owner", "name", "version", name="uq_scenarios_owner_name_version"),
    )
    op.create_index("ix_scenarios_created_at_id", "scenarios", ["created_at", "id"])
    columns = ["owner", "created_at", "id"]
    op.create_index("ix_scenarios_owner_created_at_id", "scenarios", columns)


def downgrade() -> None:
    """Undo the step."""
    op.drop_table("scenarios")
