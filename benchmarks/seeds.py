"""What a batch of seeds costs against one: ``python -m benchmarks.seeds --rounds 5``.

CartPole-v1 by ``train_seeds``' own means: seeds in lock step, shared out to threads. One seed on
one thread, one seed on all threads and the batch take turns in one process; each turn is a few
iterations. Ratios are of median wall-clock times; the spread is that of the rounds. The goal is
that 8 seeds of a small network take at most 4 times as long as one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from grpo.kernel_cache import kernel_cache_folder  # noqa: E402

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

from benchmarks.peers.ours import make_config  # noqa: E402
from benchmarks.peers.task import Task  # noqa: E402
from grpo.config import TrainConfig  # noqa: E402
from grpo.training.job import count_threads  # noqa: E402
from grpo.training.lockstep import LockStep  # noqa: E402
from grpo.training.loop import TrainingLoop  # noqa: E402
from grpo.training.problems import make_problem  # noqa: E402
from grpo.training.seeds import share_out  # noqa: E402
from grpo.training.setup import make_loop  # noqa: E402

TASKS = {
    "64 x 32, minibatch 512": Task(num_envs=64, num_steps=32, minibatch_size=512),
    "16 x 128, minibatch 256": Task(),
}
WIDTHS = (16, 32, 64)
GOAL = 4.0
Turn = Callable[[int], None]
"""Runs so many iterations."""


def make_one(task: Task, width: int, seed: int, threads: int) -> TrainingLoop:
    """Return the loop of one seed, with two hidden layers of a width."""
    fields = make_config(task) | {"seed": seed}
    fields["algorithm"]["hidden_sizes"] = [width, width]
    config = TrainConfig.parse(fields)
    return make_loop(config, make_problem(config), threads)


def run_alone(loop: TrainingLoop) -> Turn:
    """Return what runs iterations of one seed."""

    def run(iterations: int) -> None:
        for _ in range(iterations):
            loop.run_iteration(0.5)

    return run


def run_batch(loops: Sequence[TrainingLoop], pool: ThreadPoolExecutor, threads: int) -> Turn:
    """Return what runs iterations of a batch, shared out to threads."""
    turn = Lock()
    batches = [LockStep(share, turn) for share in share_out(loops, threads)]

    def run(iterations: int) -> None:
        def run_share(batch: LockStep) -> None:
            for _ in range(iterations):
                batch.run_iteration(0.5)

        list(pool.map(run_share, batches))

    return run


def measure(
    task: Task, width: int, seeds: int, rounds: int, iterations: int, threads: int
) -> dict[str, list[float]]:
    """Return seconds per iteration of each arm, by round."""
    with ThreadPoolExecutor(threads) as pool:
        turns = {
            "one, 1 thread": run_alone(make_one(task, width, 1, 1)),
            "one, all threads": run_alone(make_one(task, width, 1, threads)),
            "batch": run_batch(
                [make_one(task, width, 1 + s, 1) for s in range(seeds)], pool, threads
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in turns}
        for turn in turns.values():
            turn(2)
        for _ in range(rounds):
            for name, turn in turns.items():
                began = time.perf_counter()
                turn(iterations)
                seconds[name].append((time.perf_counter() - began) / iterations)
    return seconds


def describe(seconds: dict[str, list[float]]) -> list[str]:
    """Return the cells of a row: milliseconds of each arm, ratios to one seed with their spread."""
    cells = [f"{1e3 * statistics.median(values):.1f}" for values in seconds.values()]
    for name in ("one, 1 thread", "one, all threads"):
        ratios = [b / a for a, b in zip(seconds[name], seconds["batch"], strict=True)]
        median = statistics.median(seconds["batch"]) / statistics.median(seconds[name])
        verdict = "met" if median <= GOAL else "missed"
        cells.append(f"{median:.2f} ({min(ratios):.2f}-{max(ratios):.2f}) {verdict}")
    return cells


def main() -> None:
    """Print a table, write JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=20, help="of a turn")
    parser.add_argument("--threads", type=int, default=count_threads())
    parser.add_argument("--json", type=Path, default=Path("seeds.json"))
    arguments = parser.parse_args()
    console, results = Console(width=max(Console().width, 140)), []
    title = (
        f"{arguments.seeds} seeds on {arguments.threads} threads, milliseconds an iteration, "
        f"load {os.getloadavg()[0]:.1f} at the start; goal: at most {GOAL:g} times one"
    )
    table = Table(title=title, title_justify="left")
    for heading in (
        "task",
        "layers",
        "one, 1 thread",
        "one, all",
        "batch",
        "to 1 thread",
        "to all",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    cases = [(name, width) for name in TASKS for width in WIDTHS]
    for name, width in track(cases, "seeds", console=console, transient=True):
        seconds = measure(
            TASKS[name],
            width,
            arguments.seeds,
            arguments.rounds,
            arguments.iterations,
            arguments.threads,
        )
        table.add_row(name, f"{width}-{width}", *describe(seconds))
        row: dict[str, Any] = {"task": name, "width": width, "seconds": seconds}
        results.append(row)
    console.print(table)
    arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
