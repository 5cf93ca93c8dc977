"""How much more do more workers train?: ``python -m benchmarks.workers``.

Private Postgres and Redis, one training at once per worker process, the same jobs each time. The
cores are shared with the servers, so expect no gain beyond the number of cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from grpo.config import TrainConfig
from service.broker import CeleryJobQueue
from service.database import Database
from service.jobs.records import Job
from service.jobs.repository import list_jobs
from service.jobs.states import JobState
from service.jobs.submission import submit_training_job
from service.observability import configure_logging
from service.settings import Settings
from tests.backends import Backend, Scaled, make_template
from tests.servers import Postgres, Redis

CONFIG = TrainConfig.parse(
    {
        "environment": {"kind": "hospital", "scenario": "rural_hospital"},
        "grouping": {"kind": "attribute", "attributes": ["age_group"]},
        "budget": {"total_timesteps": 50_000},
        "evaluation": {"episodes": 2, "warmup_hours": 1.0, "horizon_hours": 12.0},
    }
)
PATIENCE_SECONDS = 1_800.0


def wait_all(database: Database, count: int) -> tuple[Job, ...]:
    """Wait until the last ``count`` jobs are over and return them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        jobs = list_jobs(database, limit=count).jobs
        if len(jobs) == count and all(job.state.is_terminal for job in jobs):
            return jobs
        time.sleep(0.1)
    raise TimeoutError("the jobs did not end")


def measure(settings: Settings, num_workers: int, num_jobs: int) -> tuple[float, int, int]:
    """Return seconds for all jobs, jobs that did not succeed, attempts beyond the first."""
    database, queue = Database(settings), CeleryJobQueue(settings)
    environment = os.environ | settings.to_environment()
    command = [sys.executable, "-m", "workers", "--parent", str(os.getpid())]
    with ExitStack() as stack:
        for _ in range(num_workers):
            process = stack.enter_context(subprocess.Popen(command, env=environment))
            stack.callback(process.terminate)
        # The first trainings find the workers up, as they are in a service that runs.
        for _ in range(num_workers):
            submit_training_job(database, queue, CONFIG)
        wait_all(database, num_workers)
        started = time.perf_counter()
        for _ in range(num_jobs):
            submit_training_job(database, queue, CONFIG)
        jobs = wait_all(database, num_jobs)
        seconds = time.perf_counter() - started
    queue.close()
    database.close()
    failed = sum(job.state is not JobState.SUCCEEDED for job in jobs)
    return seconds, failed, sum(len(job.attempts) - 1 for job in jobs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--jobs", type=int, default=12)
    arguments = parser.parse_args()
    configure_logging("error")
    steps = arguments.jobs * CONFIG.budget.total_timesteps
    print(
        f"{arguments.jobs} jobs of {CONFIG.budget.total_timesteps:,} steps each, "
        f"{os.cpu_count()} cores"
    )
    print("workers   seconds   jobs/min   steps/s   not succeeded   repeated attempts")
    with Postgres() as postgres, Redis() as redis, tempfile.TemporaryDirectory() as folder:
        make_template(postgres)
        backend: Backend = Scaled(postgres, redis)
        for num_workers in arguments.workers:
            home = Path(folder) / str(num_workers)
            settings = backend.settings(home, worker_concurrency=1, log_level="error")
            seconds, failed, repeated = measure(settings, num_workers, arguments.jobs)
            print(
                f"{num_workers:7}{seconds:10.1f}{60 * arguments.jobs / seconds:11.1f}"
                f"{steps / seconds:10,.0f}{failed:16}{repeated:20}"
            )


if __name__ == "__main__":
    main()
