"""Does starting from a rule save samples?: ``python -m benchmarks.starts``.

The same queues with known optima, trained from nothing and from first come first served, with more
and more decisions: 100 is the optimum, 0 is FCFS, below 0 is worse than that.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.exact_cases import SEEDS  # noqa: E402
from benchmarks.exact_queues import queues, score_queue  # noqa: E402
from benchmarks.queue_problem import Queue  # noqa: E402

STEPS = (100_000, 400_000)
STARTS: dict[str, str | None] = {"cold": None, "from FCFS": "fcfs"}


def measure(queue: Queue, start: str, steps: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Train with every seed; return the percentages and the mean seconds of a training."""
    shorter = replace(queue, steps=steps, judged_hours=2_000.0)
    began = time.perf_counter()
    percents = [score_queue(shorter, seed, start_rule=STARTS[start]) for seed in seeds]
    seconds = (time.perf_counter() - began) / len(seeds)
    return {
        "queue": queue.name,
        "start": start,
        "decisions": steps,
        "percents": percents,
        "seconds_per_seed": round(seconds, 1),
    }


def main() -> None:
    """Print a table, and write JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--only", default="", help="queues whose name holds this")
    parser.add_argument("--json", type=Path, default=Path("starts.json"))
    arguments = parser.parse_args()
    table = Table(title="Percent of the way from FCFS to the optimum, by seed")
    for name in ("queue", "start", "decisions", "seconds, with judging", "by seed"):
        table.add_column(name, justify="left" if name in ("queue", "start") else "right")
    rows = []
    for queue in queues():
        if arguments.only not in queue.name:
            continue
        for start in STARTS:
            for steps in arguments.steps:
                row = measure(queue, start, steps, tuple(arguments.seeds))
                rows.append(row)
                shown = "  ".join(f"{percent:.1f}" for percent in row["percents"])
                table.add_row(queue.name, start, f"{steps:,}", f"{row['seconds_per_seed']}", shown)
                print(f"{queue.name}, {start}, {steps:,} decisions: {shown}", flush=True)
    Console(width=110).print(table)
    arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
