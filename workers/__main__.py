"""Run a worker process: ``python -m workers``. Settings come from ``GRPO_*`` variables."""

from __future__ import annotations

import argparse
import sys

from service.database import Database, current_revision, head_revision
from service.observability import configure_logging, get_logger
from service.process import die_with_parent
from service.settings import Settings
from workers.app import make_worker
from workers.recovery import Sweeper
from workers.training import Supervisor


def main() -> int:
    """Take jobs until a signal says to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--parent", type=int, help="stop when this process, our parent, ends")
    arguments = parser.parse_args()
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
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
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
