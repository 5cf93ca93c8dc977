"""What a training prints reaches the records: while it runs, and all of it at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database import Database
from service.jobs.logs import TrainingLog, list_logs
from service.jobs.repository import request_cancel
from service.jobs.states import JobState
from tests.service.job_records import RecordingQueue, make_settings, open_database, submit
from tests.workers.trainings import program
from workers.process import TAIL_BYTES
from workers.training import Supervisor

pytestmark = pytest.mark.usefixtures("backend")

QUICK = {"heartbeat_seconds": 0.1, "lease_seconds": 5.0, "max_attempts": 2}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(make_settings(tmp_path, **QUICK)) as database:
        yield database


def supervisor(database: Database, tmp_path: Path, code: str) -> Supervisor:
    settings = make_settings(tmp_path, **QUICK)
    return Supervisor(settings, database, RecordingQueue(), program(code))


def test_the_last_lines_of_every_attempt_are_kept(database: Database, tmp_path: Path) -> None:
    code = "import os, signal\nprint('attempt', fence, flush=True)\nos.kill(os.getpid(), 9)"
    job = submit(database)
    runner = supervisor(database, tmp_path, code)
    assert runner.train(job.id) is JobState.QUEUED
    assert runner.train(job.id) is JobState.FAILED
    found = [(log.attempt, log.text) for log in list_logs(database, job.id)]
    assert found == [(1, "attempt 1\n"), (2, "attempt 2\n")]


def test_a_log_is_bounded_and_says_what_is_missing(database: Database, tmp_path: Path) -> None:
    job = submit(database)
    supervisor(database, tmp_path, "print('x' * 200_000)\nprint('the end')").train(job.id)
    (log,) = list_logs(database, job.id)
    assert log.text.endswith("xxx\nthe end\n")
    assert len(log.text) == TAIL_BYTES
    assert log.dropped_bytes == 200_000 + len("\nthe end\n") - TAIL_BYTES


def test_a_log_can_be_read_while_the_training_runs(database: Database, tmp_path: Path) -> None:
    job = submit(database)
    code = "import time\nprint('begun', flush=True)\ntime.sleep(60)"
    runner = supervisor(database, tmp_path, code)
    thread = threading.Thread(target=runner.train, args=(job.id,))
    thread.start()
    deadline = time.monotonic() + 10
    logs: tuple[TrainingLog, ...] = ()
    while not logs:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        logs = list_logs(database, job.id)
    assert logs[0].text == "begun\n"
    request_cancel(database, job.id)
    thread.join(15)
    assert not thread.is_alive()
