"""The Celery application of a worker process: one task, the doorbell of a training."""

from __future__ import annotations

import os
import signal
import warnings
from types import FrameType
from typing import Any

from celery import Celery
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from celery.worker import state

from service.broker import TASK_NAME, create_broker_app
from service.settings import Settings
from workers.training import Supervisor


def create_celery(settings: Settings, supervisor: Supervisor | None = None) -> Celery:
    """Create the application whose task ``grpo.train`` supervises one training.

    Args:
        settings: of this worker process.
        supervisor: runs the trainings; made from the settings if not given.
    """
    app = create_broker_app(settings, publishing=False)
    runner = supervisor if supervisor is not None else Supervisor(settings)

    @app.task(name=TASK_NAME)
    def train(job_id: object) -> None:
        """Run the job if it waits; anything else that a message may say is ignored."""
        if isinstance(job_id, str):
            runner.train(job_id)

    return app


class TrainingWorker(Worker):
    """Celery's worker with signals that stop trainings in order.

    The first SIGTERM or Ctrl-C asks every training to stop and gives its job back to the queue.
    The second kills the trainings' groups; their jobs are still given back. The third leaves at
    once, and leases bring the jobs back.
    """

    supervisor: Supervisor

    def setup_logging(self, colorize: bool | None = None) -> Any:
        """Keep the logging that the entry point configured."""
        del colorize
        return True

    def install_platform_tweaks(self, worker: Any) -> None:
        """Install our signal handlers instead of Celery's, which cannot stop a thread's child."""
        del worker
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.supervisor.hurrying.is_set():
            os._exit(128 + number)
        if self.supervisor.stopping.is_set():
            self.supervisor.hurrying.set()
        self.supervisor.stopping.set()
        state.should_stop = 0  # type: ignore[assignment]  # the stub knows only its first value


def make_worker(settings: Settings, supervisor: Supervisor) -> TrainingWorker:
    """Make the worker of this process: threads that supervise, no remote control, no chatter."""
    with warnings.catch_warnings():
        # As root Celery warns of pickled messages; ours are JSON, in a container root is usual.
        warnings.simplefilter("ignore", SecurityWarning)
        worker = TrainingWorker(
            app=create_celery(settings, supervisor),
            hostname=f"grpo@{supervisor.name}",
            pool="threads",
            concurrency=settings.worker_concurrency,
            quiet=True,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
        )
    worker.supervisor = supervisor
    return worker
