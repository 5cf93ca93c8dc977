"""Training on problems given by arrays, where every policy's worth is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.tabular import TabularProblem, TabularVectorEnvironment
from grpo.environments.vector import Float64, VectorEnvironment
from grpo.hyperparameters import Algorithm
from grpo.models.parameters import NetworkShape
from grpo.models.policy import Policy
from grpo.objectives.baselines import GroupBaseline
from grpo.objectives.group_weights import WEIGHT_CAP
from grpo.oracles.problems import evaluate_tabular
from grpo.training.brain import Brain
from grpo.training.gate import Candidate, choose_policy
from grpo.training.judgement import Judgement
from grpo.training.loop import TrainingLoop
from grpo.training.objective import make_objective
from grpo.training.observer import IterationMetrics
from grpo.training.setup import freeze_actor

DEFAULTS: dict[str, Any] = {
    "group_target": "raw",
    "num_envs": 256,
    "num_steps": 64,
    "minibatch_size": 2048,
    "update_epochs": 2,
    "learning_rate": 5e-3,
    "gae_lambda": 0.9,
    "hidden_sizes": (16,),
    "ent_coef": 0.02,
    "final_ent_coef": 0.0,
    "temperature": 0.2,
    "final_temperature": 0.02,
}
"""Hyperparameters for problems whose fair optimum is random: many samples, weights that settle."""


def make_tabular_algorithm(**changes: Any) -> Algorithm:
    """Return the hyperparameters for tabular problems, with some changed.

    Raises:
        InputError: a name is unknown or a value out of range.
    """
    return Algorithm.parse({**DEFAULTS, **changes})


class TabularTask:
    """A tabular problem as a training job sees it; policies are judged exactly, not by episodes.

    Fulfils ``grpo.training.problems.Problem``.
    """

    index = None
    rule_name = None
    scale = None
    state_groups = False

    def __init__(self, problem: TabularProblem) -> None:
        """Keep the problem."""
        self.problem, self.num_groups = problem, problem.num_groups

    def make_environment(self, num_envs: int) -> VectorEnvironment:
        """Return N copies."""
        return TabularVectorEnvironment(self.problem, num_envs)

    def judge(self, policy: Policy, *, runoff: bool = False) -> Judgement:  # noqa: ARG002 - exact
        """Return the exact J_0 and J_g of the policy at its serving sharpness."""
        mean_return, returns = evaluate_tabular(self.problem, read_policy(self.problem, policy))
        return Judgement(mean_return, dict(zip(self.problem.labels, returns.tolist(), strict=True)))

    def judge_reference(self, uniform: Policy) -> Judgement:
        """Judge uniformly random actions."""
        return self.judge(uniform)

    def describe(self) -> Mapping[str, Any]:
        """Return the kind and the names of the groups."""
        return {"kind": "tabular", "group_labels": self.problem.labels}

    def rule_tensors(self) -> dict[str, NDArray[Any]]:
        """Return nothing: there is no starting rule."""
        return {}


@dataclass(frozen=True)
class TabularResult:
    """What a training left.

    Attributes:
        policy: what the gate serves.
        last: the last actor, drawn as trained, before any averaging.
        history: metrics of all iterations.
    """

    policy: Policy
    last: Policy
    history: tuple[IterationMetrics, ...]


def train_tabular(
    problem: TabularProblem,
    algorithm: Algorithm,
    *,
    iterations: int,
    seed: int = 1,
    baseline: GroupBaseline | None = None,
    weight_cap: float = WEIGHT_CAP,
    prepare: Callable[[TrainingLoop], None] | None = None,
    watch: Callable[[Policy], None] | None = None,
) -> TabularResult:
    """Train, and choose what to serve by exact values.

    Args:
        problem: what to train on.
        algorithm: hyperparameters.
        iterations: how many.
        seed: of everything random.
        baseline: what performance is measured against.
        weight_cap: largest w; 1 for problems whose optimum at w = 1 is known.
        prepare: changes the loop before it runs.
        watch: given the last actor after every iteration.

    Raises:
        TrainingDiverged: a number stopped being finite.
    """
    task = TabularTask(problem)
    objective = make_objective(
        algorithm, problem.num_groups, baseline=baseline, weight_cap=weight_cap
    )
    environment = task.make_environment(algorithm.num_envs)
    shape = NetworkShape(
        environment.observation_size,
        algorithm.hidden_sizes,
        environment.num_actions,
        environment.num_heads if objective.uses_groups else 1,
    )
    brain = Brain.create(shape, seed)
    loop = TrainingLoop(environment, algorithm, brain, seed=seed, objective=objective)
    if prepare is not None:
        prepare(loop)
    fields = {**task.describe(), "config": algorithm.model_dump(mode="json"), "seed": seed}
    history = []
    for iteration in range(iterations):
        history.append(loop.run_iteration(iteration / iterations))
        if watch is not None:
            watch(freeze_actor(loop, brain.learner.actor_parameters, **fields))
    average = freeze_actor(loop, loop.averaged_actor, **fields)
    last = freeze_actor(loop, brain.learner.actor_parameters, **fields)
    candidates = [Candidate("average at 100%", average), Candidate("last", last)]
    served = choose_policy(task, candidates, objective, lambda: None)
    return TabularResult(served, last, tuple(history))


def read_policy(problem: TabularProblem, policy: Policy) -> Float64:
    """Return the probabilities [G, S, A] that a policy serves in every group and state."""
    groups, states = np.divmod(
        np.arange(problem.num_groups * problem.num_states), problem.num_states
    )
    masks = np.ones((len(states), problem.num_actions), dtype=np.bool_)
    probabilities = policy.probabilities(problem.observe(states, groups), masks)
    return probabilities.reshape(problem.num_groups, problem.num_states, -1).astype(np.float64)
