"""How close does training come to exact optima?: ``python -m benchmarks.exact``.

Every problem has a known fair optimum; 100 is the optimum and 0 the worst that any policy can do
(fruit tree: 0 is nothing). Controls must fail. A training that diverged counts as failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Small networks run fastest on one thread; this must stand before numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.exact_cases import Case, tabular_cases  # noqa: E402
from grpo.training.observer import TrainingDiverged  # noqa: E402


@dataclass(frozen=True)
class Outcome:
    """What the trainings of one case gave.

    Attributes:
        case: which.
        percents: by seed; None where a training diverged.
        seconds: of all trainings together, wall clock.
    """

    case: Case
    percents: tuple[float | None, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Say whether every training came out as expected."""
        return all(p is not None and self.case.holds(p) for p in self.percents)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "case": self.case.name,
            "control": self.case.control,
            "required_percent": self.case.required,
            "seeds": self.case.seeds,
            "percents": self.percents,
            "seconds": round(self.seconds, 2),
            "holds": self.holds,
        }


def run_case(case: Case) -> Outcome:
    """Train with every seed of the case; one that diverges is kept as such."""
    percents: list[float | None] = []
    began = time.perf_counter()
    for seed in case.seeds:
        try:
            percents.append(case.score(seed))
        except TrainingDiverged as error:
            print(f"{case.name}, seed {seed}: {error}", file=sys.stderr)
            percents.append(None)
    return Outcome(case, tuple(percents), time.perf_counter() - began)


def find_cases(only: str) -> tuple[Case, ...]:
    """Return the cases whose name holds a text; queues and the tree load more than the rest."""
    from benchmarks.exact_queues import queue_cases  # noqa: PLC0415 - loads the simulator
    from benchmarks.fruit_tree import fruit_cases  # noqa: PLC0415 - loads pygame

    every = (*tabular_cases(), *fruit_cases(), *queue_cases())
    return tuple(case for case in every if only.lower() in case.name.lower())


def make_table() -> Table:
    """Return an empty table."""
    table = Table(title="Percent of the exact optimum")
    table.add_column("problem")
    table.add_column("required", justify="right")
    table.add_column("worst seed", justify="right")
    table.add_column("by seed")
    table.add_column("seconds", justify="right")
    table.add_column("as expected")
    return table


def add_row(table: Table, outcome: Outcome) -> None:
    """Add a case's outcome."""
    case, known = outcome.case, [p for p in outcome.percents if p is not None]
    table.add_row(
        case.name,
        f"{'<' if case.control else '>='} {case.required:.0f}",
        f"{(max if case.control else min)(known):.2f}" if known else "diverged",
        "  ".join("diverged" if p is None else f"{p:.2f}" for p in outcome.percents),
        f"{outcome.seconds:.1f}",
        "yes" if outcome.holds else "NO",
    )


def main() -> int:
    """Run, print a table, write JSON beside it; the exit status says whether all held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="run the problems whose name holds this")
    parser.add_argument("--json", type=Path, default=Path("exact.json"), help="where numbers go")
    arguments = parser.parse_args()
    cases = find_cases(arguments.only)
    if not cases:
        parser.error(f"no problem's name holds {arguments.only!r}")
    table, outcomes = make_table(), []
    for case in cases:
        outcome = run_case(case)
        outcomes.append(outcome)
        add_row(table, outcome)
        print(f"{case.name}: {'as expected' if outcome.holds else 'NOT as expected'}", flush=True)
    Console(width=110).print(table)
    arguments.json.write_text(json.dumps([o.to_dict() for o in outcomes], indent=2))
    print(f"numbers in {arguments.json}")
    return 0 if all(outcome.holds for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
