"""Reading trained policies. Bytes and digest come apart: whoever loads a model compares them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select, tuple_

from service.database import Database
from service.errors import PolicyNotFoundError
from service.jobs.records import Cursor
from service.keys.ownership import narrow
from service.keys.records import OPERATOR, Caller
from service.policies.models import PolicyRow

MAX_PAGE = 1000


@dataclass(frozen=True)
class PolicySummary:
    """What a trained policy is, without its model and its report.

    Attributes:
        id: a UUID of version 7.
        job_id: the job that trained it.
        created: UTC.
        sha256: digest of the model's bytes, 64 hexadecimal digits.
        num_bytes: size of the model.
        manifest: what the model is and how it was made, JSON.
        owner: whose it is, None for nobody's.
    """

    id: str
    job_id: str
    created: datetime
    sha256: str
    num_bytes: int
    manifest: dict[str, Any]
    owner: str | None


@dataclass(frozen=True)
class PolicyRecord(PolicySummary):
    """A trained policy with its fairness report (None where it was not judged)."""

    report: dict[str, Any] | None


@dataclass(frozen=True)
class PolicyPage:
    """Some policies, newest first, and where the next page starts (None at the end)."""

    policies: tuple[PolicySummary, ...]
    next: Cursor | None


_SUMMARY = (
    PolicyRow.id,
    PolicyRow.job_id,
    PolicyRow.created_at.label("created"),
    PolicyRow.sha256,
    PolicyRow.num_bytes,
    PolicyRow.manifest,
    PolicyRow.owner,
)


def get_policy(database: Database, policy_id: str) -> PolicyRecord:
    """Return one policy by its own id, or by the id of the job that trained it.

    Raises:
        PolicyNotFoundError: there is none.
    """
    row = _one(database, policy_id, *_SUMMARY, PolicyRow.report)
    return PolicyRecord(**row._asdict())


def get_policy_bytes(database: Database, policy_id: str) -> tuple[bytes, str]:
    """Return a model's bytes as stored, and the digest recorded when they were written.

    The two are not compared here: the reader must do that before using the model.

    Args:
        database: the records.
        policy_id: the policy's own id, or that of the job that trained it.

    Raises:
        PolicyNotFoundError: there is none.
    """
    row = _one(database, policy_id, PolicyRow.model, PolicyRow.sha256)
    return bytes(row.model), str(row.sha256)


def list_policies(
    database: Database,
    limit: int = 50,
    after: Cursor | None = None,
    caller: Caller = OPERATOR,
) -> PolicyPage:
    """Return policies newest first, ``after`` a position; new ones do not shift pages.

    Args:
        database: the records.
        limit: 1 to 1000.
        after: position given by the previous page, None for the newest.
        caller: only what they see.
    """
    limit = min(max(limit, 1), MAX_PAGE)
    query = select(*_SUMMARY).order_by(PolicyRow.created_at.desc(), PolicyRow.id.desc())
    query = query.where(narrow(caller, PolicyRow))
    if after is not None:
        query = query.where(tuple_(PolicyRow.created_at, PolicyRow.id) < tuple(after))
    with database.reading() as session:
        rows = session.execute(query.limit(limit + 1)).all()
    policies = tuple(PolicySummary(**row._asdict()) for row in rows[:limit])
    last = policies[-1] if len(rows) > limit else None
    return PolicyPage(policies, Cursor(last.created, last.id) if last else None)


def _one(database: Database, policy_id: str, *columns: Any) -> Row[Any]:
    query = select(*columns).where(or_(PolicyRow.id == policy_id, PolicyRow.job_id == policy_id))
    with database.reading() as session:
        row = session.execute(query).one_or_none()
    if row is None:
        raise PolicyNotFoundError.of(policy_id)
    return row
