"""The sweep: lost bells ring again without a storm, dead workers' jobs come back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from service.database import Database, database_time
from service.jobs.leases import claim
from service.jobs.models import JobRow
from service.jobs.records import Job
from service.jobs.repository import get_job, request_cancel
from service.jobs.states import JobState
from tests.service.job_records import RecordingQueue, make_settings, open_database, submit
from tests.workers import trainings
from tests.workers.processes import wait_until
from workers.recovery import Sweeper
from workers.training import Supervisor

pytestmark = pytest.mark.usefixtures("backend")
SWEEP_SECONDS = 100.0
"""So long that no bell grows old while a test runs, however slow the machine."""

STANDS_STILL = """
import os, signal, sys
from sqlalchemy import update
from service import database
from service.jobs.endings import write_held
from service.jobs.models import JobRow
from service.settings import Settings
database.SERVER_OPTIONS["idle_in_transaction_session_timeout"] = 1_500
with database.Database(Settings()).writing() as session:
    write_held(session, sys.argv[1], 1, update(JobRow).values(timesteps=1))
    print("locked", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(make_settings(tmp_path)) as database:
        yield database


def make_supervisor(
    database: Database, home: Path, queue: RecordingQueue, sweep_seconds: float = SWEEP_SECONDS
) -> Supervisor:
    settings = make_settings(home, sweep_seconds=sweep_seconds, worker_concurrency=2)
    return Supervisor(settings, database, queue, trainings.program(trainings.SILENT))


def let_bells_age(database: Database, jobs: Sequence[Job]) -> None:
    """Make the jobs' last bells older than two sweeps, the first of them the oldest."""
    with database.writing() as session:
        for n, job in enumerate(reversed(jobs)):
            rung_at = database_time(-(3 + n) * SWEEP_SECONDS)
            session.execute(update(JobRow).where(JobRow.id == job.id).values(rung_at=rung_at))


def test_lost_bells_ring_again_oldest_first_as_many_as_can_start(
    database: Database, tmp_path: Path
) -> None:
    jobs = [submit(database) for _ in range(5)]  # their bells went to another queue: lost
    queue = RecordingQueue()
    sweeper = Sweeper(make_supervisor(database, tmp_path, queue))
    assert sweeper.sweep() == []  # too young: the bell may be under way
    let_bells_age(database, jobs)
    assert sweeper.sweep() == [jobs[0].id, jobs[1].id]
    assert sweeper.sweep() == [jobs[2].id, jobs[3].id]
    assert sweeper.sweep() == [jobs[4].id]
    assert sweeper.sweep() == []
    assert queue.rung == [job.id for job in jobs]


def test_a_worker_that_stops_rings_nobody(database: Database, tmp_path: Path) -> None:
    let_bells_age(database, [submit(database)])
    supervisor = make_supervisor(database, tmp_path, RecordingQueue())
    supervisor.stopping.set()
    assert Sweeper(supervisor).sweep() == []


def test_a_broker_that_is_away_is_rung_once_per_sweep_and_later_again(
    database: Database, tmp_path: Path
) -> None:
    jobs = [submit(database) for _ in range(2)]
    queue = RecordingQueue(broken=True)
    sweeper = Sweeper(make_supervisor(database, tmp_path, queue))
    let_bells_age(database, jobs)
    assert sweeper.sweep() == []
    queue.broken = False
    let_bells_age(database, jobs)
    assert sorted(sweeper.sweep()) == sorted(job.id for job in jobs)


def test_jobs_of_dead_workers_are_taken_back_and_rung(database: Database, tmp_path: Path) -> None:
    lost, cancelled, alive = (submit(database) for _ in range(3))
    claim(database, lost.id, "dead", -1.0)
    claim(database, cancelled.id, "dead", -1.0)
    claim(database, alive.id, "alive", 30.0)
    request_cancel(database, cancelled.id)
    queue = RecordingQueue()
    Sweeper(make_supervisor(database, tmp_path, queue)).sweep()
    states = [get_job(database, job.id).state for job in (lost, cancelled, alive)]
    assert states == [JobState.QUEUED, JobState.CANCELLED, JobState.RUNNING]
    assert queue.rung == [lost.id]


@pytest.mark.parametrize("backend", ["scaled"], indirect=True)
def test_a_job_is_taken_back_from_a_writer_that_stands_still_inside_its_transaction(
    database: Database, tmp_path: Path
) -> None:
    job = submit(database)
    claim(database, job.id, "still", -1.0)
    command = [sys.executable, "-c", STANDS_STILL, job.id]
    environment = os.environ | make_settings(tmp_path).to_environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"locked\n"
        queue = RecordingQueue()
        sweeper = Sweeper(make_supervisor(database, tmp_path, queue))
        sweeper.sweep()
        assert get_job(database, job.id).state is JobState.RUNNING  # its row is locked
        wait_until(sweeper.sweep)
        assert queue.rung == [job.id]
        writer.kill()


def test_the_thread_sweeps_until_the_worker_stops(database: Database, tmp_path: Path) -> None:
    job = submit(database)
    queue = RecordingQueue()
    supervisor = make_supervisor(database, tmp_path, queue, sweep_seconds=0.05)
    sweeper = Sweeper(supervisor)
    sweeper.start()
    wait_until(lambda: job.id in queue.rung)
    supervisor.stopping.set()
    sweeper.join()


def test_a_database_in_trouble_does_not_end_the_sweeping(tmp_path: Path) -> None:
    database = Database(make_settings(tmp_path, empty=True))  # without tables
    queue = RecordingQueue()
    supervisor = make_supervisor(database, tmp_path, queue, sweep_seconds=0.05)
    sweeper = Sweeper(supervisor)
    with capture_logs() as logs:
        sweeper.start()
        time.sleep(0.3)
        with open_database(make_settings(tmp_path)) as repaired:
            job = submit(repaired)
            wait_until(lambda: job.id in queue.rung)
        supervisor.stopping.set()
        sweeper.join()
    database.close()
    assert "sweep_failed" in {entry["event"] for entry in logs}
