"""Does the cost of submitting and listing grow with history?: ``python -m benchmarks.records``.

Two services stand side by side, one with few finished jobs and one with many, and answer in turn:
so what else the machine does falls on both alike, and each pair of answers gives one ratio. On
SQLite with a broker of files, and on private Postgres and Redis. The few are enough to fill every
page that is asked for, so that both answers are of the same length.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import insert, text

from grpo.config import TrainConfig
from service.api.examples import CARTPOLE_JOB
from service.database import Database, migrate
from service.jobs.models import AttemptRow, EventRow, JobRow
from service.jobs.repository import new_id
from service.jobs.states import EndReason, EventKind, JobState
from service.observability import configure_logging
from service.settings import Settings
from tests.backends import Backend, Embedded, Scaled, make_template
from tests.servers import Postgres, Redis
from tests.workers.processes import ApiProcess, wait_until

Times = np.ndarray[Any, np.dtype[np.float64]]
CHUNK = 5_000
QUARTILES = [25, 50, 75]
STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


def insert_history(database: Database, count: int) -> None:
    """Insert ``count`` finished jobs, each with an attempt and three events, a second apart."""
    config = TrainConfig.parse(CARTPOLE_JOB).model_dump(mode="json")
    now = datetime.now(UTC) - timedelta(seconds=count)
    for first in range(0, count, CHUNK):
        jobs, attempts, events = [], [], []
        for n in range(first, min(first + CHUNK, count)):
            job_id, state, at = new_id(), STATES[n % 3], now + timedelta(seconds=n)
            jobs.append(
                {
                    "id": job_id,
                    "state": state,
                    "detail": "",
                    "config": config,
                    "created_at": at,
                    "started_at": at,
                    "finished_at": at,
                    "rung_at": at,
                    "fence": 1,
                    "attempt": 1,
                    "timesteps": 4_096,
                    "total_timesteps": 4_096,
                }
            )
            attempts.append(
                {
                    "job_id": job_id,
                    "n": 1,
                    "fence": 1,
                    "worker": "host:1",
                    "started_at": at,
                    "ended_at": at,
                    "end_reason": EndReason(state.value),
                    "detail": "",
                }
            )
            kinds = (EventKind.SUBMITTED, EventKind.STARTED, EventKind(state.value))
            states = (JobState.QUEUED, JobState.RUNNING, state)
            events += [
                {
                    "job_id": job_id,
                    "sequence": i + 1,
                    "at": at,
                    "kind": kind,
                    "state": s,
                    "data": {},
                }
                for i, (kind, s) in enumerate(zip(kinds, states, strict=True))
            ]
        with database.writing() as session:
            for row, values in ((JobRow, jobs), (AttemptRow, attempts), (EventRow, events)):
                session.execute(insert(row), values)
    with database.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()


def calls_of(client: httpx.Client) -> dict[str, Callable[[], httpx.Response]]:
    """Return what is timed, by name."""
    page = client.get("/jobs", params={"limit": 50}).raise_for_status().json()
    middle = page["data"][len(page["data"]) // 2]["id"]

    def get(path: str, **parameters: Any) -> Callable[[], httpx.Response]:
        return lambda: client.get(path, params=parameters).raise_for_status()

    return {
        "GET /healthz": get("/healthz"),
        "POST /jobs": lambda: client.post("/jobs", json=CARTPOLE_JOB).raise_for_status(),
        "GET /jobs": get("/jobs", limit=50),
        "GET /jobs?after=": get("/jobs", limit=50, after=page["next"]),
        "GET /jobs?status=failed": get("/jobs", limit=50, status="failed"),
        "GET /jobs?status=running": get("/jobs", limit=50, status="running"),
        "GET /jobs/{id}": get(f"/jobs/{middle}"),
        "GET /jobs/{id}/events": get(f"/jobs/{middle}/events"),
        "GET /policy": get("/policy", limit=50),
    }


def time_in_turn(calls: list[Callable[[], httpx.Response]], rounds: int) -> Times:
    """Return [rounds, len(calls)] milliseconds; who comes first changes from round to round."""
    times = np.empty((rounds, len(calls)))
    for n in range(rounds):
        for i in range(len(calls)) if n % 2 == 0 else reversed(range(len(calls))):
            started = time.perf_counter()
            calls[i]()
            times[n, i] = 1000 * (time.perf_counter() - started)
    return times


@contextmanager
def filled(settings: Settings, count: int) -> Iterator[httpx.Client]:
    """A service, an API process of its own, with ``count`` finished jobs."""
    migrate(settings)
    database = Database(settings)
    insert_history(database, count)
    database.close()
    with ApiProcess(settings) as api:
        wait_until(lambda: api.client.get("/readyz").status_code == 200)
        yield api.client


def measure(backend: Backend, counts: list[int], rounds: int) -> dict[str, Times]:
    """Return the milliseconds of each call in each round on each of the services."""
    values: dict[str, Any] = {"max_unfinished_jobs": 1_000_000, "log_level": "error"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clients = [
            stack.enter_context(filled(backend.settings(folder / str(n), **values), n))
            for n in counts
        ]
        by_service = [calls_of(client) for client in clients]
        found = {}
        for name in by_service[0]:
            calls = [calls[name] for calls in by_service]
            time_in_turn(calls, 10)
            found[name] = time_in_turn(calls, rounds)
        return found


@contextmanager
def scaled() -> Iterator[Backend]:
    """Private Postgres and Redis."""
    with Postgres() as postgres, Redis() as redis:
        make_template(postgres)
        yield Scaled(postgres, redis)


@contextmanager
def embedded() -> Iterator[Backend]:
    """Files in a folder."""
    yield Embedded()


def main() -> None:
    """Measure and print: medians, and the median of the ratios of the rounds with quartiles.

    A cost grows where three rounds of four say so. ``GET /policy`` is the control: it reads no job.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=[200, 100_000])
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    configure_logging("error")
    few, many = arguments.counts
    print(f"{arguments.rounds} rounds, load average {os.getloadavg()[0]:.1f}")
    for title, make in (("SQLite, files", embedded), ("Postgres, Redis", scaled)):
        print(f"{title:26}{few:>9,} jobs{many:>9,} jobs   ratio (quartiles)")
        with make() as backend:
            for name, times in measure(backend, [few, many], arguments.rounds).items():
                medians = "".join(f"{value:11.2f} ms" for value in np.median(times, axis=0))
                low, ratio, high = np.percentile(times[:, 1] / times[:, 0], QUARTILES)
                verdict = "ok" if low < 1.25 else "GROWS"
                print(f"{name:26}{medians}{ratio:8.2f} ({low:.2f} to {high:.2f})  {verdict}")


if __name__ == "__main__":
    main()
