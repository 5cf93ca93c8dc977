"""What group robustness gains and costs, over several training seeds, with intervals.

    python -m benchmarks.fairness --scenario rural_hospital --seeds 10 --timesteps 1000000

Trains every seed with each of two weights, judges all policies on the same episodes and prints
the claims that the trainings support: two-way bootstrap over seeds and episodes, exact sign-flip
tests, Holm over all claims, the price for each group. Trainings run side by side, one thread each.
``--config FILE`` takes any training job as JSON instead of a hospital. A training that diverges is
named and holds the claims back. Reports are kept in a folder; ``--reuse`` takes those of exactly
the same job and version from there instead of training again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from grpo.kernel_cache import kernel_cache_folder  # noqa: E402

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

from grpo.config import TrainConfig  # noqa: E402
from grpo.fairness.report import FairnessReport  # noqa: E402
from grpo.fairness.seed_report import FailedRun, SeedComparison  # noqa: E402
from grpo.fairness.seed_statements import claim_table  # noqa: E402
from grpo.fairness.seeds import compare_seeds  # noqa: E402
from grpo.training.job import TrainingDiverged, train_policy  # noqa: E402


class Run(NamedTuple):
    """One training: its weight, its job, and where its report is kept."""

    weight: float
    config: TrainConfig
    path: Path


class Result(NamedTuple):
    """What became of a training: a report, or the reason why there is none."""

    run: Run
    report: FairnessReport | None
    reason: str


def make_runs(
    base: dict[str, Any], weights: Sequence[float], seeds: Sequence[int], folder: Path
) -> list[Run]:
    """List all trainings: every seed with every weight, everything else the same."""
    runs = []
    for seed in seeds:
        for weight in weights:
            algorithm = base.get("algorithm", {}) | {"group_robustness_weight": weight}
            config = TrainConfig.parse(base | {"algorithm": algorithm, "seed": seed})
            job = config.model_dump_json() + version("grpo")
            digest = hashlib.sha256(job.encode()).hexdigest()[:16]
            runs.append(Run(weight, config, folder / f"w{weight:g}-seed{seed}-{digest}.json"))
    return runs


def train(run: Run) -> Result:
    """Train and judge one policy; its report appears in the folder whole or not at all."""
    try:
        report = train_policy(run.config, num_threads=1).report
    except TrainingDiverged as error:
        return Result(run, None, str(error))
    aside = run.path.with_suffix(".aside")
    aside.write_text(report.model_dump_json())
    aside.replace(run.path)
    return Result(run, report, "")


def train_all(runs: Sequence[Run], processes: int) -> Iterator[Result]:
    """Train in fresh interpreters side by side, or one by one in this one for 0 processes."""
    if processes == 0:
        yield from map(train, runs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(train, run) for run in runs]):
            yield done.result()


def compare(results: Sequence[Result], weights: Sequence[float], margin: float) -> SeedComparison:
    """Pair the trainings by seed; a seed without both policies counts as failed, not as absent.

    Raises:
        InputError: fewer than 2 seeds gave two policies.
    """
    arms: list[dict[int, FairnessReport]] = [
        {r.run.config.seed: r.report for r in results if r.run.weight == weight and r.report}
        for weight in weights
    ]
    paired = sorted(arms[0].keys() & arms[1].keys())
    return compare_seeds(
        [arms[1][seed] for seed in paired],
        [arms[0][seed] for seed in paired],
        label=f"weight {weights[1]:g}",
        against_label=f"weight {weights[0]:g}",
        margin=margin,
        failed=[
            FailedRun(arm=f"weight {r.run.weight:g}", seed=r.run.config.seed, reason=r.reason)
            for r in results
            if r.report is None
        ],
    )


def make_base(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the job that all trainings share."""
    base: dict[str, Any] = {
        "environment": {"kind": "hospital", "scenario": arguments.scenario},
        "grouping": {"kind": "attribute", "attributes": ["age_group"]},
    }
    if arguments.config is not None:
        base = json.loads(arguments.config.read_text())
    changes = {
        "budget": {"total_timesteps": arguments.timesteps},
        "evaluation": {"episodes": arguments.episodes},
    }
    for section, change in changes.items():
        base[section] = base.get(section, {}) | {k: v for k, v in change.items() if v is not None}
    return base


def parse_arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", default="rural_hospital")
    parser.add_argument("--config", type=Path, help="a training job as JSON, of any environment")
    parser.add_argument("--seeds", type=int, default=10, help="training seeds 1 to N, 2 to 20")
    parser.add_argument("--weights", type=float, nargs=2, default=[0.0, 0.5])
    parser.add_argument("--timesteps", type=int, help="decisions of each training")
    parser.add_argument("--episodes", type=int, default=128, help="evaluation episodes")
    parser.add_argument("--margin", type=float, default=0.05, help="tolerable loss, a share")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="0: in this one")
    parser.add_argument("--folder", type=Path, default=Path(".grpo/benchmarks/fairness"))
    parser.add_argument("--reuse", action="store_true", help="take reports from the folder")
    parser.add_argument("--json", type=Path, help="file for the comparison")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> SeedComparison:
    """Train, compare and print."""
    arguments = parse_arguments(given)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    seeds = range(1, arguments.seeds + 1)
    runs = make_runs(make_base(arguments), arguments.weights, seeds, arguments.folder)
    print(f"python -m benchmarks.fairness {shlex.join(given)}")
    results, started = [], time.monotonic()
    for run in list(runs) if arguments.reuse else []:
        if run.path.exists():
            report = FairnessReport.model_validate_json(run.path.read_text())
            results.append(Result(run, report, ""))
            runs.remove(run)
    for done, result in enumerate(train_all(runs, arguments.processes), start=1):
        results.append(result)
        print(
            f"{done} of {len(runs)}: weight {result.run.weight:g}, seed {result.run.config.seed}"
            f"{': failed, ' + result.reason if result.reason else ''}"
            f" ({time.monotonic() - started:.0f} s)",
            flush=True,
        )
    found = compare(results, arguments.weights, arguments.margin)
    print("", *claim_table(found), "", *(f"- {said}" for said in found.statements), sep="\n")
    if arguments.json is not None:
        arguments.json.write_text(found.model_dump_json(indent=2))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
