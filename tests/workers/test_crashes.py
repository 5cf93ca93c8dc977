"""Processes killed at random moments: every job ends truly, whole, and with the same policy."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.database import Database
from service.jobs.repository import get_job
from service.jobs.states import EndReason, JobState
from service.policies.repository import get_policy
from service.settings import Settings
from tests.service.job_records import make_settings, open_database
from tests.workers.chaos import Chaos, make_job, train_here
from tests.workers.invariants import check_over, count_resumed
from tests.workers.processes import is_alive, wait_dead, wait_until

KILLS = 50
KILLED = ("training", "worker", "both", "api")
LEAST = Counter(KILLED) + Counter(api=4, bells=1, broker=1, cancel=1)
SEED = 20_261
BETWEEN_SECONDS = (0.2, 1.6)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(
        tmp_path, heartbeat_seconds=0.2, lease_seconds=2.0, sweep_seconds=0.2,
        checkpoint_seconds=0.0, max_attempts=100,
    )  # fmt: skip


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with open_database(settings) as database:
        yield database


def test_fifty_kills_at_random_moments_lose_nothing_and_change_no_policy(
    settings: Settings, database: Database
) -> None:
    configs = [make_job(seed) for seed in (1, 2)]
    digests = {config.seed: train_here(config) for config in configs}
    with Chaos(settings, database, workers=2, seed=SEED) as chaos:
        rng = chaos.rng
        blows: list[tuple[Callable[[], bool], float]] = [
            (chaos.kill_training, 0.33),
            (chaos.kill_trained, 0.16),
            (lambda: chaos.kill_worker(with_trainings=False), 0.11),
            (lambda: chaos.kill_worker(with_trainings=True), 0.08),
            (lambda: chaos.kill_api(configs[0]), 0.12),
            (chaos.ring_nonsense, 0.08),
            (chaos.empty_broker, 0.06),
            (chaos.cancel_one, 0.06),
        ]
        chances = [chance for _, chance in blows]
        while not (sum(chaos.blows[kind] for kind in KILLED) >= KILLS and chaos.blows >= LEAST):
            while len(chaos.unfinished()) < 5:
                chaos.submit(configs[len(chaos.jobs) % 2])
            time.sleep(rng.uniform(*BETWEEN_SECONDS))
            blows[int(rng.choice(len(blows), p=chances))][0]()
        chaos.check_repeated_posts()
        chaos.wait_all()
        ended = [check_over(database, job_id) for job_id in chaos.jobs]
    succeeded = [job for job in ended if job.state is JobState.SUCCEEDED]
    assert {job.state for job in ended} == {JobState.SUCCEEDED, JobState.CANCELLED}
    assert len(succeeded) >= len(ended) - chaos.blows["cancel"]
    assert count_resumed(database, [job.id for job in succeeded]) > 0
    for job in succeeded:
        assert get_policy(database, job.id).sha256 == digests[job.config["seed"]]


def test_a_worker_stopped_past_its_lease_stops_its_training_when_it_wakes(
    settings: Settings, database: Database
) -> None:
    config = make_job(segments=12)
    with Chaos(settings, database, workers=1, seed=1) as chaos:
        job_id = chaos.submit(config)
        wait_until(lambda: chaos.has_trained(job_id))
        (sleeper,) = chaos.workers
        (training,) = sleeper.trainings()
        with database.writing():  # neither is inside of a write, which would stop everybody
            for pid in (sleeper.process.pid, training):
                os.kill(pid, signal.SIGSTOP)
        with Chaos(settings, database, workers=1, seed=2) as other:
            other.jobs = chaos.jobs
            wait_until(lambda: get_job(database, job_id).fence == 2)
            for pid in (training, sleeper.process.pid):
                os.kill(pid, signal.SIGCONT)
            wait_dead(training)
            assert is_alive(sleeper.process.pid)
            other.wait_all()
        job = check_over(database, job_id)
        assert [a.end_reason for a in job.attempts] == [EndReason.WORKER_LOST, EndReason.SUCCEEDED]
        again = chaos.submit(make_job(segments=1))
        chaos.wait_all()
        assert check_over(database, again).attempts[0].worker == job.attempts[0].worker
