"""Problems whose fair optimum is known, each as something to train and to score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grpo.environments.tabular import TabularProblem
from grpo.environments.vector import Float64
from grpo.models.policy import Policy, with_serving
from grpo.objectives.advantage_estimation import generalized_advantages
from grpo.objectives.baselines import GroupBaseline
from grpo.oracles.problems import (
    make_random,
    make_t1,
    make_t2,
    make_t3,
    make_t4,
    score_policy,
    shift_and_scale,
)
from grpo.training.loop import TrainingLoop
from grpo.training.objective import GroupWeigher, GroupWeights, Objective
from grpo.training.performance import Performance
from grpo.training.tabular import TabularResult, make_tabular_algorithm, read_policy, train_tabular

ITERATIONS = 120
SEEDS = (1, 2, 3)
MORE_SEEDS = (1, 2, 3, 4, 5)
CUMULATIVE = "group_dro on T1, last iterates (median)"
WITHIN_2 = 98.0
WITHIN_5 = 95.0


@dataclass(frozen=True)
class Case:
    """One problem and what is expected of a training on it.

    Attributes:
        name: of the problem, its objective and its weight.
        score: trains with a seed and returns the percentage of the exact optimum.
        required: least percentage; a negative control must stay below it.
        seeds: of the trainings.
        control: whether this shall fail, to show that the others could.
    """

    name: str
    score: Callable[[int], float]
    required: float = WITHIN_2
    seeds: tuple[int, ...] = SEEDS
    control: bool = False

    def holds(self, percent: float) -> bool:
        """Say whether one training came out as expected; no number never does."""
        return percent < self.required if self.control else percent >= self.required


def tabular_cases() -> tuple[Case, ...]:
    """Return T1 to T4, random problems, and the controls that must fail."""
    t1, t2 = make_t1(), make_t2()
    zeros, best = np.zeros(2), np.array([10.0, 1.0])
    return (
        _case("T1, w = 1", t1, 1.0),
        _case("T1, w = .2", t1, 0.2),
        _case("T1, w = 1, worst", t1, 1.0, method="worst"),
        _case("T1, w = 1, cvar", t1, 1.0, method="cvar"),
        _case("T2, w = 1, raw", t2, 1.0),
        _baseline_case("T2, w = 1, normalised", t2, "normalised", zeros, 1 / best),
        _baseline_case("T2, w = 1, regret", t2, "regret", best, np.ones(2)),
        _case("T3, w = 1", make_t3(), 1.0, required=WITHIN_5),
        _case("T3, w = 0", make_t3(), 0.0, required=WITHIN_5),
        _case("T4 hidden, w = 1", make_t4(), 1.0),
        _case("T4 visible, w = .8", make_t4(visible=True), 0.8),
        *(_case(f"random {seed}, w = .7", make_random(seed), 0.7) for seed in range(1, 6)),
        Case(CUMULATIVE, score_cumulative, seeds=MORE_SEEDS, control=True),
        Case("T1 served greedily", score_greedy, seeds=SEEDS, control=True),
        Case("T1, weights by surrogate loss", score_surrogate, seeds=SEEDS, control=True),
    )


def train_case(problem: TabularProblem, weight: float, seed: int, **changes: Any) -> TabularResult:
    """Train with the settings of all tabular cases, w uncapped."""
    algorithm = make_tabular_algorithm(group_robustness_weight=weight, **changes)
    return train_tabular(problem, algorithm, iterations=ITERATIONS, seed=seed, weight_cap=1.0)


def _case(
    name: str, problem: TabularProblem, weight: float, *, required: float = WITHIN_2, **changes: Any
) -> Case:
    def score(seed: int) -> float:
        policy = train_case(problem, weight, seed, **changes).policy
        return score_policy(problem, read_policy(problem, policy), weight).percent

    return Case(name, score, required)


def _baseline_case(
    name: str, problem: TabularProblem, kind: Any, offsets: Float64, slopes: Float64
) -> Case:
    """Measure groups against given references and specialists, and score by their utilities."""

    def score(seed: int) -> float:
        best = dict(zip(problem.labels, (10.0, 1.0), strict=True))
        baseline = GroupBaseline(kind, dict.fromkeys(problem.labels, 0.0), best)
        algorithm = make_tabular_algorithm(group_robustness_weight=1.0)
        policy = train_tabular(
            problem,
            algorithm,
            iterations=ITERATIONS,
            seed=seed,
            baseline=baseline,
            weight_cap=1.0,
        ).policy
        utilities = shift_and_scale(problem, offsets, slopes)
        return score_policy(utilities, read_policy(problem, policy), 1.0).percent

    return Case(name, score)


def score_iterates(seed: int, **changes: Any) -> Float64:
    """Return how far each actor of the second half of a training on T1 comes, drawn as trained."""
    problem, percents = make_t1(), []

    def watch(policy: Policy) -> None:
        percents.append(score_policy(problem, read_policy(problem, policy), 1.0).percent)

    train_tabular(
        problem,
        make_tabular_algorithm(group_robustness_weight=1.0, **changes),
        iterations=ITERATIONS,
        seed=seed,
        weight_cap=1.0,
        watch=watch,
    )
    return np.array(percents[ITERATIONS // 2 :])


def score_cumulative(seed: int) -> float:
    """Return what the last iterate of cumulative weights is worth on T1, stopped anywhere.

    The median over the second half of the training: the iterates cycle, so that any single one,
    the very last too, may happen to pass by the optimum.
    """
    return float(np.median(score_iterates(seed, method="group_dro", dual_step=1.0)))


def score_greedy(seed: int) -> float:
    """Return what T1's trained policy is worth when it always takes its most likely action."""
    problem = make_t1()
    greedy = with_serving(train_case(problem, 1.0, seed).policy, sharpness="greedy")
    return score_policy(problem, read_policy(problem, greedy), 1.0).percent


class SurrogateWeigher(GroupWeigher):
    """All weight on the group with the largest surrogate loss, on normalised advantages.

    At the first minibatch the ratio is 1 and the loss is minus the mean advantage: noise about
    zero once the critic fits, whatever the group's fate. A control, not a method.
    """

    loop: TrainingLoop

    def weigh(
        self,
        labels: Sequence[str],
        performance: Performance,
        scale: float,
        progress: float = 1.0,
    ) -> GroupWeights:
        """Weigh by the rollout's advantages, not by performance."""
        del performance, scale, progress
        rollout = self.loop.collector.rollout
        advantages = generalized_advantages(
            rewards=rollout.rewards,
            values=rollout.values,
            last_values=rollout.last_values,
            final_values=rollout.final_values,
            discounts=rollout.discounts,
            traces=np.zeros_like(rollout.discounts),
            terminated=rollout.terminated,
            truncated=rollout.truncated,
        )[..., 1:]
        spread = advantages.std(axis=(0, 1)) + 1e-8
        losses = -(advantages / spread).mean(axis=(0, 1))
        shares = (np.arange(len(labels)) == losses.argmax()).astype(np.float64)
        return GroupWeights(1.0, shares, shares)


def score_surrogate(seed: int) -> float:
    """Return how far weights by surrogate loss come on T1."""
    problem = make_t1()

    def replace_weigher(loop: TrainingLoop) -> None:
        weigher = SurrogateWeigher(Objective(loop.weigher.objective.method))
        weigher.loop = loop
        loop.weigher = weigher

    result = train_tabular(
        problem,
        make_tabular_algorithm(group_robustness_weight=1.0),
        iterations=ITERATIONS,
        seed=seed,
        weight_cap=1.0,
        prepare=replace_weigher,
    )
    return score_policy(problem, read_policy(problem, result.last), 1.0).percent
