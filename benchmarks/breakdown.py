"""Where an iteration's time goes, and how near the update is to the machine's arithmetic.

    python -m benchmarks.breakdown --timesteps 500000

The parts are timed from outside, by wrapping what the loop calls, in processor time of one thread,
which hardly depends on what else runs; what the timing itself takes is left out. The floor of the
update is the time that plain matrix products of the same shapes need here, at their best.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from grpo.kernel_cache import kernel_cache_folder  # noqa: E402

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

from benchmarks.peers.ours import make_config  # noqa: E402
from benchmarks.peers.task import HIDDEN, Task  # noqa: E402
from grpo.config import TrainConfig  # noqa: E402
from grpo.training import lane as lane_module  # noqa: E402
from grpo.training.job import make_loop  # noqa: E402
from grpo.training.loop import TrainingLoop  # noqa: E402
from grpo.training.problems import make_problem  # noqa: E402

TASKS = {
    "CartPole": Task(num_envs=64, num_steps=32, minibatch_size=512),
    "rural, w = 0": Task("rural", 256, 128, 4096, ent_coef=0.0),
    "rural, w = 0.5": Task(
        "rural", 256, 128, 4096, ent_coef=0.0, group_robustness_weight=0.5, num_groups=3
    ),
}
PARTS = ("environment", "inference", "advantages", "update")
PROBE_SECONDS = 0.3
PROBE_CALLS = 20_000
WARM_ITERATIONS = 2


class Clock:
    """Seconds and calls by part, of processor time unless another clock is given."""

    def __init__(self, read: Callable[[], float] = time.process_time) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._read = read

    def time(self, owner: Any, name: str, part: str) -> None:
        """Count the calls of a method under a part."""
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = self._read()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds[part] += self._read() - began
                self.calls[part] += 1

        setattr(owner, name, timed)

    def find_own_seconds(self) -> tuple[float, float]:
        """Return what timing a call takes, and how much of that it counts under the call's part.

        A reading of the processor's time asks the kernel and takes longer than small calls do.
        """
        clock, owner = Clock(self._read), SimpleNamespace(nothing=lambda: None)
        clock.time(owner, "nothing", "nothing")
        began = self._read()
        for _ in range(PROBE_CALLS):
            owner.nothing()
        return (self._read() - began) / PROBE_CALLS, clock.seconds["nothing"] / PROBE_CALLS


def measure(task: Task, timesteps: int) -> dict[str, Any]:
    """Train for about so many steps and return microseconds per sample by part."""
    config = TrainConfig.parse(make_config(task))
    loop = make_loop(config, make_problem(config), 1)
    for _ in range(WARM_ITERATIONS):
        loop.run_iteration(0.0)
    clock = Clock()
    clock.time(loop.environment, "step", "environment")
    for name in ("compute_logits", "compute_values"):
        clock.time(loop.brain.learner, name, "inference")
    for lane in loop.collector.lanes:
        clock.time(lane, "observe", "inference")
    clock.time(lane_module, "sample_actions", "inference")
    for name in ("_estimate_advantages", "_combine"):
        clock.time(loop, name, "advantages")
    clock.time(loop.brain.learner, "update", "update")
    iterations = max(1, round(timesteps / task.samples))
    began = time.process_time()
    for iteration in range(iterations):
        loop.run_iteration(iteration / iterations)
    seconds = time.process_time() - began
    own, counted = clock.find_own_seconds()
    seconds -= own * sum(clock.calls.values())
    samples = iterations * task.samples
    micro = {
        part: 1e6 * (clock.seconds[part] - counted * clock.calls[part]) / samples for part in PARTS
    }
    total = 1e6 * seconds / samples
    floor = update_floor(loop, task)
    return {
        "samples_per_second": samples / seconds,
        "microseconds": {**micro, "rest": total - sum(micro.values()), "total": total},
        "update_floor_microseconds": floor,
    }


def update_floor(loop: TrainingLoop, task: Task) -> float:
    """Return the least microseconds per sample that the update's matrix products need here.

    A layer of a x b costs 2 a b operations forward, 2 a b for its weights' gradient, and 2 a b for
    its inputs' gradient, which the first layer does without. Each is timed as a plain product.
    """
    shape = loop.brain.learner.shape
    seconds = 0.0
    for outputs in (shape.num_actions, shape.num_heads):
        sizes = (shape.observation_size, *HIDDEN, outputs)
        for layer, (a, b) in enumerate(pairwise(sizes)):
            rows = task.minibatch_size
            seconds += time_product((rows, a), (a, b))
            seconds += time_product((a, rows), (rows, b))
            seconds += time_product((rows, b), (b, a)) if layer else 0.0
    return 1e6 * task.update_epochs * seconds / task.minibatch_size


def time_product(left: tuple[int, int], right: tuple[int, int]) -> float:
    """Return the least seconds that a float32 product of two arrays took."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in (left, right))
    out = np.empty((left[0], right[1]), dtype=np.float32)
    best, end = np.inf, time.perf_counter() + PROBE_SECONDS / 10
    while time.perf_counter() < end:
        began = time.perf_counter()
        np.matmul(a, b, out=out)
        best = min(best, time.perf_counter() - began)
    return float(best)


def make_table(rows: Sequence[tuple[str, dict[str, Any]]]) -> Table:
    """Return the measurements as a table of microseconds per sample and shares."""
    table = Table(
        title="Microseconds of processor time per sample, one thread", title_justify="left"
    )
    table.add_column("task")
    for heading in (*PARTS, "rest", "total", "samples/s", "floor of update"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in rows:
        micro = row["microseconds"]
        cells = [
            f"{micro[part]:.2f} ({micro[part] / micro['total']:.0%})" for part in (*PARTS, "rest")
        ]
        floor = row["update_floor_microseconds"]
        table.add_row(
            name,
            *cells,
            f"{micro['total']:.2f}",
            f"{row['samples_per_second']:,.0f}",
            f"{floor:.2f} ({floor / micro['update']:.0%})",
        )
    return table


def main() -> None:
    """Print a table, and JSON where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--timesteps", type=int, default=500_000)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    rows = [(name, measure(task, arguments.timesteps)) for name, task in TASKS.items()]
    console = Console(width=max(Console().width, 140))
    console.print(make_table(rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(dict(rows), indent=2))


if __name__ == "__main__":
    main()
