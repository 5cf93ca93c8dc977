"""How quick the service is, measured over HTTP: ``python -m benchmarks.service``.

Prints the latency of POST /jobs, the time until a job runs and until its first metric is there, and
the latency of act for 20 waiting patients. The first job of a new home finds an empty kernel cache
and waits for the compiler (``grpo warm`` would have run it before); the later ones are warm.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.api.examples import HOSPITAL_JOB, SNAPSHOT
from service.client import GRPOClient
from service.embedded import EmbeddedService
from service.observability import configure_logging
from service.settings import Settings

ENDLESS: dict[str, Any] = HOSPITAL_JOB | {"budget": {"total_timesteps": 100_000_000}}
SHORT: dict[str, Any] = HOSPITAL_JOB | {
    "budget": {"total_timesteps": 100_000},
    "evaluation": {"episodes": 2, "horizon_hours": 24.0},
}
LIMITS = {
    "POST /jobs": 50.0,
    "time to running": 1000.0,
    "first metric, cold": 25_000.0,
    "time to first metric": 5000.0,
    "act, 20 patients": 3.0,
}


def time_calls(call: Callable[[], Any], count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the milliseconds that each of ``count`` calls took."""
    times = np.empty(count)
    for n in range(count):
        started = time.perf_counter()
        call()
        times[n] = 1000 * (time.perf_counter() - started)
    return times


def report(name: str, times: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Print median and 99th percentile against the limit on the median."""
    median, high = np.percentile(times, [50, 99])
    verdict = "ok" if median < LIMITS[name] else "TOO SLOW"
    print(
        f"{name:22} p50 {median:9.2f} ms   p99 {high:9.2f} ms   n {len(times):5}"
        f"   limit {LIMITS[name]:6.0f} ms   {verdict}"
    )


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 120.0) -> None:
    """Poll every 10 ms."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the service did not get there")
        time.sleep(0.01)


def make_waiting_room(num_patients: int) -> dict[str, Any]:
    """Return the documented example of a waiting room with more patients like its own."""
    known = SNAPSHOT["patients"]
    patients = [known[n % len(known)] | {"id": f"p{n:05}"} for n in range(num_patients)]
    return SNAPSHOT | {"patients": patients}


def measure_start(client: GRPOClient) -> tuple[float, float]:
    """Return the milliseconds from submission to running, and to the first metric."""
    started = time.perf_counter()
    job_id = client.submit(ENDLESS).id
    wait_until(lambda: client.job(job_id).status == "running")
    running = 1000 * (time.perf_counter() - started)
    wait_until(lambda: bool(client.metrics(job_id)))
    metric = 1000 * (time.perf_counter() - started)
    client.cancel(job_id)
    client.wait(job_id, interval_seconds=0.05)
    return running, metric


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--acts", type=int, default=2000)
    arguments = parser.parse_args()
    os.environ.pop("NUMBA_CACHE_DIR", None)
    configure_logging("error")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), port=0, log_level="warning")
        with (
            EmbeddedService(settings, logs=Path(folder) / "logs") as service,
            service.client() as client,
        ):
            service.wait_ready()
            cold = np.array([measure_start(client)])
            policy = client.wait(client.submit(SHORT).id, timeout_seconds=300)
            if policy.status != "succeeded":
                raise RuntimeError(f"{policy.status}: {policy.reason} {policy.detail}")
            starts = np.array([measure_start(client) for _ in range(arguments.starts)])
            room = make_waiting_room(20)
            acts = time_calls(lambda: client.act(policy.id, room), arguments.acts)
            blocker = [client.submit(ENDLESS) for _ in range(settings.worker_concurrency)]
            posts = time_calls(lambda: client.submit(SHORT), 50)
            for job in [*client.jobs(limit=1000).data, *blocker]:
                client.cancel(job.id)
    report("POST /jobs", posts)
    report("time to running", starts[:, 0])
    report("first metric, cold", cold[:, 1])
    report("time to first metric", starts[:, 1])
    report("act, 20 patients", acts)


if __name__ == "__main__":
    main()
