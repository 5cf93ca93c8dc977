"""What a job is made of: its loop, the length of its parts, and policies out of its actors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from numpy.typing import NDArray

from grpo.config import TrainConfig
from grpo.models.parameters import Float32, NetworkShape, named_views
from grpo.models.policy import NORMALIZATION, Manifest, Policy
from grpo.training.brain import Brain
from grpo.training.critic_view import count_privileged_features
from grpo.training.loop import TrainingLoop
from grpo.training.objective import Objective, make_objective
from grpo.training.problems import Problem

CRITIC_WARMUP = 2
"""Iterations in which only the critic learns, where the policy starts from a rule."""


def make_loop(
    config: TrainConfig,
    problem: Problem,
    num_threads: int = 1,
    *,
    objective: Objective | None = None,
    seed: int | None = None,
    device: str = "cpu",
) -> TrainingLoop:
    """Build environments, networks and the loop of a job.

    Args:
        config: the job.
        problem: its environment.
        num_threads: threads of the update.
        objective: F; the job's own against a raw baseline by default.
        seed: of everything random; the job's own by default.
        device: of the networks: ``cpu``, or a torch device such as ``cuda``.
    """
    algorithm = config.algorithm
    objective = objective or make_objective(algorithm, problem.num_groups)
    seed = config.seed if seed is None else seed
    environment = problem.make_environment(algorithm.num_envs)
    shape = NetworkShape(
        environment.observation_size,
        algorithm.hidden_sizes,
        environment.num_actions,
        environment.num_heads if objective.uses_groups else 1,
        count_privileged_features(environment, privileged_critic=algorithm.privileged_critic),
    )
    brain = Brain.create(shape, seed, index=problem.index, device=device, num_threads=num_threads)
    starts_from_rule = problem.index is not None
    return TrainingLoop(
        environment,
        algorithm,
        brain,
        seed=seed,
        objective=objective,
        scale=problem.scale,
        state_groups=problem.state_groups,
        warmup_iterations=min(CRITIC_WARMUP, count_iterations(config) // 10)
        if starts_from_rule
        else 0,
    )


def count_iterations(config: TrainConfig) -> int:
    """Return the iterations of the policy's own training: the budget less the specialists'."""
    return max(1, _count_all(config) - _count_shared(config))


def count_specialist_iterations(config: TrainConfig, num_groups: int) -> int:
    """Return the iterations of each of ``num_groups`` specialists, at least 1."""
    return max(1, _count_shared(config) // num_groups)


def _count_all(config: TrainConfig) -> int:
    """Return the iterations of the whole budget, rounded up to whole ones."""
    algorithm = config.algorithm
    return math.ceil(config.budget.total_timesteps / (algorithm.num_envs * algorithm.num_steps))


def _count_shared(config: TrainConfig) -> int:
    """Return the iterations that are the specialists', all together."""
    return round((config.algorithm.specialist_share or 0.0) * _count_all(config))


def make_policy(
    config: TrainConfig, problem: Problem, loop: TrainingLoop, actor: Float32
) -> Policy:
    """Freeze an actor, as a copy, with everything it needs to decide."""
    return freeze_actor(
        loop,
        actor,
        problem.rule_tensors(),
        **problem.describe(),
        config=config.model_dump(mode="json"),
        rule=problem.rule_name,
        seed=config.seed,
        reproducible=config.budget.max_seconds is None,
    )


def freeze_actor(
    loop: TrainingLoop,
    actor: Float32,
    tensors: Mapping[str, NDArray[Any]] | None = None,
    **fields: Any,
) -> Policy:
    """Freeze an actor of a loop, as a copy, sharpness 1.

    Args:
        loop: that trained it.
        actor: [P] its parameters.
        tensors: more tensors for the policy to carry.
        **fields: of the manifest, besides what the loop knows.
    """
    brain, baseline = loop.brain, loop.weigher.objective.baseline
    shape = brain.learner.shape
    moments = (brain.normalizer.mean.copy(), brain.normalizer.inverse_std.copy())
    own: dict[str, NDArray[Any]] = {
        **named_views(shape.actor_entries, actor.copy()),
        "index.feature": brain.index.feature,
    }
    own |= dict(zip(NORMALIZATION, moments, strict=True))
    manifest = Manifest(
        **fields,
        observation_size=shape.observation_size,
        num_actions=shape.num_actions,
        hidden_sizes=shape.hidden_sizes,
        sharpness=1.0,
        timesteps=loop.timesteps,
        scale=loop.scale,
        baseline_references=dict(baseline.references),
        baseline_specialists=dict(baseline.specialists),
        library_version=version("grpo"),
    )
    return Policy(manifest, own | dict(tensors or {}))
