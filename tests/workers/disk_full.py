"""A service on a disk of 24 MiB that fills up and is freed again; run in a mount namespace.

``python -m tests.workers.disk_full FOLDER`` mounts the disk, so it needs the right to mount:
``unshare --mount --map-root-user`` gives it. Prints each step, and fails loudly.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from service.client import GRPOClient
from service.database import Database
from service.jobs.repository import get_job
from service.jobs.resumption import resume_job
from service.jobs.states import JobState, StatusReason
from service.settings import Settings
from service.storage import RESERVE_BYTES
from tests.service.support import running_api
from tests.workers.chaos import Chaos, make_job
from tests.workers.invariants import check_over, check_sound

DISK = "24m"
CHATTY = {"num_envs": 2, "num_steps": 16, "minibatch_size": 16, "hidden_sizes": [8]}
"""Thousands of iterations a second, each of which leaves metrics."""


def wait_until(what: str, is_reached: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    sys.stdout.write(f"{what}\n")


def fill(path: Path) -> None:
    """Write until nothing fits any more."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        return
    finally:
        os.close(descriptor)


def storage(api: httpx.Client) -> str:
    state: str = api.get("/readyz").json()["checks"]["storage"]
    return state


def main(folder: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "grpo-test", str(folder)]
    subprocess.run(mount, check=True)
    settings = Settings(
        home=folder, port=0, heartbeat_seconds=0.2, lease_seconds=5.0, sweep_seconds=0.2,
        checkpoint_seconds=0.5, worker_concurrency=1,
    )  # fmt: skip
    reserve, balloon = folder / "grpo.sqlite-reserve", folder / "balloon"
    with running_api(settings) as api:
        database = Database(settings)
        client = GRPOClient(str(api.base_url))
        with Chaos(settings, database, workers=1, seed=1) as service:
            first = service.submit(make_job(segments=1))
            service.wait_all()
            policy = check_over(database, first).policy_id
            assert policy is not None
            assert storage(api) == "ok"
            assert reserve.stat().st_size == RESERVE_BYTES

            long = make_job(algorithm=CHATTY, budget={"total_timesteps": 100_000_000})
            job_id = service.submit(long)
            wait_until("it trains", lambda: service.has_trained(job_id))
            fill(balloon)
            assert storage(api).startswith("the disk of the records is full")
            wait_until("it fails", lambda: get_job(database, job_id).state.is_terminal)
            job = check_over(database, job_id)
            assert (job.state, job.status_reason) == (JobState.FAILED, StatusReason.STORAGE_FULL)
            assert not reserve.exists()

            assert api.get("/readyz").status_code == 503
            assert api.get("/healthz").status_code == 200
            body = {"observation": [0.0, 0.0, 0.1, 0.0]}
            assert api.post(f"/policy/{policy}/act", json=body).status_code == 200
            assert api.get(f"/jobs/{job_id}").json()["status"] == "failed"
            asked = api.post("/jobs", json=make_job(segments=1).model_dump(mode="json"))
            assert asked.status_code in {202, 503}, asked.text

            balloon.unlink()
            wait_until("space is back", lambda: storage(api) == "ok")
            wait_until("the reserve is back", reserve.exists)
            last = service.submit(make_job(segments=1))
            resume_job(database, service.queue, job_id)
            wait_until("it trains again", lambda: service.has_trained(job_id), 90.0)
            check_sound(database, job_id)
            client.cancel(job_id)
            service.wait_all()
            assert check_over(database, last).state is JobState.SUCCEEDED
            assert check_over(database, job_id).state is JobState.CANCELLED
        client.close()
        database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
