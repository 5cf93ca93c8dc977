"""Ctrl-C pressed twice, by somebody in a hurry: everything is gone at once, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from service.client import GRPOClient
from service.database import Database
from service.jobs.records import Job
from service.jobs.repository import get_job, request_cancel
from service.jobs.states import EndReason, JobState
from service.settings import Settings
from tests.service.job_records import make_settings
from tests.workers.chaos import make_job
from tests.workers.invariants import check_over, check_sound
from tests.workers.processes import (
    WorkerProcess,
    children_of,
    wait_dead,
    wait_until,
)

GRPO = str(Path(sys.executable).with_name("grpo"))
ENDLESS = make_job(budget={"total_timesteps": 100_000_000})


def end_on_another_worker(settings: Settings, database: Database, job_id: str) -> Job:
    """Another worker takes the job, at last when its lease ends; then it is cancelled."""

    def is_training() -> bool:
        job = get_job(database, job_id)
        return job.state is JobState.RUNNING and job.fence == 2 and job.progress.timesteps > 0

    with WorkerProcess(settings):
        wait_until(is_training)
        check_sound(database, job_id)
        request_cancel(database, job_id)
        wait_until(lambda: get_job(database, job_id).state.is_terminal)
    return check_over(database, job_id)


def has_trained(database: Database, job_id: str) -> bool:
    return get_job(database, job_id).progress.timesteps > 0


def test_ctrl_c_twice_on_serve_leaves_no_process_and_its_job_goes_on_later(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path / "home", port=0, heartbeat_seconds=0.2, lease_seconds=2.0, sweep_seconds=0.2
    )
    log = tmp_path / "serve.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [GRPO, "serve"],
            env=os.environ | settings.to_environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as serve,
    ):
        assert serve.stdout is not None
        found = re.search(rb"http://\S+", serve.stdout.readline())
        assert found is not None, log.read_text()
        with GRPOClient(found.group().decode()) as client:
            job_id = client.submit(ENDLESS).id
        database = Database(settings)
        wait_until(lambda: has_trained(database, job_id))
        processes = children_of(serve.pid)
        processes += [training for pid in processes for training in children_of(pid)]
        assert len(processes) == 3  # the API, the worker and its training
        for _ in range(2):
            serve.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert serve.wait(30) == 0
        for pid in processes:
            wait_dead(pid)
    assert "Traceback" not in log.read_text()
    job = end_on_another_worker(settings, database, job_id)
    assert job.attempts[0].end_reason in {EndReason.WORKER_LOST, EndReason.WORKER_STOPPED}
    database.close()
