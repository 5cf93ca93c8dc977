"""The tables beside a job's own: what a training printed, and what a submission was answered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, UtcDateTime
from service.jobs.models import ID_LENGTH

OWNER_LENGTH = 64
KEY_LENGTH = 255


class IdempotencyKeyRow(Base):
    """A key that a client gave with a submission, and the answer to repeat for it.

    ``owner`` keeps the keys of one client apart from another's.
    """

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(String(OWNER_LENGTH), primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    job_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    digest: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


Index("ix_idempotency_keys_created_at", IdempotencyKeyRow.created_at)


class TrainingLogRow(Base):
    """The last output of one attempt; ``dropped_bytes`` counts what came before it."""

    __tablename__ = "training_logs"

    job_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(Text)
    dropped_bytes: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
