"""A wide network on many hospitals, on the processor and on a GPU.

    python -m benchmarks.accelerator

512-512 networks on 16,384 rural hospitals, 8 steps an iteration, minibatch 16,384, 4 epochs. The
environment stays on the processor; its share of the time is shown. Where there is no CUDA device
the processor alone is measured, and the command says so. The goal is 10 times the speed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from grpo.kernel_cache import kernel_cache_folder  # noqa: E402

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

from benchmarks.breakdown import Clock  # noqa: E402
from grpo.config import TrainConfig  # noqa: E402
from grpo.training.job import count_threads, make_loop  # noqa: E402
from grpo.training.problems import make_problem  # noqa: E402

GOAL = 10.0


def make_job(width: int, num_envs: int) -> dict[str, Any]:
    """Return the job."""
    return {
        "environment": {"kind": "hospital", "scenario": "rural_hospital"},
        "grouping": {"kind": "attribute", "attributes": ["age_group"]},
        "algorithm": {
            "hidden_sizes": [width, width],
            "num_envs": num_envs,
            "num_steps": 8,
            "minibatch_size": num_envs,
            "start_rule": None,
            "target_kl": None,
        },
    }


def measure(config: TrainConfig, device: str, iterations: int) -> dict[str, Any]:
    """Return samples per second of wall clock, and the environment's share of the time."""
    loop = make_loop(config, make_problem(config), count_threads(), device=device)
    loop.run_iteration(0.0)
    clock = Clock(time.perf_counter)
    clock.time(loop.environment, "step", "environment")
    began = time.perf_counter()
    for iteration in range(iterations):
        loop.run_iteration(iteration / iterations)
    seconds = time.perf_counter() - began
    samples = iterations * config.algorithm.num_envs * config.algorithm.num_steps
    return {
        "device": device,
        "samples_per_second": samples / seconds,
        "environment_share": clock.seconds["environment"] / seconds,
    }


def main() -> None:
    """Print a table, write JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--environments", type=int, default=16_384)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("accelerator.json"))
    arguments = parser.parse_args()
    console, found = Console(), torch.cuda.is_available()
    config = TrainConfig.parse(make_job(arguments.width, arguments.environments))
    devices = ["cpu", "cuda"] if found else ["cpu"]
    rows = [measure(config, device, arguments.iterations) for device in devices]
    name = torch.cuda.get_device_name() if found else "no CUDA device here: not measured"
    table = Table(title=f"Two layers of {arguments.width}; GPU: {name}", title_justify="left")
    for heading in ("device", "samples/s", "environment's share"):
        table.add_column(heading, justify="right")
    for row in rows:
        speed, share = row["samples_per_second"], row["environment_share"]
        table.add_row(row["device"], f"{speed:,.0f}", f"{share:.0%}")
    console.print(table)
    if found:
        ratio = rows[1]["samples_per_second"] / rows[0]["samples_per_second"]
        verdict = "met" if ratio >= GOAL else "missed"
        console.print(f"cuda over cpu: {ratio:.1f}, goal {GOAL:g}: {verdict}")
    arguments.json.write_text(json.dumps({"gpu": name, "rows": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
