"""How fast training runs end to end on the rural hospital, and where the time goes.

    python -m benchmarks.training --timesteps 2000000

One training as a job runs it (256 hospitals x 128 steps, 64-64 actor and critic, minibatch 4,096,
4 epochs), after one iteration that compiles and warms up. Prints environment steps per second of
wall clock and per second of processor time: the latter does not depend on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from grpo.environments.hospital.physics.kernel_cache import kernel_cache_folder  # noqa: E402

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

from grpo.config import TrainConfig  # noqa: E402
from grpo.training.job import count_threads, make_loop  # noqa: E402
from grpo.training.problems import make_problem  # noqa: E402


def measure(scenario: str, weight: float, timesteps: int, num_threads: int) -> dict[str, Any]:
    """Train and return the rates."""
    config = TrainConfig.parse(
        {
            "environment": {"kind": "hospital", "scenario": scenario},
            "grouping": {"kind": "attribute", "attributes": ["age_group"]},
            "algorithm": {"group_robustness_weight": weight},
            "budget": {"total_timesteps": timesteps},
        }
    )
    loop = make_loop(config, make_problem(config), num_threads)
    loop.run_iteration(0.0)
    algorithm = config.algorithm
    per_iteration = algorithm.num_envs * algorithm.num_steps
    iterations = max(1, round(timesteps / per_iteration))
    wall, processor = time.perf_counter(), time.process_time()
    for iteration in range(iterations):
        metrics = loop.run_iteration(iteration / iterations)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    steps = iterations * per_iteration
    return {
        "scenario": scenario,
        "group_robustness_weight": weight,
        "threads": num_threads,
        "steps": steps,
        "steps_per_second": steps / wall,
        "steps_per_processor_second": steps / processor,
        "share_collecting": loop.seconds_collecting / loop.seconds_total,
        "share_updating": loop.seconds_updating / loop.seconds_total,
        "mean_return": metrics.mean_return,
    }


def main() -> None:
    """Print a table, and JSON where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--timesteps", type=int, default=2_000_000)
    parser.add_argument("--scenario", default="rural_hospital")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, count_threads()])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("scenario          w     threads  steps/s  steps/CPU s  collecting  updating")
    rows = []
    for weight in arguments.weights:
        for num_threads in sorted(set(arguments.threads)):
            row = measure(arguments.scenario, weight, arguments.timesteps, num_threads)
            rows.append(row)
            print(
                f"{row['scenario']:16}  {weight:<4}  {num_threads:7}"
                f"  {row['steps_per_second']:7,.0f}  {row['steps_per_processor_second']:11,.0f}"
                f"  {row['share_collecting']:10.0%}  {row['share_updating']:8.0%}",
                flush=True,
            )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
