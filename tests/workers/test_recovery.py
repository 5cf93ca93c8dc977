"""The sweep: lost bells ring again without a storm, dead workers' jobs come back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.database import Database
from service.jobs.leases import claim
from service.jobs.repository import get_job, request_cancel
from service.jobs.states import JobState
from tests.service.job_records import RecordingQueue, make_settings, open_database, submit
from tests.workers import trainings
from workers.recovery import Sweeper
from workers.training import Supervisor

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(make_settings(tmp_path)) as database:
        yield database


def make_supervisor(database: Database, home: Path, queue: RecordingQueue) -> Supervisor:
    settings = make_settings(home, sweep_seconds=0.05, worker_concurrency=2)
    return Supervisor(settings, database, queue, trainings.program(trainings.SILENT))


def wait_two_sweeps() -> None:
    time.sleep(0.15)


def test_lost_bells_ring_again_oldest_first_as_many_as_can_start(
    database: Database, tmp_path: Path
) -> None:
    jobs = [submit(database) for _ in range(5)]  # their bells went to another queue: lost
    queue = RecordingQueue()
    sweeper = Sweeper(make_supervisor(database, tmp_path, queue))
    assert sweeper.sweep() == []  # too young: the bell may be under way
    wait_two_sweeps()
    assert sweeper.sweep() == [jobs[0].id, jobs[1].id]
    assert sweeper.sweep() == [jobs[2].id, jobs[3].id]
    assert sweeper.sweep() == [jobs[4].id]
    assert sweeper.sweep() == []
    assert queue.rung == [job.id for job in jobs]


def test_a_worker_that_stops_rings_nobody(database: Database, tmp_path: Path) -> None:
    submit(database)
    wait_two_sweeps()
    supervisor = make_supervisor(database, tmp_path, RecordingQueue())
    supervisor.stopping.set()
    assert Sweeper(supervisor).sweep() == []


def test_a_broker_that_is_away_is_rung_once_per_sweep_and_later_again(
    database: Database, tmp_path: Path
) -> None:
    jobs = [submit(database) for _ in range(2)]
    queue = RecordingQueue(broken=True)
    sweeper = Sweeper(make_supervisor(database, tmp_path, queue))
    wait_two_sweeps()
    assert sweeper.sweep() == []
    queue.broken = False
    wait_two_sweeps()
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


def test_the_thread_sweeps_until_the_worker_stops(database: Database, tmp_path: Path) -> None:
    job = submit(database)
    queue = RecordingQueue()
    supervisor = make_supervisor(database, tmp_path, queue)
    sweeper = Sweeper(supervisor)
    sweeper.start()
    deadline = time.monotonic() + 5
    while job.id not in queue.rung:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    supervisor.stopping.set()
    sweeper.join()


def test_a_database_in_trouble_does_not_end_the_sweeping(tmp_path: Path) -> None:
    database = Database(make_settings(tmp_path, empty=True))  # without tables
    queue = RecordingQueue()
    supervisor = make_supervisor(database, tmp_path, queue)
    sweeper = Sweeper(supervisor)
    with capture_logs() as logs:
        sweeper.start()
        time.sleep(0.3)
        with open_database(make_settings(tmp_path)) as repaired:
            job = submit(repaired)
            deadline = time.monotonic() + 5
            while job.id not in queue.rung:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        supervisor.stopping.set()
        sweeper.join()
    database.close()
    assert "sweep_failed" in {entry["event"] for entry in logs}
