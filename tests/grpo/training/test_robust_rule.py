from __future__ import annotations

import numpy as np
import pytest

from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from grpo.training.robust_rule import weigh_rule

RURAL = compile_scenario(load_scenario("rural_hospital"))
HEADS = build_heads(RURAL, AttributeGroups(attributes=("age_group",)), "standardised")
C_MU = make_rule("c_mu", RURAL)
ELDERLY = np.eye(3)[HEADS.labels.index("elderly")]


def test_at_weight_zero_the_rule_is_unchanged() -> None:
    same = weigh_rule(C_MU, RURAL, HEADS.weights, 0.0, ELDERLY)
    np.testing.assert_array_equal(same.intercept, C_MU.intercept)


def test_groups_weighed_by_their_shares_of_arrivals_leave_a_raw_rule_unchanged() -> None:
    """Raw heads: sum_g p_g J_g = J_0, so q = p changes no cost at any w."""
    raw = build_heads(RURAL, AttributeGroups(attributes=("age_group",)), "raw")
    rates = [RURAL.type_rates[raw.type_group == g].sum() for g in range(3)]
    shares = np.array(rates) / sum(rates)
    same = weigh_rule(C_MU, RURAL, raw.weights, 0.7, shares)
    np.testing.assert_allclose(same.intercept, C_MU.intercept)


def test_a_class_gains_by_the_groups_overrepresentation_in_it() -> None:
    """At acuity k, head g pays m_k / lambda_gk per patient of g and head 0 pays 1 / lambda.

    In class (k, band) the mean weights relate as share(g | k, band) / share(g | k), because
    m_k is the share of acuity k: long-stay classes of an acuity gain what the elderly exceed
    their share of the acuity there.
    """
    half = weigh_rule(C_MU, RURAL, HEADS.weights, 0.5, ELDERLY)
    elderly = HEADS.type_group == HEADS.labels.index("elderly")
    for k in np.unique(RURAL.type_class):  # others are of later stages
        in_class = RURAL.type_class == k
        acuity = RURAL.type_acuity[in_class][0]
        of_acuity = RURAL.type_acuity == acuity
        in_share = RURAL.type_rates[in_class & elderly].sum() / RURAL.type_rates[in_class].sum()
        share = RURAL.type_rates[of_acuity & elderly].sum() / RURAL.type_rates[of_acuity].sum()
        expected = C_MU.intercept[k] * (0.5 + 0.5 * in_share / share)
        assert half.intercept[k] == pytest.approx(expected)
