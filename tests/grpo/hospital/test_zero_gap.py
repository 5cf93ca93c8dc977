"""The theorem of zero gaps, and a control that shows the test could fail.

With classes (stage, acuity) and laws that are equal given the acuity, a rule cannot tell groups
apart, and Poisson arrivals see time averages: given the acuity, patients of all groups cost the
same in expectation. So the costs standardised to one acuity mix are equal, under every rule.
"""

from __future__ import annotations

import numpy as np
import pytest

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.rules.dispatch_rules import RULE_NAMES, make_rule
from grpo.environments.hospital.scenario import compile_scenario
from grpo.environments.hospital.simulate import simulate
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from tests.grpo.hospital.problems import Float64, rural, two_groups


def group_costs(compiled: CompiledScenario, rule: str, attribute: str, target: str) -> Float64:
    """Cost per patient by episode and group, [episodes, G], with the exact weights of the heads."""
    heads = build_heads(
        compiled,
        AttributeGroups(attributes=(attribute,)),
        "raw" if target == "raw" else "standardised",
        evaluation_hours=1e9,
    )
    log = simulate(compiled, make_rule(rule, compiled), episodes=100, seed=21, horizon_hours=700)
    costs = np.zeros((log.episodes, compiled.num_types))
    np.add.at(costs, (log.episode, log.type), log.cost)
    return np.asarray(costs @ heads.weights[1:].T / log.horizon_hours)


def gap_in_errors(costs: Float64) -> tuple[float, float]:
    """Difference of the first two groups in standard errors, and the error relative to the cost."""
    differences = costs[:, 0] - costs[:, -1]
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() / error), float(error / costs.mean())


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_equal_laws_given_acuity_leave_no_standardised_gap(rule: str) -> None:
    compiled = compile_scenario(two_groups())
    gap, relative_error = gap_in_errors(group_costs(compiled, rule, "group", "standardised"))
    assert relative_error < 0.02
    assert abs(gap) < 4


def test_the_raw_gap_of_the_same_hospital_is_large() -> None:
    compiled = compile_scenario(two_groups())
    gap, _ = gap_in_errors(group_costs(compiled, "strict_acuity", "group", "raw"))
    assert abs(gap) > 8


def test_stay_bands_that_correlate_with_age_open_a_standardised_gap() -> None:
    """Control: c-mu prefers short stays, hence children; the same test must see it."""
    gap, _ = gap_in_errors(group_costs(rural(), "c_mu", "age_group", "standardised"))
    assert gap < -8
