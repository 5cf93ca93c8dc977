"""What every group could get: policies trained for one group alone, and a reference rule."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from grpo.config import TrainConfig
from grpo.errors import InputError
from grpo.models.policy import Sharpness, with_serving
from grpo.objectives.adaptive_weights import OnlyGroup
from grpo.objectives.baselines import GroupBaseline
from grpo.seeding import derive_seed
from grpo.tensors import Tensors, take_tensor
from grpo.training.judgement import Judgement
from grpo.training.objective import Objective
from grpo.training.problems import Problem
from grpo.training.setup import count_specialist_iterations, make_loop, make_policy

SHARPNESSES: tuple[Sharpness, ...] = (1.0, "greedy")
KEPT_BASELINES = 16

IRRELEVANT = frozenset(
    {
        "method",
        "group_robustness_weight",
        "cvar_alpha",
        "dual_step",
        "fairness_alpha",
        "fairness_floor",
        "floors",
        "group_baseline",
    }
)
"""Hyperparameters that a specialist's training does not read."""

_measured: OrderedDict[str, tuple[Judgement, ...]] = OrderedDict()


def measure_baseline(
    config: TrainConfig, problem: Problem, num_threads: int, check: Callable[[], None]
) -> GroupBaseline:
    """Train a specialist for every group and judge all of them and the reference.

    They share ``specialist_share`` of the budget. A group's best is the largest J_g among the
    reference and everybody's specialists, drawn and greedy, on the job's validation seeds: a
    specialist that was trained too briefly is not taken for the best where another policy is
    better for the group. Results are kept in memory, so that jobs of one process that differ in
    method, weight or kind of baseline only train specialists once.

    Args:
        config: the job.
        problem: its environment.
        num_threads: threads of the update.
        check: called between iterations; may raise to stop.

    Raises:
        InputError: performance shall be normalised, and a group has no range; or a group is never
            met on the validation seeds.
    """
    kind = config.algorithm.group_baseline
    labels = group_labels(problem)
    if kind == "raw" or len(labels) < 2:
        return GroupBaseline()
    key = _make_key(config)
    judgements = _measured.get(key)
    if judgements is None:
        judgements = _train_all(config, problem, num_threads, check)
        if config.budget.max_seconds is None:
            _measured[key] = judgements
        while len(_measured) > KEPT_BASELINES:
            _measured.popitem(last=False)
    reference = judgements[0].group_returns
    known = [judged.group_returns for judged in judgements]
    for label in labels:
        if not all(label in returns for returns in known):
            raise InputError.single(
                "/algorithm/group_baseline",
                f"no validation episode is of group {label!r}, so nothing can be measured for it",
                given=kind,
                allowed="raw, or groups that are less rare",
            )
    best = {label: max(returns[label] for returns in known) for label in labels}
    return GroupBaseline(kind, {label: reference[label] for label in labels}, best)


def group_labels(problem: Problem) -> tuple[str, ...]:
    """Return the labels of the groups, in the order of the heads."""
    return tuple(problem.describe()["group_labels"])


def save_baseline(baseline: GroupBaseline) -> Tensors:
    """Return the numbers [G] of a baseline, empty where performance is raw."""
    references = np.array([*baseline.references.values()], np.float64)
    specialists = np.array([*baseline.specialists.values()], np.float64)
    return {"baseline/references": references, "baseline/specialists": specialists}


def restore_baseline(config: TrainConfig, problem: Problem, tensors: Tensors) -> GroupBaseline:
    """Return the baseline that ``save_baseline`` saved for the same job.

    Raises:
        CheckpointError: a number is missing.
    """
    labels = group_labels(problem)
    if config.algorithm.group_baseline == "raw" or len(labels) < 2:
        return GroupBaseline()
    references, specialists = (
        take_tensor(tensors, f"baseline/{name}", (len(labels),), np.float64).tolist()
        for name in ("references", "specialists")
    )
    return GroupBaseline(
        config.algorithm.group_baseline,
        dict(zip(labels, references, strict=True)),
        dict(zip(labels, specialists, strict=True)),
    )


def _make_key(config: TrainConfig) -> str:
    """Return what specialists depend on."""
    data = config.model_dump(mode="json")
    algorithm = {name: v for name, v in data["algorithm"].items() if name not in IRRELEVANT}
    return json.dumps(data | {"algorithm": algorithm}, sort_keys=True, allow_nan=False)


def _train_all(
    config: TrainConfig, problem: Problem, num_threads: int, check: Callable[[], None]
) -> tuple[Judgement, ...]:
    """Return judgements of the reference first, then of every group's specialist."""
    labels = group_labels(problem)
    iterations = count_specialist_iterations(config, len(labels))
    limit = config.budget.max_seconds
    share = (config.algorithm.specialist_share or 0.0) / len(labels)
    judgements: list[Judgement] = []
    for index, label in enumerate(labels):
        seed = derive_seed(config.seed, f"specialist {label}")
        objective = Objective(OnlyGroup(index))
        loop = make_loop(config, problem, num_threads, objective=objective, seed=seed)
        if not judgements:
            uniform = make_policy(config, problem, loop, np.zeros_like(loop.averaged_actor))
            judgements.append(problem.judge_reference(uniform))
        for iteration in range(iterations):
            check()
            if limit is not None and time.perf_counter() - loop.started > share * limit:
                break
            loop.run_iteration(iteration / iterations)
        policy = make_policy(config, problem, loop, loop.averaged_actor)
        for sharpness in SHARPNESSES:
            check()
            judgements.append(problem.judge(with_serving(policy, sharpness=sharpness)))
    return tuple(judgements)
