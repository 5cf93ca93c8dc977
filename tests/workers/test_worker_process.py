"""Real worker processes with real trainings: what is killed comes back, what is done is whole."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grpo.config import TrainConfig
from grpo.models.serialization import load_policy
from service.broker import CeleryJobQueue
from service.database import Database
from service.jobs.records import Job
from service.jobs.repository import get_job, list_metrics, request_cancel
from service.jobs.states import EndReason, JobState, StatusReason
from service.jobs.submission import submit_training_job
from service.policies.repository import get_policy, get_policy_bytes
from service.settings import Settings
from tests.service.job_records import CONFIG, make_settings, open_database, submit
from tests.workers.processes import PATIENCE_SECONDS, WorkerProcess, is_alive, wait_dead

pytestmark = pytest.mark.usefixtures("backend")


def with_budget(total_timesteps: int) -> TrainConfig:
    return TrainConfig.parse(CONFIG.model_dump() | {"budget": {"total_timesteps": total_timesteps}})


LONGER = with_budget(12_000)  # long enough to be killed in the middle
ENDLESS = with_budget(100_000_000)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(
        tmp_path, heartbeat_seconds=0.2, lease_seconds=3.0, sweep_seconds=0.2, max_attempts=3
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with open_database(settings) as database:
        yield database


def wait_for(database: Database, job: Job, is_reached: Callable[[Job], bool]) -> Job:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_reached(now := get_job(database, job.id)):
        assert not now.state.is_terminal, f"{now.state}: {now.status_reason}: {now.detail}"
        assert time.monotonic() < deadline, f"still {now.state}, {now.progress}"
        time.sleep(0.05)
    return now


def succeeded(job: Job) -> bool:
    return job.state is JobState.SUCCEEDED


def has_trained(job: Job) -> bool:
    return job.state is JobState.RUNNING and job.progress.timesteps > 0


def assert_series_is_whole(database: Database, job: Job) -> None:
    metrics = list_metrics(database, job.id)
    assert [m.iteration for m in metrics] == list(range(1, len(metrics) + 1))
    steps = [m.timesteps for m in metrics]
    assert steps == sorted(set(steps))
    assert steps[-1] >= job.config["budget"]["total_timesteps"]


def ends(job: Job) -> list[EndReason | None]:
    return [attempt.end_reason for attempt in job.attempts]


def assert_policy_is_whole(database: Database, job: Job) -> None:
    model, digest = get_policy_bytes(database, job.id)
    manifest = load_policy(model, digest).manifest.model_dump(mode="json")
    assert manifest == get_policy(database, job.id).manifest


def test_lost_and_repeated_bells_start_each_job_exactly_once(
    settings: Settings, database: Database
) -> None:
    queue = CeleryJobQueue(settings)
    with WorkerProcess(settings):
        silent = submit(database)  # its bell never reaches the broker
        loud = submit_training_job(database, queue, CONFIG)
        for _ in range(2):
            queue.ring(loud.id)
        queue.ring("no such job")
        for job in (silent, loud):
            over = wait_for(database, job, succeeded)
            assert ends(over) == [EndReason.SUCCEEDED]
            assert_series_is_whole(database, over)
            assert_policy_is_whole(database, over)
    queue.close()


def test_a_killed_training_is_tried_again_while_another_is_cancelled(
    settings: Settings, database: Database
) -> None:
    queue = CeleryJobQueue(settings)
    with WorkerProcess(settings) as worker:
        killed = submit_training_job(database, queue, LONGER)
        wait_for(database, killed, has_trained)
        (training,) = worker.trainings()
        os.kill(training, signal.SIGKILL)
        cancelled = submit_training_job(database, queue, ENDLESS)
        wait_for(database, cancelled, has_trained)
        asked = time.monotonic()
        request_cancel(database, cancelled.id)
        over = wait_for(database, cancelled, lambda job: job.state is JobState.CANCELLED)
        assert time.monotonic() - asked < 10.0
        assert over.status_reason is StatusReason.CANCELLED_BY_CLIENT
        assert (over.policy_id, ends(over)) == (None, [EndReason.CANCELLED])

        over = wait_for(database, killed, succeeded)
        assert ends(over) == [EndReason.PROCESS_DIED, EndReason.SUCCEEDED]
        assert over.attempts[0].detail.startswith("the training process was killed by SIGKILL")
        assert_series_is_whole(database, over)
    queue.close()


def test_another_worker_finishes_the_job_of_a_killed_worker_after_its_lease(
    settings: Settings, database: Database
) -> None:
    queue = CeleryJobQueue(settings)
    job = submit_training_job(database, queue, LONGER)
    with WorkerProcess(settings) as first:
        wait_for(database, job, has_trained)
        (training,) = first.trainings()
        first.process.kill()
        wait_dead(training)  # a training never outlives its worker
    assert get_job(database, job.id).state is JobState.RUNNING
    with WorkerProcess(settings):
        over = wait_for(database, job, succeeded)
    assert ends(over) == [EndReason.WORKER_LOST, EndReason.SUCCEEDED]
    assert over.attempts[0].worker != over.attempts[1].worker
    assert_series_is_whole(database, over)
    queue.close()


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)], ids=["SIGTERM", "Ctrl-C twice"]
)
def test_a_worker_that_is_told_to_stop_gives_its_job_back_and_leaves_nothing(
    settings: Settings, database: Database, tmp_path: Path, number: signal.Signals, times: int
) -> None:
    queue, log = CeleryJobQueue(settings), tmp_path / "worker.log"
    job = submit_training_job(database, queue, ENDLESS)
    with WorkerProcess(settings, errors=log) as worker:
        wait_for(database, job, has_trained)
        trainings = worker.trainings()
        assert worker.stop(number, times) == 0
        assert not any(is_alive(pid) for pid in trainings)
    assert "Traceback" not in log.read_text(encoding="utf-8")
    waiting = get_job(database, job.id)
    assert waiting.state is JobState.QUEUED
    assert waiting.status_reason is StatusReason.WORKER_STOPPED
    assert ends(waiting) == [EndReason.WORKER_STOPPED]
    queue.close()


def test_a_worker_refuses_records_of_another_schema(tmp_path: Path) -> None:
    with WorkerProcess(make_settings(tmp_path / "empty", empty=True)) as worker:
        assert worker.process.wait(timeout=PATIENCE_SECONDS) == 2
