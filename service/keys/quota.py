"""How much one owner may have under way, counted in the transaction that adds to it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import TooManyJobsError
from service.jobs.models import IS_UNFINISHED, JobRow
from service.keys.models import ApiKeyRow


@dataclass(frozen=True)
class Account:
    """On whose account a job is queued.

    Attributes:
        owner: who; None for nobody, who is not limited.
        max_unfinished: most jobs that they may have queued and running together.
    """

    owner: str | None = None
    max_unfinished: int = 0


NOBODY = Account()


def require_room(session: Session, account: Account) -> None:
    """Refuse another job for an owner who has enough queued and running.

    The rows of the owner's keys are locked, so that requests at the same moment count one after
    the other.

    Args:
        session: a writing transaction, the one that queues the job.
        account: whose job it will be.

    Raises:
        TooManyJobsError: there is no room.
    """
    if account.owner is None:
        return
    rows = select(ApiKeyRow.id).where(ApiKeyRow.owner == account.owner).order_by(ApiKeyRow.id)
    session.execute(rows.with_for_update()).all()
    count = select(func.count()).select_from(JobRow).where(JobRow.owner == account.owner)
    found = session.execute(count.where(IS_UNFINISHED)).scalar_one()
    if found >= account.max_unfinished:
        raise TooManyJobsError.of(found, account.max_unfinished)
