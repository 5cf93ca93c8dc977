"""A small service under attack: worker processes, jobs, and seeded blows at random moments."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from sqlalchemy import select

from grpo.config import TrainConfig
from grpo.models.serialization import digest_bytes, dump_policy
from grpo.training.job import train_policy
from service.broker import CeleryJobQueue
from service.database import Database
from service.jobs.models import CheckpointRow, JobRow
from service.jobs.records import Job
from service.jobs.repository import get_job, request_cancel
from service.jobs.states import JobState
from service.jobs.submission import submit_training_job
from service.settings import Settings
from tests.servers import LOOPBACK
from tests.workers.invariants import check_over
from tests.workers.processes import ApiProcess, WorkerProcess, wait_until

PATIENCE_SECONDS = 300.0
POSTS = 2
"""Submissions on their way when the API is killed."""


def make_job(seed: int = 1, *, segments: int = 6, **changes: Any) -> TrainConfig:
    """A CartPole job of some segments, each 8 iterations and a tenth of a second long.

    It learns so slowly that the pole keeps falling at once, which makes it quick to judge.
    """
    return TrainConfig.parse(
        {
            "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
            "grouping": {
                "kind": "threshold", "feature": 0, "edges": [0.0], "labels": ["left", "right"],
            },
            "algorithm": {
                "num_envs": 4, "num_steps": 128, "minibatch_size": 128, "hidden_sizes": [16],
                "learning_rate": 1e-5,
            },
            "budget": {"total_timesteps": segments * 8 * 512},
            "evaluation": {"episodes": 2},
            "seed": seed,
        }
        | changes
    )  # fmt: skip


def train_here(config: TrainConfig) -> str:
    """Return the digest of the policy that an undisturbed training gives."""
    return digest_bytes(dump_policy(train_policy(config, num_threads=1).policy))


class Chaos:
    """Workers and jobs on some settings, and ways to disturb them; nothing survives the block."""

    def __init__(self, settings: Settings, database: Database, *, workers: int, seed: int) -> None:
        self.settings, self.database = settings, database
        self.rng = np.random.default_rng(seed)
        self.queue = CeleryJobQueue(settings)
        self.jobs: dict[str, TrainConfig] = {}
        self.blows: Counter[str] = Counter()
        self._count = workers
        self.workers: list[WorkerProcess] = []
        self._api: ApiProcess | None = None
        self._unanswered: dict[str, TrainConfig] = {}
        self._orphans: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.queue.close)
        for _ in range(self._count):
            self.workers.append(self._stack.enter_context(WorkerProcess(self.settings)))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def submit(self, config: TrainConfig) -> str:
        job = submit_training_job(self.database, self.queue, config)
        self.jobs[job.id] = config
        return job.id

    def unfinished(self) -> list[Job]:
        over = [state for state in JobState if state.is_terminal]
        with self.database.reading() as session:
            left = set(session.scalars(select(JobRow.id).where(JobRow.state.not_in(over))))
        return [get_job(self.database, job_id) for job_id in self.jobs if job_id in left]

    def wait_all(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := self.unfinished():
            assert time.monotonic() < deadline, [(job.id, job.state, job.detail) for job in left]
            time.sleep(0.2)

    def _pick(self, items: list[Any]) -> Any:
        return items[int(self.rng.integers(len(items)))] if items else None

    def kill_training(self) -> bool:
        """Kill one training process; say whether there was one."""
        pid = self._pick([pid for worker in self.workers for pid in worker.trainings()])
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.blows["training"] += 1
        return True

    def kill_trained(self) -> bool:
        """Kill a training that has left a checkpoint, shortly after; say whether there was one."""
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            for pid in [pid for worker in self.workers for pid in worker.trainings()]:
                if self._has_checkpoint(pid):
                    time.sleep(self.rng.uniform(0.0, 0.2))
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    self.blows["trained"] += 1
                    return True
            time.sleep(0.05)
        return False

    def _has_checkpoint(self, pid: int) -> bool:
        """Whether the claim in a training's command line has written a checkpoint."""
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
            job_id, fence = (words[words.index(name) + 1] for name in ("--job", "--fence"))
            query = select(CheckpointRow.job_id).where(
                CheckpointRow.job_id == job_id, CheckpointRow.fence == int(fence)
            )
            with self.database.reading() as session:
                return session.scalar(query) is not None
        return False

    def kill_worker(self, *, with_trainings: bool) -> bool:
        """Kill one worker, and maybe what it supervises first; start another in its place."""
        number = int(self.rng.integers(len(self.workers)))
        worker = self.workers[number]
        if with_trainings:
            for pid in worker.trainings():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        worker.process.kill()
        worker.process.wait()
        self.workers[number] = self.replace_worker()
        self.blows["both" if with_trainings else "worker"] += 1
        return True

    def replace_worker(self) -> WorkerProcess:
        """Start another worker."""
        return self._stack.enter_context(WorkerProcess(self.settings))

    def kill_api(self, config: TrainConfig) -> bool:
        """Kill the API between commit and bell, while clients wait; say whether it was there.

        Its broker is a socket that takes the connection and never answers, so it stays in between
        for seconds. The clients of the time before ask again with their keys, and learn which
        jobs those were.
        """
        api = self.api()
        self.check_repeated_posts()
        known = set(self.jobs)
        keys = [f"blow-{self.blows['api']}-{n}" for n in range(POSTS)]
        with ThreadPoolExecutor(POSTS) as pool:
            answers = [pool.submit(self._post, config, key) for key in keys]
            wait_until(lambda: len(self._stored() - known) == POSTS)
            time.sleep(self.rng.uniform(0.0, 0.2))
            api.kill()
            api.start()
        new = self._stored() - known
        self.jobs |= dict.fromkeys(new, config)
        self._unanswered = dict.fromkeys(keys, config)
        self._orphans = new
        if any(answer.exception() is None for answer in answers):
            return False  # too late: a bell was given up already
        self.blows["api"] += 1
        return True

    def api(self) -> ApiProcess:
        """Return the API process; it starts when it is first asked for."""
        if self._api is None:
            deaf = self._stack.enter_context(socket.create_server((LOOPBACK, 0), backlog=512))
            broker = f"redis://{LOOPBACK}:{deaf.getsockname()[1]}/0"
            settings = self.settings.model_copy(update={"broker_url": broker})
            self._api = self._stack.enter_context(ApiProcess(settings))
        return self._api

    def check_repeated_posts(self) -> None:
        """Clients that got no answer repeat their requests and get the jobs that are there."""
        found = set()
        for key, config in self._unanswered.items():
            answer = self._post(config, key)
            assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (202, "true")
            found.add(answer.json()["id"])
        assert found == self._orphans
        self._unanswered, self._orphans = {}, set()

    def _post(self, config: TrainConfig, key: str) -> httpx.Response:
        body, headers = config.model_dump(mode="json"), {"Idempotency-Key": key}
        return self.api().client.post("/jobs", json=body, headers=headers)

    def _stored(self) -> set[str]:
        with self.database.reading() as session:
            return set(session.scalars(select(JobRow.id)))

    def ring_nonsense(self) -> bool:
        """Repeat bells in another order, also those of finished jobs, and one of no job at all."""
        known = list(self.jobs)
        for n in self.rng.permutation(len(known))[:4]:
            self.queue.ring(known[n])
        self.queue.ring("no such job")
        self.blows["bells"] += 1
        return True

    def empty_broker(self) -> bool:
        """Throw all messages of the broker's folder away."""
        for message in (self.settings.home / "broker" / "messages").glob("*"):
            message.unlink(missing_ok=True)
        self.blows["broker"] += 1
        return True

    def cancel_one(self) -> bool:
        """Ask for the end of one job under way; say whether that was in time."""
        job = self._pick(self.unfinished())
        if job is None:
            return False
        request_cancel(self.database, job.id)
        wait_until(lambda: get_job(self.database, job.id).state.is_terminal)
        over = check_over(self.database, job.id)
        self.blows["cancel"] += over.state is JobState.CANCELLED
        return over.state is JobState.CANCELLED

    def has_trained(self, job_id: str) -> bool:
        job = get_job(self.database, job_id)
        return job.state is JobState.RUNNING and job.progress.timesteps > 0
