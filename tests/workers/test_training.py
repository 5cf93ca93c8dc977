"""What becomes of a job whose process succeeds, fails, dies, hangs or is stopped."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from service.database import Database, database_time
from service.jobs.leases import claim, recover_expired
from service.jobs.logs import list_logs
from service.jobs.models import JobRow
from service.jobs.records import Job
from service.jobs.repository import get_job, list_events, new_id, request_cancel
from service.jobs.states import EndReason, JobState, StatusReason
from tests.service.job_records import RecordingQueue, make_settings, open_database, submit
from tests.workers import trainings
from workers import training
from workers.training import Supervisor

pytestmark = pytest.mark.usefixtures("backend")

QUICK = {"heartbeat_seconds": 0.1, "lease_seconds": 5.0, "max_attempts": 2}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(make_settings(tmp_path, **QUICK)) as database:
        yield database


@pytest.fixture
def supervise(database: Database, tmp_path: Path) -> Callable[[str], Supervisor]:
    def make(code: str) -> Supervisor:
        settings = make_settings(tmp_path, **QUICK)
        return Supervisor(settings, database, RecordingQueue(), trainings.program(code))

    return make


Supervise = Callable[[str], Supervisor]


class Training(threading.Thread):
    """A supervised training in a thread, as Celery runs it."""

    def __init__(self, supervisor: Supervisor, job: Job) -> None:
        super().__init__()
        self.supervisor, self.job = supervisor, job
        self.state: JobState | None = None
        self.start()

    def run(self) -> None:
        self.state = self.supervisor.train(self.job.id)

    def wait_running(self) -> None:
        deadline = time.monotonic() + 10
        while get_job(self.supervisor.database, self.job.id).state is JobState.QUEUED:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)  # the interpreter has started, and the deaf one is deaf

    def finish(self, timeout_seconds: float = 15.0) -> JobState | None:
        self.join(timeout_seconds)
        assert not self.is_alive(), "the training goes on"
        return self.state


def rung(supervisor: Supervisor) -> list[str]:
    assert isinstance(supervisor.queue, RecordingQueue)
    return supervisor.queue.rung


def test_a_process_that_succeeds_ends_the_job(database: Database, supervise: Supervise) -> None:
    job = submit(database)
    assert supervise(trainings.SUCCEED).train(job.id) is JobState.SUCCEEDED
    assert get_job(database, job.id).policy_id is not None


def test_a_process_that_fails_ends_the_job_with_its_error_and_the_rest_is_its_log(
    database: Database, supervise: Supervise
) -> None:
    job = submit(database)
    assert supervise(trainings.BROKEN).train(job.id) is JobState.FAILED
    over = get_job(database, job.id)
    assert over.status_reason is StatusReason.TRAINING_ERROR
    error = "RuntimeError: no such thing"
    assert over.detail == f"the training process ended with exit code 1: {error}"
    (log,) = list_logs(database, job.id)
    assert log.text.startswith("Traceback")
    assert log.text.rstrip().endswith(error)


def test_a_process_that_leaves_without_an_end_fails_the_job(
    database: Database, supervise: Supervise
) -> None:
    job = submit(database)
    assert supervise(trainings.SILENT).train(job.id) is JobState.FAILED
    assert get_job(database, job.id).detail == "the training process ended with exit code 0"


def test_a_killed_process_gives_the_job_a_second_attempt_that_succeeds(
    database: Database, supervise: Supervise
) -> None:
    job = submit(database)
    supervisor = supervise(trainings.KILLED_ONCE + textwrap.dedent(trainings.SUCCEED))
    assert supervisor.train(job.id) is JobState.QUEUED
    assert rung(supervisor) == [job.id]
    waiting = get_job(database, job.id)
    assert waiting.status_reason is StatusReason.PROCESS_DIED
    assert waiting.attempts[0].detail == "the training process was killed by SIGKILL"
    assert supervisor.train(job.id) is JobState.SUCCEEDED
    assert [a.end_reason for a in get_job(database, job.id).attempts] == [
        EndReason.PROCESS_DIED,
        EndReason.SUCCEEDED,
    ]


def test_a_process_that_is_killed_every_time_fails_the_job(
    database: Database, supervise: Supervise
) -> None:
    job = submit(database)
    supervisor = supervise(trainings.KILLED)
    assert [supervisor.train(job.id) for _ in range(3)] == ["queued", "failed", None]
    over = get_job(database, job.id)
    assert over.status_reason is StatusReason.PROCESS_DIED
    assert over.detail == "the training process was killed by SIGKILL"


def test_double_bells_and_unknown_jobs_start_nothing(
    database: Database, supervise: Supervise
) -> None:
    job = submit(database)
    supervisor = supervise(trainings.SUCCEED)
    trainings_ = [Training(supervisor, job) for _ in range(3)]
    states = [one.finish() for one in trainings_]
    assert sorted(states, key=str) == [None, None, JobState.SUCCEEDED]
    assert supervisor.train(job.id) is None
    assert supervisor.train(new_id()) is None
    assert len(get_job(database, job.id).attempts) == 1


@pytest.mark.parametrize(
    ("backend", "code"),
    [
        ("embedded", trainings.STUBBORN),  # it takes the whole grace period: once is enough
        ("embedded", trainings.ENDLESS),
        ("scaled", trainings.ENDLESS),
    ],
    indirect=["backend"],
    ids=["stubborn", "embedded", "scaled"],
)
def test_cancelling_ends_a_running_job_within_ten_seconds(
    database: Database, supervise: Supervise, code: str
) -> None:
    running = Training(supervise(code), submit(database))
    running.wait_running()
    started = time.monotonic()
    assert request_cancel(database, running.job.id).state is JobState.CANCELLING
    assert running.finish() is JobState.CANCELLED
    assert time.monotonic() - started < 10.0


def test_a_stopping_worker_gives_its_job_back_and_takes_no_other(
    database: Database, supervise: Supervise
) -> None:
    running = Training(supervise(trainings.ENDLESS), submit(database))
    running.wait_running()
    running.supervisor.stopping.set()
    assert running.finish() is JobState.QUEUED
    waiting = get_job(database, running.job.id)
    assert waiting.status_reason is StatusReason.WORKER_STOPPED
    assert waiting.attempts[0].end_reason is EndReason.WORKER_STOPPED
    assert running.supervisor.free_slots == 0
    assert running.supervisor.train(running.job.id) is None
    assert len(get_job(database, running.job.id).attempts) == 1


def test_a_hurrying_worker_kills_a_deaf_process_and_still_gives_its_job_back(
    database: Database, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "GRACE_SECONDS", 60.0)
    running = Training(supervise(trainings.STUBBORN), submit(database))
    running.wait_running()
    running.supervisor.stopping.set()
    time.sleep(0.3)
    assert running.is_alive()
    running.supervisor.hurrying.set()
    assert running.finish(5.0) is JobState.QUEUED


def test_the_lease_is_renewed_for_as_long_as_the_process_runs(
    database: Database, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, heartbeat_seconds=0.1, lease_seconds=1.0)
    command = trainings.program(
        "import time; time.sleep(1.6)\n" + textwrap.dedent(trainings.SUCCEED)
    )
    supervisor = Supervisor(settings, database, RecordingQueue(), command)
    running = Training(supervisor, submit(database))
    running.wait_running()
    for _ in range(12):
        assert recover_expired(database, 3) == {}
        time.sleep(0.1)
    assert running.finish() is JobState.SUCCEEDED
    assert len(get_job(database, running.job.id).attempts) == 1


def test_a_worker_that_lost_its_lease_kills_its_process_and_leaves_the_row_alone(
    database: Database, supervise: Supervise
) -> None:
    running = Training(supervise(trainings.STUBBORN), submit(database))
    running.wait_running()
    job_id = running.job.id
    with database.writing() as session:
        expire = update(JobRow).where(JobRow.id == job_id)
        session.execute(expire.values(lease_until=database_time(-1.0)))
        # In the same transaction, so that no heartbeat comes between: another worker's claim.
        session.execute(expire.values(fence=JobRow.fence + 1, lease_until=database_time(30.0)))
    events = list_events(database, job_id)
    assert running.finish() is JobState.RUNNING
    assert list_events(database, job_id) == events
    assert rung(running.supervisor) == []


def test_an_end_that_the_database_does_not_take_is_left_to_the_lease(
    database: Database, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Job:
        raise OperationalError("SELECT", None, Exception("no route to host"))

    job, supervisor = submit(database), supervise(trainings.KILLED)
    monkeypatch.setattr(training, "get_job", fail)
    with capture_logs() as logs:
        assert supervisor.train(job.id) is None
    assert [log["event"] for log in logs][-1] == "training_left_to_its_lease"
    assert supervisor.free_slots == 2
    assert get_job(database, job.id).state is JobState.RUNNING


def test_slots_are_counted(database: Database, supervise: Supervise) -> None:
    supervisor = supervise(trainings.ENDLESS)
    assert supervisor.free_slots == 2
    running = Training(supervisor, submit(database))
    running.wait_running()
    assert supervisor.free_slots == 1
    request_cancel(database, running.job.id)
    running.finish()
    assert supervisor.free_slots == 2


def test_someone_elses_sigterm_to_the_process_costs_an_attempt_not_the_job(
    database: Database, supervise: Supervise
) -> None:
    job = submit(database)
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"
    assert supervise(code).train(job.id) is JobState.QUEUED
    assert get_job(database, job.id).status_reason is StatusReason.PROCESS_DIED


def test_a_claim_taken_elsewhere_is_not_taken_again(
    database: Database, supervise: Supervise
) -> None:
    job = submit(database)
    assert claim(database, job.id, "elsewhere", 30.0) is not None
    assert supervise(trainings.SUCCEED).train(job.id) is None


def test_the_worker_process_never_imports_torch() -> None:
    code = "import sys, workers.app, workers.recovery; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
