"""A worker process from its settings to its end."""

from __future__ import annotations

import signal

from service.database import Database, current_revision, head_revision
from service.observability import configure_logging, get_logger
from service.settings import Settings
from workers.app import make_worker
from workers.recovery import Sweeper
from workers.training import Supervisor


def run_worker() -> int:
    """Take jobs until a signal says to stop; return the exit code."""
    settings = Settings()
    configure_logging(settings.log_level)
    log = get_logger()
    database = Database(settings)
    current, head = current_revision(database), head_revision()
    if current != head:
        log.error("schema_outdated", current=current, expected=head, remedy="run: grpo migrate")
        return 2
    supervisor = Supervisor(settings, database)
    worker = make_worker(settings, supervisor)
    sweeper = Sweeper(supervisor)
    sweeper.start()
    log.info("worker_started", worker=supervisor.name, concurrency=settings.worker_concurrency)
    try:
        worker.start()
    finally:
        supervisor.stopping.set()
        sweeper.join()
        database.close()
    log.info("worker_stopped", worker=supervisor.name)
    for number in (signal.SIGTERM, signal.SIGINT):  # nothing is left to stop but the exit status
        signal.signal(number, signal.SIG_IGN)
    return int(worker.exitcode or 0)
