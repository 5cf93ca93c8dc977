"""What a training prints, kept in the records while it runs and once more at its end."""

from __future__ import annotations

import time

from sqlalchemy.exc import SQLAlchemyError

from service.database import Database
from service.jobs.logs import record_log
from service.jobs.records import Claim
from service.observability import get_logger
from workers.process import TrainingProcess

WRITE_SECONDS = 1.0


class LogKeeper:
    """Writes the last output of one attempt whenever there is more of it.

    Args:
        database: the records.
        held: the claim of the attempt.
        process: what prints.
    """

    def __init__(self, database: Database, held: Claim, process: TrainingProcess) -> None:
        self._database = database
        self._held = held
        self._process = process
        self._written_bytes = 0
        self._tried = time.monotonic()

    def maybe_write(self) -> None:
        """Write if a second has passed since the last try and something was printed."""
        if time.monotonic() - self._tried >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write if something was printed; a database that does not take it is only logged."""
        self._tried = time.monotonic()
        printed = self._process.printed_bytes
        if printed == self._written_bytes:
            return
        job_id, fence = self._held.job_id, self._held.fence
        text, dropped = self._process.output, self._process.dropped_bytes
        try:
            record_log(self._database, job_id, fence, text, dropped)
        except SQLAlchemyError as error:
            get_logger().warning("log_not_written", error=str(error))
        else:
            self._written_bytes = printed
