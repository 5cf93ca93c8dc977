"""How training time and memory grow: environments, groups, patient classes, network width.

    python -m benchmarks.growth --json growth.json

Every point trains for a few iterations after one that warms up, in processor time of one thread,
which hardly depends on what else runs. The slope is that of the logarithm of the time per sample
against the logarithm of the size: 0 means that a sample costs the same.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from grpo.kernel_cache import kernel_cache_folder  # noqa: E402

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

from grpo.config import TrainConfig  # noqa: E402
from grpo.environments.hospital.model.scenario_model import Exponential  # noqa: E402
from grpo.environments.hospital.queue_scenarios import make_queue_scenario  # noqa: E402
from grpo.training.job import make_loop  # noqa: E402
from grpo.training.problems import make_problem  # noqa: E402
from grpo.training.rollout import Rollout  # noqa: E402

SAMPLES = 2**17
"""Samples of one iteration: the more environments, the fewer steps."""
MOST_STEPS = 2048
ATTRIBUTE_SIZE = 32
MOST_ACUITIES = 16
UTILISATION = 0.9

SIZES = {
    "environments": (16, 64, 256, 1024, 4096, 16_384),
    "groups": (1, 2, 4, 8, 16, 32, 64),
    "classes": (5, 10, 20, 50, 100, 200),
    "width": (32, 64, 128, 256, 512),
}


def base_job(**algorithm: Any) -> dict[str, Any]:
    """Return a job on the rural hospital."""
    return {
        "environment": {"kind": "hospital", "scenario": "rural_hospital"},
        "grouping": {"kind": "attribute", "attributes": ["age_group"]},
        "algorithm": {"start_rule": None, "target_kl": None, **algorithm},
    }


def job_of_environments(size: int) -> dict[str, Any]:
    """Return a job on so many hospitals."""
    return base_job(num_envs=size, num_steps=min(SAMPLES // size, MOST_STEPS))


def job_of_groups(size: int) -> dict[str, Any]:
    """Return a job on a queue of 5 classes with so many groups, on two attributes if needed."""
    sides = max(size // ATTRIBUTE_SIZE, 1)
    job = _queue_job(5, size // sides)
    job["environment"]["scenario"]["attributes"] += [_even("side", sides)]
    job["grouping"]["attributes"] = ["group", "side"]
    return job


def job_of_classes(size: int) -> dict[str, Any]:
    """Return a job on a queue of so many classes: acuities times the values of one attribute."""
    acuities = max(k for k in range(1, MOST_ACUITIES + 1) if size % k == 0)
    job = _queue_job(acuities, size // acuities)
    job["environment"]["group_aware"] = True
    return job


def _queue_job(acuities: int, values: int) -> dict[str, Any]:
    """Return a job on 16 servers, used to 90%, with one class per acuity."""
    servers = 16
    rate = UTILISATION * servers / (acuities * values)
    scenario = make_queue_scenario(
        rates={f"group_{v}": [rate] * acuities for v in range(values)},
        treatments=[Exponential(mean_hours=1.0)] * acuities,
        pools={"server": servers},
        costs_per_hour=[float(1 + k) for k in range(acuities)],
        lump_hours=100.0,
        waiting_room=500,
    )
    job = base_job()
    job["environment"]["scenario"] = scenario.model_dump(mode="json")
    job["grouping"]["attributes"] = ["group"]
    return job


def job_of_width(size: int) -> dict[str, Any]:
    """Return a job with two hidden layers of so many units."""
    return base_job(hidden_sizes=[size, size])


JOBS: dict[str, Callable[[int], dict[str, Any]]] = {
    "environments": job_of_environments,
    "groups": job_of_groups,
    "classes": job_of_classes,
    "width": job_of_width,
}


def _even(name: str, values: int) -> dict[str, Any]:
    """Return an attribute with equal shares."""
    share = {"value": [1 / values] * values, "basis": "assumed", "source": "benchmark"}
    return {"name": name, "values": [f"{name}_{v}" for v in range(values)], "share": share}


def measure(job: dict[str, Any], iterations: int) -> dict[str, float]:
    """Return microseconds of a processor and bytes of the rollout, both per sample."""
    config = TrainConfig.parse(job)
    loop = make_loop(config, make_problem(config), 1)
    loop.run_iteration(0.0)
    began = time.process_time()
    for iteration in range(iterations):
        loop.run_iteration(iteration / iterations)
    samples = iterations * config.algorithm.num_envs * config.algorithm.num_steps
    return {
        "microseconds": 1e6 * (time.process_time() - began) / samples,
        "bytes_per_sample": rollout_bytes(loop.collector.rollout) / (samples / iterations),
    }


def rollout_bytes(rollout: Rollout) -> int:
    """Return the bytes of all arrays of a rollout."""
    return sum(a.nbytes for a in vars(rollout).values() if isinstance(a, np.ndarray))


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Return the least-squares slope of log values against log sizes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def main() -> None:
    """Print a table per quantity, and JSON where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    console, results = Console(), {}
    for name in arguments.only:
        sizes = SIZES[name]
        jobs = [JOBS[name](size) for size in sizes]
        rows = [
            measure(job, arguments.iterations)
            for job in track(jobs, description=name, console=console, transient=True)
        ]
        times = [row["microseconds"] for row in rows]
        table = Table(title=f"{name}: slope {slope(sizes, times):+.2f}", title_justify="left")
        for heading in (name, "CPU us per sample", "rollout bytes per sample"):
            table.add_column(heading, justify="right")
        for size, row in zip(sizes, rows, strict=True):
            table.add_row(
                f"{size:,}", f"{row['microseconds']:.2f}", f"{row['bytes_per_sample']:.0f}"
            )
        console.print(table)
        results[name] = {"sizes": sizes, "slope": slope(sizes, times), "rows": rows}
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
