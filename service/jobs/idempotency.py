"""Submissions that carry an Idempotency-Key: done once, answered alike when they are repeated.

The key is inserted in the job's own transaction: there is never one without the other. Of two
submissions at once the later waits for the key's row and finds the earlier one's answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grpo.config import TrainConfig
from service.database import Database, database_time
from service.errors import IdempotencyKeyReusedError
from service.jobs.side_models import IdempotencyKeyRow

KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Key:
    """What a client gave to tell its submissions apart.

    Attributes:
        owner: whose keys these are, so that those of two clients never meet; may be empty.
        text: the key itself, 1 to 255 characters.
        digest: SHA-256 of what was asked, 64 hexadecimal digits.
    """

    owner: str
    text: str
    digest: str

    @classmethod
    def of(cls, owner: str, text: str, config: TrainConfig) -> Key:
        """Build the key of a submission; bodies that mean the same job count as the same."""
        asked = f"POST /jobs {config.model_dump_json()}"
        return cls(owner, text, hashlib.sha256(asked.encode()).hexdigest())


@dataclass(frozen=True)
class Submitted:
    """How a submission was answered.

    Attributes:
        job_id: the job.
        answer: the body, the same to the byte for every repetition.
        replayed: whether this submission repeats an earlier one.
    """

    job_id: str
    answer: str
    replayed: bool


def submit_once(
    database: Database, key: Key, insert: Callable[[Session], tuple[str, str]]
) -> Submitted:
    """Run ``insert`` and keep its answer under the key, unless the key was used before.

    Args:
        database: the records.
        key: the key and what was asked under it. Answers are kept for 24 hours.
        insert: inserts the job in the given transaction; returns its id and the answer.

    Raises:
        IdempotencyKeyReusedError: the key was used for another body.
    """
    try:
        return _submit(database, key, insert)
    except IntegrityError:
        # Postgres: another submission with this key has just committed; its answer is there now.
        return _submit(database, key, insert)


def _submit(
    database: Database, key: Key, insert: Callable[[Session], tuple[str, str]]
) -> Submitted:
    row = IdempotencyKeyRow
    expired = row.created_at < database_time(-KEPT_SECONDS)
    with database.writing() as session:
        session.execute(delete(row).where(expired))
        found = session.scalar(select(row).where(row.owner == key.owner, row.key == key.text))
        if found is not None:
            if found.digest != key.digest:
                raise IdempotencyKeyReusedError.of(key.text)
            return Submitted(found.job_id, found.answer, replayed=True)
        kept = row(
            owner=key.owner,
            key=key.text,
            job_id="",
            digest=key.digest,
            answer="",
            created_at=database_time(),
        )
        session.add(kept)
        session.flush()  # waits here for another submission with this key
        kept.job_id, kept.answer = insert(session)
        return Submitted(kept.job_id, kept.answer, replayed=False)
