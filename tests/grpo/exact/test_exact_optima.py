"""Trainings on problems whose fair optimum is known, and controls that must not reach it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import exact_cases
from benchmarks.exact_cases import Case, score_iterates, tabular_cases, train_case
from grpo.models.policy import with_serving
from grpo.oracles.problems import evaluate_tabular, make_t1, score_policy
from grpo.training.gate import SHARPNESSES
from grpo.training.tabular import TabularResult, make_tabular_algorithm, read_policy, train_tabular

FAST = (
    "T2, w = 1, raw",
    "T2, w = 1, normalised",
    "T2, w = 1, regret",
    "T3, w = 1",
    "T4 hidden, w = 1",
    "T4 visible, w = .8",
    "random 2, w = .7",
    "T1, weights by surrogate loss",
)
"""One seed each; ``python -m benchmarks.exact`` trains all of them with three."""

CASES = {case.name: case for case in tabular_cases()}


@pytest.mark.parametrize("case", [CASES[name] for name in FAST], ids=lambda case: case.name)
def test_training_reaches_the_exact_optimum_and_controls_do_not(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the iterations of the benchmark must do."""
    monkeypatch.setattr(exact_cases, "ITERATIONS", exact_cases.ITERATIONS // 2)
    percent = case.score(1)
    assert case.holds(percent), f"{percent:.2f}% of the optimum"


def test_cumulative_weights_cycle_past_the_optimum_wherever_they_stop() -> None:
    """Nearly the optimum and nearly nothing take turns all along the second half."""
    iterates = score_iterates(1, method="group_dro", dual_step=1.0)
    assert np.median(iterates) < 75
    assert iterates.min() < 20
    turns = np.diff(np.sign(np.diff(iterates)))
    assert np.count_nonzero(turns > 0) >= 2  # troughs


@pytest.fixture(scope="module")
def t1() -> TabularResult:
    return train_case(make_t1(), 1.0, 1)


def test_robust_policy_of_t1_mixes_two_actions_one_third_and_two_thirds(t1: TabularResult) -> None:
    policy = read_policy(make_t1(), t1.policy)
    assert score_policy(make_t1(), policy, 1.0).percent >= 98
    assert policy[0, 0] == pytest.approx([1 / 3, 2 / 3, 0], abs=0.06)
    _, returns = evaluate_tabular(make_t1(), policy)
    assert returns == pytest.approx([1 / 3, 1 / 3], abs=0.01)


def test_gate_serves_the_drawn_policy_where_the_optimum_is_random(t1: TabularResult) -> None:
    manifest = t1.policy.manifest
    assert manifest.sharpness in SHARPNESSES[:2]
    scores = {s.sharpness: s.objective for s in manifest.validation if s.candidate != "last"}
    assert scores[1.0] >= 0.98 / 3
    assert scores["greedy"] == pytest.approx(0.0)  # always the second action: nobody serves group 1


def test_t1_served_greedily_is_worth_nothing_to_its_worst_group(t1: TabularResult) -> None:
    greedy = read_policy(make_t1(), with_serving(t1.policy, sharpness="greedy"))
    assert score_policy(make_t1(), greedy, 1.0).percent < 1


def test_nash_welfare_of_t1_mixes_two_actions_by_halves() -> None:
    algorithm = make_tabular_algorithm(method="alpha_fair", fairness_floor=0.0)
    result = train_tabular(make_t1(), algorithm, iterations=80)
    policy = read_policy(make_t1(), result.policy)
    assert policy[0, 0] == pytest.approx([0.5, 0.5, 0], abs=0.02)
    best = max(score.objective for score in result.policy.manifest.validation)
    assert best == pytest.approx(np.sqrt(0.5 * 0.25), rel=0.01)


def test_a_floor_that_can_be_met_is_met_at_the_least_price() -> None:
    """Group 2 needs .25, which half of a2 gives; the other half of a1 leaves J_0 = .375."""
    algorithm = make_tabular_algorithm(method="floor", floors={"group 2": 0.25})
    result = train_tabular(make_t1(), algorithm, iterations=80)
    mean_return, returns = evaluate_tabular(make_t1(), read_policy(make_t1(), result.policy))
    assert returns[1] >= 0.25 - 0.005
    assert mean_return == pytest.approx(0.375, abs=0.0075)
    assert all(shortfall < 0.005 for shortfall in result.policy.manifest.unmet_floors.values())


def test_floors_that_cannot_be_met_together_are_reported() -> None:
    """Both groups of T1 cannot have .5: what one lacks at least is .25 in sum."""
    algorithm = make_tabular_algorithm(method="floor", floors={"*": 0.5})
    result = train_tabular(make_t1(), algorithm, iterations=40)
    unmet = result.policy.manifest.unmet_floors
    assert sum(unmet.values()) >= 0.25 - 1e-6
    _, returns = evaluate_tabular(make_t1(), read_policy(make_t1(), result.policy))
    short = {name: 0.5 - j for name, j in zip(("group 1", "group 2"), returns, strict=True)}
    assert unmet == pytest.approx({name: gap for name, gap in short.items() if gap > 0})
