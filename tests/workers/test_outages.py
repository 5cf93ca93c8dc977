"""Servers that go away in the middle: Postgres restarted, the broker down for some seconds."""

from __future__ import annotations

import time
from pathlib import Path

from service.database import Database
from service.jobs.repository import get_job
from service.jobs.states import JobState
from service.policies.repository import get_policy
from tests.backends import Scaled, make_template
from tests.servers import Postgres, Redis
from tests.service.job_records import CONFIG
from tests.service.support import running_api
from tests.workers.chaos import Chaos, make_job, train_here
from tests.workers.invariants import check_over
from tests.workers.test_crashes import wait_until

BROKER_DOWN_SECONDS = 3.0


def test_jobs_outlive_a_restart_of_postgres_and_a_broker_that_is_away(tmp_path: Path) -> None:
    config = make_job(segments=10)
    with Postgres() as postgres, Redis() as redis:
        make_template(postgres)
        settings = Scaled(postgres, redis).settings(
            tmp_path, port=0, heartbeat_seconds=0.2, lease_seconds=3.0, sweep_seconds=0.2,
            checkpoint_seconds=0.0, max_attempts=20,
        )  # fmt: skip
        database = Database(settings)
        with running_api(settings) as api, Chaos(settings, database, workers=1, seed=1) as service:
            job_id = service.submit(config)
            wait_until(lambda: service.has_trained(job_id))
            postgres.stop()
            time.sleep(0.5)
            assert api.get(f"/jobs/{job_id}").status_code == 503
            postgres.start()
            wait_until(lambda: api.get("/readyz").status_code == 200)

            redis.stop()
            down = time.monotonic()
            answer = api.post("/jobs", json=CONFIG.model_dump(mode="json"))
            assert answer.status_code == 202
            service.jobs[answer.json()["id"]] = CONFIG
            time.sleep(max(0.0, BROKER_DOWN_SECONDS - (time.monotonic() - down)))
            assert get_job(database, answer.json()["id"]).state is JobState.QUEUED
            redis.start()

            service.wait_all()
            for over in service.jobs:
                assert check_over(database, over).state is JobState.SUCCEEDED
            assert get_policy(database, job_id).sha256 == train_here(config)
        database.close()
