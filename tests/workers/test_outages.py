"""Servers that go away in the middle: no broker for half a minute, and no Postgres in its midst."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from service.database import Database
from service.jobs.repository import get_job
from service.jobs.states import JobState
from service.policies.repository import get_policy
from tests.backends import Scaled, make_template
from tests.servers import Postgres, Redis
from tests.service.job_records import CONFIG
from tests.workers.chaos import Chaos, make_job, train_here
from tests.workers.invariants import check_over
from tests.workers.processes import ApiProcess, wait_until

BROKER_DOWN_SECONDS = 30.0


def post(api: httpx.Client) -> str:
    """Submit a small job; return its id."""
    answer = api.post("/jobs", json=CONFIG.model_dump(mode="json"))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def restart_postgres(postgres: Postgres, api: httpx.Client, job_id: str) -> None:
    """Take Postgres away for a moment; the API says so, and is well again by itself."""
    postgres.stop()
    time.sleep(0.5)
    assert api.get(f"/jobs/{job_id}").status_code == 503
    postgres.start()
    wait_until(lambda: api.get("/readyz").status_code == 200)


def test_a_broker_away_for_30_seconds_and_a_restart_of_postgres_lose_no_job(tmp_path: Path) -> None:
    config = make_job(segments=60)
    with Postgres() as postgres, Redis() as redis:
        make_template(postgres)
        settings = Scaled(postgres, redis).settings(
            tmp_path, heartbeat_seconds=0.2, lease_seconds=3.0, sweep_seconds=0.2,
            checkpoint_seconds=0.0, max_attempts=20,
        )  # fmt: skip
        database = Database(settings)
        with (
            ApiProcess(settings) as process,
            Chaos(settings, database, workers=1, seed=1) as service,
        ):
            api = process.client
            wait_until(lambda: api.get("/readyz").status_code == 200)
            running = service.submit(config)
            wait_until(lambda: service.has_trained(running))

            redis.stop()
            down = time.monotonic()
            waiting = [post(api)]
            restart_postgres(postgres, api, running)
            waiting.append(post(api))
            time.sleep(max(0.0, down + BROKER_DOWN_SECONDS - time.monotonic()))
            waiting.append(post(api))
            states = [get_job(database, job_id).state for job_id in waiting]
            assert states == [JobState.QUEUED] * 3
            redis.start()

            service.jobs |= dict.fromkeys(waiting, CONFIG)
            service.wait_all()
            for job_id in service.jobs:
                assert check_over(database, job_id).state is JobState.SUCCEEDED
            assert get_policy(database, running).sha256 == train_here(config)
        database.close()
