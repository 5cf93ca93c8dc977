"""Several workers before one Postgres and one Redis: the work is spread, nothing is done twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from service.broker import CeleryJobQueue
from service.database import Database
from service.jobs.records import Job
from service.jobs.repository import list_jobs, list_metrics
from service.jobs.states import EndReason, JobState
from service.jobs.submission import submit_training_job
from service.policies.repository import list_policies
from service.settings import Settings
from tests.service.job_records import CONFIG, make_settings, open_database
from tests.workers.trainings import STEADY_ITERATIONS

pytestmark = pytest.mark.parametrize("backend", ["scaled"], indirect=True)

JOBS, WORKERS, TRAININGS = 40, 3, 2
PATIENCE_SECONDS = 180.0
WORKER = """
import sys
from functools import partial
import workers.__main__ as process
from tests.workers.trainings import STEADY, program
process.Supervisor = partial(process.Supervisor, command=program(STEADY))
sys.exit(process.main())
"""


@contextmanager
def working(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process whose trainings do no arithmetic."""
    environment = os.environ | settings.to_environment()
    with subprocess.Popen([sys.executable, "-c", WORKER], env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def all_jobs(database: Database) -> tuple[Job, ...]:
    return list_jobs(database, limit=JOBS).jobs


def runs_on(job: Job, pid: int) -> bool:
    """Whether a worker is in the first half of a job."""
    if job.state is not JobState.RUNNING or not job.attempts[-1].worker.endswith(f":{pid}"):
        return False
    return 1 <= job.progress.timesteps <= STEADY_ITERATIONS // 2


def wait(database: Database, is_reached: object) -> None:
    assert callable(is_reached)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_reached(all_jobs(database)):
        assert time.monotonic() < deadline, Counter(job.state for job in all_jobs(database))
        time.sleep(0.05)


@pytest.fixture
def settings(backend: object, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_settings(
        tmp_path_factory.mktemp("many"),
        worker_concurrency=TRAININGS,
        heartbeat_seconds=0.3,
        lease_seconds=4.0,
        sweep_seconds=0.3,
        log_level="warning",
    )


def test_forty_jobs_on_three_workers_of_which_one_is_killed_end_once_each(
    settings: Settings,
) -> None:
    with open_database(settings) as database, ExitStack() as stack:
        workers = [stack.enter_context(working(settings)) for _ in range(WORKERS)]
        victim = workers[0]
        queue = CeleryJobQueue(settings)
        for _ in range(JOBS):
            submit_training_job(database, queue, CONFIG)
        queue.close()
        wait(database, lambda jobs: any(runs_on(job, victim.pid) for job in jobs))
        victim.kill()
        wait(database, lambda jobs: all(job.state.is_terminal for job in jobs))

        jobs = all_jobs(database)
        assert len(jobs) == JOBS
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        for job in jobs:
            ends = [attempt.end_reason for attempt in job.attempts]
            assert ends.count(EndReason.SUCCEEDED) == 1
            assert ends[-1] is EndReason.SUCCEEDED
            assert set(ends[:-1]) <= {EndReason.WORKER_LOST}
            iterations = [metric.iteration for metric in list_metrics(database, job.id)]
            assert iterations == list(range(1, STEADY_ITERATIONS + 1))
        lost = [a for job in jobs for a in job.attempts if a.end_reason is EndReason.WORKER_LOST]
        assert 1 <= len(lost) <= TRAININGS
        assert all(attempt.worker.endswith(f":{victim.pid}") for attempt in lost)
        policies = list_policies(database, limit=1000).policies
        assert sorted(policy.job_id for policy in policies) == sorted(job.id for job in jobs)
        shares = Counter(job.attempts[-1].worker.rpartition(":")[2] for job in jobs)
        assert {str(worker.pid) for worker in workers[1:]} <= set(shares)
        assert min(shares[str(worker.pid)] for worker in workers[1:]) >= JOBS // 8
