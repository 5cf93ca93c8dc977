"""What the tests of the records share: a migrated database, a small job, a queue that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grpo.config import TrainConfig
from service.database import Database, migrate
from service.jobs.queue import QueueUnavailableError
from service.jobs.records import Job, Metric, Progress
from service.jobs.submission import submit_training_job
from service.settings import Settings
from tests.backends import active

CONFIG = TrainConfig.parse(
    {
        "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
        "grouping": {
            "kind": "threshold",
            "feature": 0,
            "edges": [0.0],
            "labels": ["left", "right"],
        },
        "algorithm": {"num_envs": 4, "num_steps": 32, "minibatch_size": 64, "update_epochs": 1},
        "budget": {"total_timesteps": 1024},
        "evaluation": {"episodes": 2},
    }
)
HALFWAY = Progress("training", 512, 1024, 1000.0, 0.512)


class RecordingQueue:
    """A bell for tests: it remembers who was announced, and can be out of order."""

    def __init__(self, *, broken: bool = False) -> None:
        self.rung: list[str] = []
        self.broken = broken

    def ring(self, job_id: str) -> None:
        if self.broken:
            raise QueueUnavailableError("the broker is down")
        self.rung.append(job_id)


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    migrate(settings)
    database = Database(settings)
    try:
        yield database
    finally:
        database.close()


def make_settings(home: Path, **values: Any) -> Settings:
    """Settings over the records of ``home``, on the backend of the running test."""
    return active().settings(home, **values)


def submit(database: Database, config: TrainConfig = CONFIG) -> Job:
    return submit_training_job(database, RecordingQueue(), config)


def metric(iteration: int, attempt: int = 1) -> Metric:
    return Metric(iteration, 128 * iteration, 0.1 * iteration, {"attempt": attempt, "entropy": 0.5})
