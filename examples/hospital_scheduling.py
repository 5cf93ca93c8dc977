"""Train a group-robust policy for every built-in hospital, in parallel, and judge it by rules.

Run it as ``python examples/hospital_scheduling.py``. It prints what each policy, FCFS and strict
acuity did to the same patients, by age group, and draws one picture.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# Small networks run fastest on one thread; this must stand before numpy is imported, and the
# processes that train inherit it.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from rich.console import Console  # noqa: E402

from grpo.config import TrainConfig  # noqa: E402
from grpo.environments.hospital.scenario import list_scenarios  # noqa: E402
from grpo.errors import InputError  # noqa: E402
from grpo.fairness.plots import plot_reports  # noqa: E402
from grpo.fairness.report import FairnessReport  # noqa: E402
from grpo.kernel_cache import kernel_cache_folder  # noqa: E402
from grpo.training.observer import IterationMetrics, SilentObserver  # noqa: E402
from service.rendering import print_report  # noqa: E402

WIDTH = 120


class ProgressLines(SilentObserver):
    """Prints a line for every tenth of the training."""

    def __init__(self, scenario: str, total_timesteps: int) -> None:
        self.scenario, self.total, self.tenths = scenario, total_timesteps, 0

    def on_iteration(self, metrics: IterationMetrics) -> None:
        """Print the line when the next tenth is reached."""
        tenths = min(10 * metrics.timesteps // self.total, 10)
        if tenths > self.tenths:
            self.tenths = tenths
            print(
                f"{self.scenario}: {10 * tenths}%, {metrics.steps_per_second:,.0f} steps/s, "
                f"cost per patient {-metrics.mean_return:.2f}, "
                f"worst group {-metrics.worst_group_return:.2f}",
                flush=True,
            )


def train_scenario(scenario: str, config: TrainConfig) -> str:
    """Train and judge one policy in a process of its own; returns the report as JSON."""
    # Only here: the parent process needs no compiled kernels.
    from grpo.training.job import train_policy  # noqa: PLC0415

    observer = ProgressLines(scenario, config.budget.total_timesteps)
    report = train_policy(config, observer, num_threads=1).report
    if report is None:
        raise RuntimeError("the training left no report")
    return report.model_dump_json()


def train_all(configs: dict[str, TrainConfig]) -> dict[str, FairnessReport]:
    """Train every scenario at once, as many as there are processors; in the order given."""
    spawn = multiprocessing.get_context("spawn")
    workers = min(len(configs), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        reports = pool.map(train_scenario, configs.keys(), configs.values())
        return {
            scenario: FairnessReport.model_validate_json(report)
            for scenario, report in zip(configs, reports, strict=True)
        }


def make_config(scenario: str, arguments: argparse.Namespace) -> TrainConfig:
    """Write one scenario's job.

    Raises:
        InputError: an argument is out of range.
    """
    return TrainConfig.parse(
        {
            "environment": {"kind": "hospital", "scenario": scenario},
            "grouping": {"kind": "attribute", "attributes": ["age_group"]},
            "algorithm": {"group_robustness_weight": arguments.weight},
            "budget": {"total_timesteps": arguments.timesteps},
            "seed": arguments.seed,
            "evaluation": {
                "episodes": arguments.episodes,
                "warmup_hours": arguments.warmup_hours,
                "horizon_hours": arguments.hours,
            },
        }
    )


def main() -> None:
    """Read the arguments, train, print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timesteps", type=int, default=3_000_000, help="per scenario")
    parser.add_argument("--episodes", type=int, default=64, help="judged episodes")
    parser.add_argument("--hours", type=float, default=336.0, help="judged of each episode")
    parser.add_argument("--warmup-hours", type=float, default=72.0, help="before the judged ones")
    parser.add_argument("--weight", type=float, default=0.5, help="group robustness weight")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("hospital_scheduling.png"))
    arguments = parser.parse_args()

    kernels = kernel_cache_folder(Path(".grpo").absolute() / "kernels")
    os.environ.setdefault("NUMBA_CACHE_DIR", str(kernels))
    try:
        configs = {name: make_config(name, arguments) for name in list_scenarios()}
    except InputError as error:
        parser.error("; ".join(map(str, error.issues)))
    started = time.perf_counter()
    reports = train_all(configs)
    print(f"Trained and judged in {time.perf_counter() - started:.0f} s.")
    console = Console(width=WIDTH)
    for scenario, report in reports.items():
        print_report(console, report, f"{scenario}, weight {arguments.weight:g}")
    plot_reports(reports, arguments.output)
    print(f"Picture: {arguments.output.absolute()}")


if __name__ == "__main__":
    main()
