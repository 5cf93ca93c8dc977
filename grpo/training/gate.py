"""Choosing what is served: the best on validation among checkpoints, sharpness and the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from grpo.models.policy import Policy, Sharpness, ValidationScore, with_serving
from grpo.training.judgement import Judgement
from grpo.training.objective import Objective
from grpo.training.problems import Problem

Version = tuple[str, Policy]
SHARPNESSES: tuple[Sharpness, ...] = (1.0, 2.0, 4.0, "greedy")
FINALISTS = 2
"""Candidates that meet the starting rule again on other seeds."""


@dataclass(frozen=True)
class Candidate:
    """A checkpoint under a name such as ``average at 75%``; sharpness 1."""

    name: str
    policy: Policy


def choose_policy(
    problem: Problem,
    candidates: Sequence[Candidate],
    objective: Objective,
    check: Callable[[], None],
) -> Policy:
    """Return the candidate with the largest F on validation, its manifest holding all scores.

    Every checkpoint is judged at sharpness 1 (drawn as trained, which a random optimum needs), 2,
    4 and greedy. The best of so many looks better than it is, so the best two and the starting
    rule are judged once more, on other seeds and eight times as many patients. That run-off alone
    decides, and the rule wins ties: what is served did better there than where training started,
    or is the rule. Floors that the choice does not meet are recorded.

    Args:
        problem: judges on the job's validation seeds.
        candidates: checkpoints, at least one.
        objective: F, as it was trained for.
        check: called before each judgement; may raise to stop.
    """
    versions: list[Version] = []
    if problem.rule_name is not None:
        rule = with_serving(candidates[0].policy, served="rule", sharpness="greedy")
        versions.append(("rule", rule))
    versions += [
        (candidate.name, with_serving(candidate.policy, sharpness=sharpness))
        for candidate in candidates
        for sharpness in SHARPNESSES
    ]
    scores = _judge(problem, versions, objective, check, runoff=False)
    best = find_best(scores)
    runoff: tuple[ValidationScore, ...] = ()
    if problem.rule_name is not None:
        ranked = sorted(range(1, len(scores)), key=lambda n: -scores[n].objective)
        finalists = [0, *ranked[:FINALISTS]]
        entrants = [versions[n] for n in finalists]
        runoff = _judge(problem, entrants, objective, check, runoff=True)
        best = finalists[find_best(runoff)]
    unmet = objective.find_unmet(scores[best].group_returns)
    return with_serving(versions[best][1], validation=scores, runoff=runoff, unmet_floors=unmet)


def find_best(scores: Sequence[ValidationScore]) -> int:
    """Return the position of the largest objective, the first of equals."""
    return int(np.argmax([score.objective for score in scores]))


def _judge(
    problem: Problem,
    versions: Sequence[Version],
    objective: Objective,
    check: Callable[[], None],
    *,
    runoff: bool,
) -> tuple[ValidationScore, ...]:
    """Judge and score versions on the same seeds."""
    judgements = []
    for _, policy in versions:
        check()
        judgements.append(problem.judge(policy, runoff=runoff))
    return score_versions(versions, judgements, objective)


def score_versions(
    versions: Sequence[Version], judgements: Sequence[Judgement], objective: Objective
) -> tuple[ValidationScore, ...]:
    """Score versions of a policy by F, over the groups that every version met.

    Groups of states may be met by some versions only. A minimum over each version's own groups
    would favour whoever never met the worst one, and there is no return to compare him by there.
    Groups of patients and of episodes are met by all versions alike.

    Args:
        versions: name and policy of each.
        judgements: of each, in the same order.
        objective: F.
    """
    common = set.intersection(*(set(judged.group_returns) for judged in judgements))
    return tuple(
        ValidationScore(
            candidate=name,
            sharpness=policy.sharpness,
            objective=objective.value(
                judged.mean_return,
                {label: value for label, value in judged.group_returns.items() if label in common},
            ),
            mean_return=judged.mean_return,
            group_returns=judged.group_returns,
        )
        for (name, policy), judged in zip(versions, judgements, strict=True)
    )
