"""What siblings on a common future bring: ``python -m benchmarks.siblings``.

Trains a hospital with every weight, number of siblings, kind of critic (one that sees what the
policy sees, or a privileged one) and seed, and judges the averaged actor, greedily and without the
gate, on patients that no training met. Printed is what it costs less (or more) than the rule c-mu
on the same patients: everybody, the worst group, and half of each, with 95% intervals over
episodes; how large the advantages are in the end, and what share of the returns' variance the
critic explains in the second half. One line is one training.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import product
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from grpo.kernel_cache import kernel_cache_folder  # noqa: E402

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from grpo.config import TrainConfig  # noqa: E402
from grpo.environments.hospital.rules.dispatch_rules import IndexRule, make_rule  # noqa: E402
from grpo.environments.hospital.simulate import Chooser, simulate  # noqa: E402
from grpo.models.policy import with_serving  # noqa: E402
from grpo.training.hospital_problem import HospitalProblem  # noqa: E402
from grpo.training.problems import make_problem  # noqa: E402
from grpo.training.setup import count_iterations, make_loop, make_policy  # noqa: E402

Float64 = NDArray[np.float64]
EVALUATION_SEED = 777


CRITICS = {"plain": False, "privileged": True}


def make_config(
    arguments: argparse.Namespace, weight: float, siblings: int, critic: str, seed: int
) -> Any:
    """Return one training job."""
    return TrainConfig.parse(
        {
            "environment": {"kind": "hospital", "scenario": arguments.scenario},
            "grouping": {"kind": "attribute", "attributes": ["age_group"]},
            "algorithm": {
                "group_robustness_weight": weight,
                "siblings": siblings,
                "privileged_critic": CRITICS[critic],
                "start_rule": arguments.start_rule,
            },
            "budget": {"total_timesteps": arguments.timesteps},
            "evaluation": {"episodes": arguments.episodes},
            "seed": seed,
        }
    )


def judge(problem: HospitalProblem, chooser: IndexRule | Chooser, config: TrainConfig) -> Float64:
    """Return the cost per patient of everybody and of each group by episode, [E, 1 + G]."""
    judged = config.evaluation
    log = simulate(
        problem.compiled,
        chooser,
        episodes=judged.episodes,
        seed=EVALUATION_SEED,
        warmup_hours=judged.warmup_hours,
        horizon_hours=judged.horizon_hours,
    )
    weighed = problem.heads.weights[:, log.type] * log.cost
    sums = [np.bincount(log.episode, weights=row, minlength=judged.episodes) for row in weighed]
    return np.stack(sums, axis=1) / judged.horizon_hours


def compare(ours: Float64, rule: Float64) -> dict[str, tuple[float, float]]:
    """Return differences to the rule with the half width of their intervals."""
    worst = [costs[:, 1 + costs.mean(axis=0)[1:].argmax()] for costs in (ours, rule)]
    everybody = ours[:, 0] - rule[:, 0]
    parts = {"everybody": everybody, "worst group": worst[0] - worst[1]}
    parts["half of each"] = (everybody + parts["worst group"]) / 2
    return {
        name: (float(d.mean()), float(1.96 * d.std(ddof=1) / np.sqrt(len(d))))
        for name, d in parts.items()
    }


def measure(config: TrainConfig, of_rule: list[Float64]) -> dict[str, Any]:
    """Train once and judge on the same patients as the rule.

    Args:
        config: the job.
        of_rule: what the rule cost on these patients, filled by the first of several trainings.
    """
    problem = make_problem(config)
    if not isinstance(problem, HospitalProblem):
        raise TypeError("siblings exist in hospitals only")
    began = time.process_time()
    loop = make_loop(config, problem)
    total = count_iterations(config)
    explained = [
        loop.run_iteration(iteration / total).explained_variance for iteration in range(total)
    ]
    seconds = time.process_time() - began
    policy = make_policy(config, problem, loop, loop.averaged_actor)
    greedy = with_serving(policy, sharpness="greedy")
    ours = judge(problem, greedy.act, config)
    if not of_rule:
        of_rule.append(judge(problem, make_rule("c_mu", problem.compiled), config))
    rule = of_rule[0]
    return {
        "weight": config.algorithm.group_robustness_weight,
        "siblings": config.algorithm.siblings,
        "critic": "privileged" if config.algorithm.privileged_critic else "plain",
        "seed": config.seed,
        "processor_seconds": round(seconds, 1),
        "advantage": round(loop.advantage_scale.value, 1),
        "explained_variance": round(float(np.mean(explained[total // 2 :])), 3),
        "c_mu": rule.mean(axis=0).round(3).tolist(),
        "differences": compare(ours, rule),
    }


def main() -> None:
    """Train, print a line for each, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", default="rural_hospital")
    parser.add_argument("--start-rule", default="c_mu")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--siblings", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--critics", choices=list(CRITICS), nargs="+", default=["plain"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--timesteps", type=int, default=3_500_000)
    parser.add_argument("--episodes", type=int, default=3000)
    parser.add_argument("--json", type=Path, default=Path("siblings.json"))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    of_rule: list[Float64] = []
    arms = product(arguments.seeds, arguments.weights, arguments.siblings, arguments.critics)
    for seed, weight, siblings, critic in arms:
        row = measure(make_config(arguments, weight, siblings, critic, seed), of_rule)
        rows.append(row)
        found = row["differences"].items()
        said = ", ".join(f"{name} {d:+.3f} (+-{e:.3f})" for name, (d, e) in found)
        print(
            f"w = {weight:g}, {siblings} siblings, {critic} critic, seed {seed}: {said}; "
            f"advantages {row['advantage']:.1f}, explained {row['explained_variance']:.3f}; "
            f"{row['processor_seconds']:.0f} s",
            flush=True,
        )
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
