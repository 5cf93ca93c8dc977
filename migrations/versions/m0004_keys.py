"""Add API keys, and who owns a job and its policy."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "m0004"
down_revision = "m0003"
branch_labels = None
depends_on = None

UNFINISHED = sa.text("state IN ('queued', 'running', 'cancelling')")
OWNED = ("jobs", "policies")


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        _time("created_at", nullable=False),
        _time("expires_at"),
        _time("revoked_at"),
        _time("last_used_at"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_owner", "api_keys", ["owner"])
    for table in OWNED:
        op.add_column(table, sa.Column("owner", sa.String(64), nullable=True))
        columns = ["owner", "created_at", "id"]
        op.create_index(f"ix_{table}_owner_created_at_id", table, columns)
    op.create_index(
        "ix_jobs_unfinished",
        "jobs",
        ["owner"],
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    )


def downgrade() -> None:
    """Undo the step."""
    op.drop_index("ix_jobs_unfinished", "jobs")
    for table in OWNED:
        op.drop_index(f"ix_{table}_owner_created_at_id", table)
        op.drop_column(table, "owner")
    op.drop_table("api_keys")
