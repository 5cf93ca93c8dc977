"""Does the cost of submitting and listing grow with history?: ``python -m benchmarks.records``.

Fills the records with finished jobs and times POST /jobs, the lists and one job over HTTP, on
SQLite with a broker of files and on private Postgres and Redis.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import insert, text

from benchmarks.service import time_calls
from grpo.config import TrainConfig
from service.api.examples import CARTPOLE_JOB
from service.database import Database
from service.jobs.models import AttemptRow, EventRow, JobRow
from service.jobs.repository import new_id
from service.jobs.states import EndReason, EventKind, JobState
from service.observability import configure_logging
from service.settings import Settings
from tests.backends import Backend, Embedded, Scaled, make_template
from tests.servers import Postgres, Redis
from tests.service.support import running_api

CHUNK = 5_000
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


def calls_of(client: httpx.Client) -> dict[str, Any]:
    """Return what is timed, by name."""
    page = client.get("/jobs", params={"limit": 50}).raise_for_status().json()
    middle = page["data"][len(page["data"]) // 2]["id"]

    def get(path: str, **parameters: Any) -> Any:
        return lambda: client.get(path, params=parameters).raise_for_status()

    calls = {
        "POST /jobs": lambda: client.post("/jobs", json=CARTPOLE_JOB).raise_for_status(),
        "GET /jobs": get("/jobs", limit=50),
        "GET /jobs?status=failed": get("/jobs", limit=50, status="failed"),
        "GET /jobs?status=running": get("/jobs", limit=50, status="running"),
        "GET /jobs/{id}": get(f"/jobs/{middle}"),
        "GET /jobs/{id}/events": get(f"/jobs/{middle}/events"),
        "GET /policy": get("/policy", limit=50),
    }
    if page.get("next"):
        calls["GET /jobs?after="] = get("/jobs", limit=50, after=page["next"])
    return calls


def measure(backend: Backend, counts: list[int], repeats: int) -> dict[str, list[float]]:
    """Return the milliseconds of each call at each number of finished jobs.

    The quickest tenth: what the call costs when nothing else takes the core.
    """
    costs: dict[str, list[float]] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            values: dict[str, Any] = {"port": 0, "max_unfinished_jobs": 1_000_000}
            settings: Settings = backend.settings(Path(folder), **values)
            with running_api(settings) as client:
                database = Database(settings)
                insert_history(database, count)
                calls = calls_of(client)
                for name, call in calls.items():
                    time_calls(call, 5)
                    cost = float(np.percentile(time_calls(call, repeats), 10))
                    costs.setdefault(name, []).append(cost)
                database.close()
    return costs


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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=[200, 100_000])
    parser.add_argument("--repeats", type=int, default=40)
    arguments = parser.parse_args()
    configure_logging("error")
    few, many = arguments.counts
    for title, make in (("SQLite, files", embedded), ("Postgres, Redis", scaled)):
        print(f"{title:26}{few:>12,} jobs{many:>12,} jobs      ratio")
        with make() as backend:
            for name, costs in measure(backend, [few, many], arguments.repeats).items():
                figures = "".join(f"{value:14.2f} ms" for value in costs)
                ratio = costs[-1] / costs[0]
                print(f"{name:26}{figures}{ratio:11.2f}  {'ok' if ratio < 1.5 else 'GROWS'}")


if __name__ == "__main__":
    main()
