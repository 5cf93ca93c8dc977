"""What several trainings at once cost each other: K processes on K cores against one alone.

    python -m benchmarks.parallel --rounds 5

One alone and K together take turns. A training on one thread should not notice the others, as long
as there is a core for each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.peers.contest import Arm, run_arm
from benchmarks.peers.task import Task

TASKS = {
    "CartPole": Task(num_envs=64, num_steps=32, minibatch_size=512, timesteps=600_000),
    "rural, w = 0.5": Task(
        "rural",
        256,
        128,
        4096,
        ent_coef=0.0,
        timesteps=600_000,
        group_robustness_weight=0.5,
        num_groups=3,
    ),
}


def run_together(arm: Arm, count: int) -> list[float]:
    """Return the samples per second of each of so many trainings that run at the same time."""
    with ThreadPoolExecutor(count) as pool:
        runs = pool.map(run_arm, [arm] * count)
        return [float(run["steps_per_second"]) for run in runs]


def main() -> None:
    """Print a table, and JSON where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    console = Console()
    count = arguments.count
    table = Table(title=f"{count} trainings at once, load {os.getloadavg()[0]:.1f} at the start")
    for heading in ("task", "alone, samples/s", "each of them, samples/s", "loss"):
        table.add_column(heading, justify="right")
    results = {}
    for name, task in TASKS.items():
        arm = Arm(name, "grpo", task)
        alone, together = [], []
        for _ in track(range(arguments.rounds), name, console=console, transient=True):
            alone += run_together(arm, 1)
            together += run_together(arm, count)
        one, each = statistics.median(alone), statistics.median(together)
        table.add_row(name, f"{one:,.0f}", f"{each:,.0f}", f"{1 - each / one:.0%}")
        results[name] = {"alone": alone, "together": together}
    console.print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
