"""What the robust objective pays for each class, and dispatch rules for those costs."""

from __future__ import annotations

import numpy as np

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.rules.dispatch_rules import IndexRule
from grpo.objectives.advantages import Float64

COST_RULES = frozenset({"c_mu", "c_mu_theta", "gc_mu"})
"""Rules whose index is proportional to the cost of waiting in the class."""


def weigh_rule(
    rule: IndexRule,
    compiled: CompiledScenario,
    head_weights: Float64,
    weight: float,
    group_weights: Float64,
) -> IndexRule:
    """Return an index rule for the costs that ``(1 - w) J_0 + w sum_g q_g J_g`` puts on classes.

    With q frozen the robust problem is a mean problem with other costs: waiting in class k costs
    ``(1 - w) + w sum_g q_g W_gk / W_0k`` times as much, W_hk the class's mean weight in head h.

    Args:
        rule: its index is proportional to the cost of waiting (``COST_RULES``).
        compiled: the scenario.
        head_weights: [1 + G, Y] weight of each patient type in each head.
        weight: w in [0, 1].
        group_weights: [G] q, sum 1.

    Source: the rule's own, applied to the gradient of F; see docs/algorithm.md.
    """
    factors = np.ones(compiled.num_classes)
    for k, rates in enumerate(compiled.class_arrivals):
        if rates.sum() > 0:
            means = head_weights @ rates
            factors[k] = (1 - weight) + weight * (group_weights @ means[1:]) / means[0]
    return IndexRule(rule.name, rule.intercept * factors, rule.slope * factors)


def average_within_classes(compiled: CompiledScenario, weights: Float64) -> Float64:
    """Return head weights [H, Y] with every type's replaced by the mean over its class.

    A policy cannot tell types of one class apart. Where they also cost the same and leave by the
    same law, a patient's type is independent of his wait given his class, so every head keeps its
    expectation while rewards lose the noise of who happened to come. Classes in which types
    differ keep their own weights.

    Source: Rao-Blackwell; conditioning a reward on what decides its distribution.
    """
    averaged = weights.copy()
    laws = np.column_stack(
        [
            compiled.cost_rates,
            compiled.target_hours,
            compiled.leaving_costs,
            compiled.diversion_costs,
            compiled.laws.patience,
            compiled.deterioration_rates,
            compiled.recorded,
        ]
    )
    if compiled.scenario.stages:
        # Who boards, and for how long, depends on routes and stays too.
        laws = np.hstack([laws, *compiled.routes, *compiled.laws.stays])
    for label in np.unique(compiled.type_class):
        members = (compiled.type_class == label) & (compiled.type_rates > 0)
        if members.any() and (laws[members] == laws[members][0]).all():
            rates = compiled.type_rates[members]
            averaged[:, members] = (weights[:, members] @ rates / rates.sum())[:, None]
    return averaged
