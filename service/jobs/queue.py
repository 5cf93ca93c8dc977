"""The bell: how a queued job is announced. It may be lost or ring twice; the row is the truth."""

from __future__ import annotations

from typing import Protocol


class QueueUnavailableError(Exception):
    """The bell could not be rung; the job stays queued and the workers' sweep rings again."""


class JobQueue(Protocol):
    """Something that can tell a worker that a job is waiting."""

    def ring(self, job_id: str) -> None:
        """Announce a queued job, within a few seconds whatever the broker's condition.

        Raises:
            QueueUnavailableError: the broker did not take the message.
        """
        ...
