"""The sweep: jobs whose bell was lost are rung again, jobs whose worker died are taken back."""

from __future__ import annotations

import threading

from sqlalchemy.exc import SQLAlchemyError

from service.jobs.leases import recover_expired, take_unrung
from service.jobs.states import JobState
from service.jobs.submission import ring
from service.observability import get_logger
from service.storage import StorageReserve
from workers.training import Supervisor


class Sweeper:
    """Sweeps every ``sweep_seconds`` in a thread of its own until the worker stops.

    Args:
        supervisor: its database, queue and settings are used; it says how many jobs it could take.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._reserve = StorageReserve(supervisor.settings)
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the last sweep is over; the supervisor must be stopping."""
        self._thread.join()

    def sweep(self) -> list[str]:
        """Sweep once and return the jobs that were rung; take the disk's reserve where it is gone.

        Jobs with an expired lease go back to the queue (or end, attempts used up) and are rung.
        Of the jobs that have waited for two sweeps since their last bell, at most as many are
        rung as this worker could start now: a full queue before busy workers is no lost bell.
        """
        self._reserve.take()
        settings, database = self._supervisor.settings, self._supervisor.database
        recovered = recover_expired(database, settings.max_attempts)
        for job_id, state in recovered.items():
            get_logger().warning("job_recovered", job_id=job_id, state=state)
        due = [job_id for job_id, state in recovered.items() if state is JobState.QUEUED]
        slots = self._supervisor.free_slots
        if slots > 0:
            due += take_unrung(database, 2 * settings.sweep_seconds, slots)
        rung = []
        for job_id in due:
            if not ring(self._supervisor.queue, job_id):
                break  # the broker is away; the next sweeps try again
            rung.append(job_id)
        return rung

    def _run(self) -> None:
        stopping, pause = self._supervisor.stopping, self._supervisor.settings.sweep_seconds
        while not stopping.wait(pause):
            try:
                self.sweep()
            except SQLAlchemyError as error:
                get_logger().warning("sweep_failed", error=str(error))
