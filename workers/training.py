"""Supervising a training: claim the job, start its process, watch both, settle how it ended.

One thread per training does nothing but wait; the work happens in the child. Cancelling and
stopping reach the child as SIGTERM, after a grace period as SIGKILL of its group.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from service.broker import CeleryJobQueue
from service.database import Database
from service.errors import FencedError
from service.jobs.leases import claim, release, renew_lease
from service.jobs.outcomes import fail, finish_cancelled
from service.jobs.queue import JobQueue
from service.jobs.records import Claim, Job
from service.jobs.repository import get_job
from service.jobs.states import EndReason, JobState, StatusReason
from service.jobs.submission import ring
from service.observability import bind_context, get_logger
from service.settings import Settings
from workers.log_keeping import LogKeeper
from workers.process import (
    EXIT_STOPPED,
    TrainingProcess,
    describe_exit,
    training_command,
    training_environment,
)

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.1


class Supervisor:
    """Runs trainings for one worker process, one per thread that calls ``train``.

    Args:
        settings: leases, heartbeats, attempts.
        database: the records; made from the settings if not given.
        queue: the bell; made from the settings if not given.
        command: the command line of a training process, by job id and fence.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database | None = None,
        queue: JobQueue | None = None,
        command: Callable[[str, int], list[str]] = training_command,
    ) -> None:
        self.settings = settings
        self.database = database if database is not None else Database(settings)
        self.queue = queue if queue is not None else CeleryJobQueue(settings)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.stopping = threading.Event()
        self.hurrying = threading.Event()
        self._command = command
        self._running = 0
        self._lock = threading.Lock()

    @property
    def free_slots(self) -> int:
        """How many more trainings this process would take."""
        return 0 if self.stopping.is_set() else self.settings.worker_concurrency - self._running

    def train(self, job_id: str) -> JobState | None:
        """Run one job to its end, if it is waiting.

        Returns:
            Its state afterwards, or None where it was not ours to run (unknown, run by another,
            over, or this worker is stopping), or where the database went away: then the sweep, or
            the end of the lease, brings the job back.
        """
        if self.stopping.is_set():
            return None
        with self._lock:
            self._running += 1
        try:
            held = claim(self.database, job_id, self.name, self.settings.lease_seconds)
            if held is None:
                return None
            with bind_context(job_id=job_id, attempt=held.attempt):
                return self._run(held)
        except SQLAlchemyError as error:
            get_logger().warning("training_left_to_its_lease", job_id=job_id, error=str(error))
            return None
        finally:
            with self._lock:
                self._running -= 1

    def _run(self, held: Claim) -> JobState:
        log = get_logger()
        log.info("training_started", worker=self.name)
        environment = training_environment(self.settings)
        with TrainingProcess(self._command(held.job_id, held.fence), environment) as process:
            keeper = LogKeeper(self.database, held, process)
            code = self._watch(held, process, keeper)
            keeper.write()
            tail = process.tail
        with suppress(FencedError):  # another worker owns the job by now: nothing to settle
            self._settle(held, code, tail)
        state = get_job(self.database, held.job_id).state
        log.info("training_ended", state=state, exit_code=code)
        if state is JobState.QUEUED:
            ring(self.queue, held.job_id)
        return state

    def _watch(self, held: Claim, process: TrainingProcess, keeper: LogKeeper) -> int:
        """Wait for the child's end; renew the lease, pass on cancelling and stopping."""
        beat = Heartbeat(self.database, held, self.settings)
        kill_at = None
        while (code := process.wait(POLL_SECONDS)) is None:
            beat.maybe_renew()
            keeper.maybe_write()
            if beat.lost or (kill_at is not None and self.hurrying.is_set()):
                kill_at = 0.0
            elif kill_at is None and (beat.cancelling or self.stopping.is_set()):
                process.terminate()
                kill_at = time.monotonic() + GRACE_SECONDS
            if kill_at is not None and time.monotonic() >= kill_at:
                process.kill()
        return code

    def _settle(self, held: Claim, code: int, tail: str) -> None:
        """Write the end of the attempt where the child did not.

        Raises:
            FencedError: the child wrote it, or another worker owns the job.
        """
        job = get_job(self.database, held.job_id)
        if job.fence != held.fence or not job.state.is_active:
            return
        if job.state is JobState.CANCELLING:
            finish_cancelled(self.database, held.job_id, held.fence)
        elif self.stopping.is_set():
            self._release(job, EndReason.WORKER_STOPPED, f"worker {self.name} was stopped")
        elif code < 0 or code == EXIT_STOPPED:
            self._release(job, EndReason.PROCESS_DIED, describe_exit(code, tail))
        else:
            reason, detail = StatusReason.TRAINING_ERROR, describe_exit(code, tail)
            fail(self.database, held.job_id, held.fence, reason, detail)

    def _release(self, job: Job, reason: EndReason, detail: str) -> None:
        attempts = self.settings.max_attempts
        release(self.database, job.id, job.fence, reason, detail, max_attempts=attempts)


class Heartbeat:
    """Renews one claim's lease, and hears through the row whether to cancel.

    Attributes:
        cancelling: the client asked for the job's end.
        lost: the claim no longer holds, or could not be renewed for as long as it lasts.
    """

    def __init__(self, database: Database, held: Claim, settings: Settings) -> None:
        self.cancelling = False
        self.lost = False
        self._database = database
        self._held = held
        self._settings = settings
        self._renewed = self._tried = time.monotonic()

    def maybe_renew(self) -> None:
        """Renew if a heartbeat has passed since the last try; a database that fails is logged."""
        now = time.monotonic()
        if self.lost or now - self._tried < self._settings.heartbeat_seconds:
            return
        self._tried = now
        lease = self._settings.lease_seconds
        try:
            self.cancelling = renew_lease(
                self._database, self._held.job_id, self._held.fence, lease
            )
            self._renewed = now
        except FencedError:
            # Also where the child has just written its end: then it is about to leave by itself.
            job = get_job(self._database, self._held.job_id)
            self.lost = job.fence != self._held.fence or job.state is JobState.QUEUED
        except SQLAlchemyError as error:
            self.lost = now - self._renewed > lease
            get_logger().warning("lease_not_renewed", error=str(error), lost=self.lost)
