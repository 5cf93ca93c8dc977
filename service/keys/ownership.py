"""Which records a caller sees: the one place where queries are narrowed to an owner.

What somebody else owns does not exist for a caller: the same error as for an id that nobody has.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, select, true

from service.database import Database
from service.errors import JobNotFoundError, PolicyNotFoundError
from service.jobs.models import JobRow
from service.keys.records import Caller
from service.policies.models import PolicyRow


def narrow(caller: Caller, table: type[JobRow | PolicyRow]) -> ColumnElement[bool]:
    """Return the condition that a list of jobs or policies must carry for this caller."""
    return true() if caller.is_admin else table.owner == caller.owner


def require_job(database: Database, job_id: str, caller: Caller) -> None:
    """Raise JobNotFoundError unless there is such a job and the caller sees it."""
    query = select(JobRow.id).where(JobRow.id == job_id, narrow(caller, JobRow))
    with database.reading() as session:
        if session.scalar(query) is None:
            raise JobNotFoundError.of(job_id)


def require_policy(database: Database, any_id: str, caller: Caller) -> None:
    """Raise PolicyNotFoundError unless there is such a policy (or job's) that the caller sees."""
    named = or_(PolicyRow.id == any_id, PolicyRow.job_id == any_id)
    query = select(PolicyRow.id).where(named, narrow(caller, PolicyRow))
    with database.reading() as session:
        if session.scalar(query) is None:
            raise PolicyNotFoundError.of(any_id)
