"""Is CartPole solved, and whom does a robust weight help?: ``python -m benchmarks.cartpole``.

First the plain problem by default settings, with and without a robust weight, groups being the
side that the pole leans to at the start. Then two variants of which one is much harder: the mean
leaves it behind. Intervals are over training seeds (percentile bootstrap); the comparison of
weights is paired by seed, with an exact sign-flip test. A training that diverged is listed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from grpo import GRPOAgent, GRPOTrainer  # noqa: E402
from grpo.config import TrainConfig  # noqa: E402
from grpo.fairness.significance import sign_flip_test  # noqa: E402
from grpo.grouping.specs import ThresholdGroups  # noqa: E402
from grpo.models.policy import Policy  # noqa: E402
from grpo.seeding import make_generator  # noqa: E402
from grpo.training.episodes import play_episodes  # noqa: E402
from grpo.training.observer import TrainingDiverged  # noqa: E402
from grpo.training.seeds import train_seeds  # noqa: E402

Float64 = np.ndarray[Any, np.dtype[np.float64]]

SOLVED = 475.0
EPISODES = 100
EVALUATION_SEED = 20_001
RESAMPLES = 10_000
SIDES = ThresholdGroups(feature=2, edges=(0.0,), labels=("left", "right"))
VARIANTS = (
    {"label": "easy", "options": {"length": 2.0, "force_mag": 20.0}},
    {"label": "hard", "options": {"length": 0.05, "gravity": 30.0, "force_mag": 30.0}},
)
"""The hard pole is short, falls fast, and is pushed so strongly that few pushes do not tip it."""


def lean(state: NDArray[np.float32], episode: int) -> int:
    """Group an episode by the side that its pole leans to at the start."""
    del episode
    return int(state[2] > 0)


def solve(weight: float, seed: int, train_episodes: int) -> float | None:
    """Train by default settings; return the mean of 100 new greedy episodes, None if diverged."""
    agent = GRPOAgent(4, 2, group_robustness_weight=weight, seed=seed)
    trainer = GRPOTrainer("CartPole-v1", agent, lean, group_when="reset")
    try:
        trainer.train(train_episodes)
    except TrainingDiverged as error:
        print(f"w = {weight}, seed {seed}: {error}", file=sys.stderr)
        return None
    policy = agent.make_policy()
    played = play_episodes("CartPole-v1", policy, SIDES, episodes=EPISODES, seed=EVALUATION_SEED)
    return float(played.returns.mean())


def train_variants(weight: float, seeds: list[int], steps: int) -> list[list[float] | None]:
    """Train every seed on both variants as a job does; return returns by variant, None if diverged.

    The seeds are one batch; should one diverge, they are trained one by one, to the same bits.
    """
    config = TrainConfig.parse(
        {
            "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
            "grouping": {"kind": "variant", "variants": VARIANTS},
            "algorithm": {"group_robustness_weight": weight},
            "budget": {"total_timesteps": steps},
            "evaluation": {"episodes": 4},
        }
    )
    try:
        return [judge_variants(result.policy, config) for result in train_seeds(config, seeds)]
    except TrainingDiverged as error:
        print(f"w = {weight}, seeds {seeds}: {error}", file=sys.stderr)
    if len(seeds) == 1:
        return [None]
    return [train_variants(weight, [seed], steps)[0] for seed in seeds]


def judge_variants(policy: Policy, config: TrainConfig) -> list[float]:
    """Return the mean return of each variant over new episodes."""
    played = play_episodes(
        "CartPole-v1", policy, config.grouping, episodes=2 * EPISODES, seed=EVALUATION_SEED
    )
    returns = played.returns @ played.membership / played.membership.sum(axis=0)
    return [float(value) for value in returns]


def interval(values: Float64) -> tuple[float, float, float]:
    """Return the mean over seeds and its 95% interval."""
    rng = make_generator(0, "bootstrap")
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def show(values: Float64) -> str:
    """Return a mean with its interval."""
    return "{:.1f} ({:.1f} to {:.1f})".format(*interval(values))


def run_plain(seeds: list[int], train_episodes: int, console: Console) -> dict[str, Any]:
    """Run the plain problem for both weights and print who solved it."""
    table = Table(title=f"CartPole-v1, mean of {EPISODES} evaluation episodes")
    for name in ("w", "solved", "least", "by seed"):
        table.add_column(name)
    result: dict[str, Any] = {}
    for weight in (0.0, 0.2):
        means = [solve(weight, seed, train_episodes) for seed in seeds]
        known = [mean for mean in means if mean is not None]
        solved = sum(mean >= SOLVED for mean in known)
        shown = " ".join("diverged" if mean is None else f"{mean:.0f}" for mean in means)
        table.add_row(f"{weight}", f"{solved} of {len(seeds)}", f"{min(known):.1f}", shown)
        result[str(weight)] = means
    console.print(table)
    return result


def run_variants(seeds: list[int], steps: int, console: Console) -> dict[str, Any]:
    """Run the grouped problem for both weights and print what the worst group gained."""
    table = Table(title=f"Two variants, {steps:,} decisions, {len(seeds)} seeds: mean return")
    for name in ("w", "easy", "hard", "worst group", "everybody"):
        table.add_column(name, justify="right")
    returns: dict[float, list[list[float] | None]] = {}
    for weight in (0.0, 0.5):
        returns[weight] = train_variants(weight, seeds, steps)
        known = np.array([pair for pair in returns[weight] if pair is not None])
        worst, everybody = known.min(axis=1), known.mean(axis=1)
        cells = (known[:, 0], known[:, 1], worst, everybody)
        table.add_row(f"{weight}", *(show(values) for values in cells))
    both = [(a, b) for a, b in zip(returns[0.0], returns[0.5], strict=True) if a and b]
    gains = np.array([min(b) - min(a) for a, b in both])
    p_value = sign_flip_test(gains)
    console.print(table)
    console.print(
        f"worst group at w = .5 less at w = 0: {show(gains)}, sign-flip p = {p_value:.4f}"
    )
    missing = 2 * len(seeds) - sum(pair is not None for arm in returns.values() for pair in arm)
    console.print(f"diverged trainings: {missing}")
    return {str(weight): arm for weight, arm in returns.items()} | {"p_value": p_value}


def main() -> None:
    """Run both, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="training seeds, from 1")
    parser.add_argument("--episodes", type=int, default=600, help="of a plain training")
    parser.add_argument("--steps", type=int, default=150_000, help="of a grouped training")
    parser.add_argument("--only", choices=["plain", "variants"], help="run one of the two")
    parser.add_argument("--json", type=Path, default=Path("cartpole.json"))
    arguments = parser.parse_args()
    seeds, console = list(range(1, arguments.seeds + 1)), Console(width=110)
    result: dict[str, Any] = {}
    if arguments.only != "variants":
        result["plain"] = run_plain(seeds, arguments.episodes, console)
    if arguments.only != "plain":
        result["variants"] = run_variants(seeds, arguments.steps, console)
    arguments.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
