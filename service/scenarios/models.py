"""The table of stored scenarios: each row one version, never changed and never deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, UtcDateTime
from service.jobs.models import ID_LENGTH, OWNER_LENGTH

NAME_LENGTH = 64


class ScenarioRow(Base):
    """One version of a scenario; ``owner`` is empty for nobody's, so that names stay unique."""

    __tablename__ = "scenarios"
    __table_args__ = (UniqueConstraint("owner", "name", "version"),)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    owner: Mapped[str] = mapped_column(String(OWNER_LENGTH))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    num_bytes: Mapped[int]
    document: Mapped[dict[str, Any]] = mapped_column(JSON)


Index("ix_scenarios_created_at_id", ScenarioRow.created_at, ScenarioRow.id)
Index("ix_scenarios_owner_created_at_id", ScenarioRow.owner, ScenarioRow.created_at, ScenarioRow.id)
