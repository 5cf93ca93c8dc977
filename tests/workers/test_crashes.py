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

KILLS = {"training": 26, "trained": 6, "worker": 7, "both": 7, "api": 4}
BLOWS = KILLS | {"bells": 2, "broker": 2, "cancel": 2}
SEED = 20_261
BETWEEN_SECONDS = (0.05, 0.75)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(
        tmp_path, heartbeat_seconds=0.2, lease_seconds=2.0, sweep_seconds=0.2,
        checkpoint_seconds=0.0, max_attempts=100, worker_concurrency=1,
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
        blows: dict[str, Callable[[], bool]] = {
            "training": chaos.kill_training,
            "trained": chaos.kill_trained,
            "worker": lambda: chaos.kill_worker(with_trainings=False),
            "both": lambda: chaos.kill_worker(with_trainings=True),
            "api": lambda: chaos.kill_api(configs[0]),
            "bells": chaos.ring_nonsense,
            "broker": chaos.empty_broker,
            "cancel": chaos.cancel_one,
        }
        for kind in chaos.rng.permutation(list(Counter(BLOWS).elements())):
            struck = False
            while not struck:
                while len(chaos.unfinished()) < 3:
                    chaos.submit(configs[len(chaos.jobs) % 2])
                time.sleep(chaos.rng.uniform(*BETWEEN_SECONDS))
                struck = blows[kind]()
        chaos.check_repeated_posts()
        chaos.wait_all()
        ended = [check_over(database, job_id) for job_id in chaos.jobs]
    assert sum(KILLS.values()) == sum(chaos.blows[kind] for kind in KILLS) >= 50
    succeeded = [job for job in ended if job.state is JobState.SUCCEEDED]
    assert {job.state for job in ended} == {JobState.SUCCEEDED, JobState.CANCELLED}
    assert len(succeeded) >= len(ended) - chaos.blows["cancel"]
    assert count_resumed(database, [job.id for job in succeeded]) > 0
    for job in succeeded:
        assert get_policy(database, job.id).sha256 == digests[job.config["seed"]]


def test_a_worker_stopped_past_its_lease_stops_its_training_when_it_wakes(
    settings: Settings, database: Database
) -> None:
    config = make_job(segments=40)
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
