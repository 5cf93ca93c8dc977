"""A whole training job: from a validated configuration to a policy, its history and its report."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from grpo.config import TrainConfig
from grpo.environments.registry import check_config
from grpo.fairness.report import FairnessReport
from grpo.models.parameters import Float32, NetworkShape, named_views
from grpo.models.policy import NORMALIZATION, Manifest, Policy
from grpo.training.brain import Brain
from grpo.training.evaluation import evaluate_policy
from grpo.training.gate import Candidate, choose_policy
from grpo.training.loop import TrainingLoop, effective_method
from grpo.training.observer import (
    IterationMetrics,
    Observer,
    Phase,
    SilentObserver,
    TrainingDiverged,
    TrainingStopped,
)
from grpo.training.problems import Problem, make_problem

__all__ = [
    "IterationMetrics",
    "Observer",
    "Phase",
    "SilentObserver",
    "TrainingDiverged",
    "TrainingResult",
    "TrainingStopped",
    "train_policy",
]


CHECKPOINTS = (0.75,)
"""Shares of training at which the averaged actor is kept for validation, besides its end."""

CRITIC_WARMUP = 2
"""Iterations in which only the critic learns, where the policy starts from a rule."""

MOST_THREADS = 2


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves: the policy to serve, its metrics and how it was judged."""

    policy: Policy
    history: tuple[IterationMetrics, ...]
    report: FairnessReport


def train_policy(
    config: TrainConfig, observer: Observer | None = None, *, num_threads: int | None = None
) -> TrainingResult:
    """Train, validate and judge one policy.

    Args:
        config: the whole job; every hyperparameter is recorded in the policy's manifest.
        observer: hears phases and iterations and may stop the training.
        num_threads: threads of the update; by default up to 2 of the cores this process may use.
            The result is the same to the bit for every number of threads.

    Raises:
        InputError: the configuration does not fit the environment.
        TrainingStopped: the observer asked for it.
        TrainingDiverged: a number stopped being finite.
    """
    observer = observer or SilentObserver()
    check_config(config)
    observer.on_phase("compiling")
    problem = make_problem(config)
    loop = make_loop(config, problem, num_threads or count_threads())
    observer.on_phase("training")
    history, candidates = _train(config, problem, loop, observer)
    observer.on_phase("validating")
    weight = config.algorithm.group_robustness_weight
    policy = choose_policy(problem, candidates, weight, _make_check(observer))
    observer.on_phase("evaluating")
    _make_check(observer)()
    return TrainingResult(policy, history, evaluate_policy(config, policy))


def count_threads() -> int:
    """Return how many threads an update uses: the cores this process may run on, at most 2."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def make_loop(config: TrainConfig, problem: Problem, num_threads: int = 1) -> TrainingLoop:
    """Build environments, networks and the loop of a job."""
    algorithm = config.algorithm
    method = effective_method(algorithm, problem.num_groups)
    environment = problem.make_environment(algorithm.num_envs)
    shape = NetworkShape(
        environment.observation_size,
        algorithm.hidden_sizes,
        environment.num_actions,
        environment.num_heads if method.weight > 0 else 1,
    )
    brain = Brain.create(shape, config.seed, index=problem.index, num_threads=num_threads)
    starts_from_rule = problem.index is not None
    return TrainingLoop(
        environment,
        algorithm,
        brain,
        seed=config.seed,
        method=method,
        scale=problem.scale,
        state_groups=problem.state_groups,
        warmup_iterations=min(CRITIC_WARMUP, count_iterations(config) // 10)
        if starts_from_rule
        else 0,
    )


def count_iterations(config: TrainConfig) -> int:
    """Return the number of iterations: the budget rounded up to whole ones."""
    algorithm = config.algorithm
    return math.ceil(config.budget.total_timesteps / (algorithm.num_envs * algorithm.num_steps))


def _train(
    config: TrainConfig, problem: Problem, loop: TrainingLoop, observer: Observer
) -> tuple[tuple[IterationMetrics, ...], list[Candidate]]:
    """Run all iterations; return their metrics and the checkpoints, the latest first."""
    total, check = count_iterations(config), _make_check(observer)
    history: list[IterationMetrics] = []
    checkpoints: list[Candidate] = []
    marks = {math.ceil(share * total): share for share in CHECKPOINTS if total > 1}
    for iteration in range(1, total + 1):
        check()
        metrics = loop.run_iteration((iteration - 1) / total)
        history.append(metrics)
        observer.on_iteration(metrics)
        if iteration in marks and iteration < total:
            name = f"average at {marks[iteration]:.0%}"
            checkpoints.append(
                Candidate(name, make_policy(config, problem, loop, loop.averaged_actor))
            )
    last = loop.brain.learner.actor_parameters
    final = [("average at 100%", loop.averaged_actor), ("last", last)]
    latest = [Candidate(name, make_policy(config, problem, loop, actor)) for name, actor in final]
    return tuple(history), latest + checkpoints[::-1]


def make_policy(
    config: TrainConfig, problem: Problem, loop: TrainingLoop, actor: Float32
) -> Policy:
    """Freeze an actor, as a copy, with everything it needs to decide."""
    brain = loop.brain
    shape = brain.learner.shape
    tensors = {**named_views(shape.actor_entries, actor.copy())}
    moments = (brain.normalizer.mean.copy(), brain.normalizer.inverse_std.copy())
    tensors |= dict(zip(NORMALIZATION, moments, strict=True))
    manifest = Manifest(
        **problem.describe(),
        config=config.model_dump(mode="json"),
        observation_size=shape.observation_size,
        num_actions=shape.num_actions,
        hidden_sizes=shape.hidden_sizes,
        rule=problem.rule_name,
        sharpness=1.0,
        seed=config.seed,
        timesteps=loop.timesteps,
        scale=loop.scale,
        library_version=version("grpo"),
    )
    return Policy(
        manifest, {**tensors, "index.feature": brain.index.feature, **problem.rule_tensors()}
    )


def _make_check(observer: Observer) -> Callable[[], None]:
    """Return what raises TrainingStopped once the observer asks for it."""

    def check() -> None:
        if observer.should_stop():
            raise TrainingStopped("the training was asked to stop")

    return check
