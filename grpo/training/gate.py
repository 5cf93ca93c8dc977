"""Choosing what is served: the best on validation among checkpoints, sharpness and the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from grpo.models.policy import Policy, Sharpness, ValidationScore, with_serving
from grpo.objectives.group_weights import robust_objective
from grpo.training.problems import Problem

SHARPNESSES: tuple[Sharpness, ...] = (1.0, 2.0, 4.0, "greedy")


@dataclass(frozen=True)
class Candidate:
    """A checkpoint under a name such as ``average at 75%``; sharpness 1."""

    name: str
    policy: Policy


def choose_policy(
    problem: Problem,
    candidates: Sequence[Candidate],
    weight: float,
    check: Callable[[], None],
) -> Policy:
    """Return the candidate with the largest F on validation, its manifest holding all scores.

    Every checkpoint is judged at sharpness 1, 2, 4 and greedy. The starting rule is judged first
    and wins ties, so what is served is never worse on validation than where training started.

    Args:
        problem: judges on the job's validation seeds.
        candidates: checkpoints, at least one.
        weight: w of F.
        check: called before each judgement; may raise to stop.
    """
    versions: list[tuple[str, Policy]] = []
    if problem.rule_name is not None:
        rule = with_serving(candidates[0].policy, served="rule", sharpness="greedy")
        versions.append(("rule", rule))
    versions += [
        (candidate.name, with_serving(candidate.policy, sharpness=sharpness))
        for candidate in candidates
        for sharpness in SHARPNESSES
    ]
    scores = []
    for name, policy in versions:
        check()
        scores.append(score_policy(problem, name, policy, weight))
    best = int(np.argmax([score.objective for score in scores]))
    return with_serving(versions[best][1], validation=tuple(scores))


def score_policy(problem: Problem, name: str, policy: Policy, weight: float) -> ValidationScore:
    """Judge one version of a policy by F."""
    mean_return, group_returns = problem.judge(policy)
    returns = np.array(list(group_returns.values()))
    return ValidationScore(
        candidate=name,
        sharpness=policy.sharpness,
        objective=robust_objective(mean_return, returns, weight),
        mean_return=mean_return,
        group_returns=group_returns,
    )
