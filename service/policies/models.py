"""The table of trained policies: the model's bytes, their digest, what they are, how they did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, UtcDateTime
from service.jobs.models import ID_LENGTH, OWNER_LENGTH


class PolicyRow(Base):
    """A trained policy; the digest is kept apart from the bytes, so that alteration shows.

    ``owner`` repeats the job's, so that an owner's list runs along one index.
    """

    __tablename__ = "policies"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    job_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("jobs.id", ondelete="CASCADE"), unique=True
    )
    owner: Mapped[str | None] = mapped_column(String(OWNER_LENGTH))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sha256: Mapped[str] = mapped_column(String(64))
    num_bytes: Mapped[int]
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    model: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


Index("ix_policies_created_at_id", PolicyRow.created_at, PolicyRow.id)
Index("ix_policies_owner_created_at_id", PolicyRow.owner, PolicyRow.created_at, PolicyRow.id)
