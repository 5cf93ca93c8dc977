"""Starting a policy from a dispatch rule: its index as first logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grpo.models.parameters import Float32, IndexTerm, Int64
from grpo.objectives.advantages import Float64

if TYPE_CHECKING:
    from grpo.environments.hospital.compiling.compiled import CompiledScenario
    from grpo.environments.hospital.rules.dispatch_rules import IndexRule

KAPPA = 2.0
"""How sharply the first policy follows: odds are the ratio of indices to this power."""

RANK_STEP = 3.0
"""Distance between ranks of a rule that ranks first and looks at waits second, times kappa."""

OPTION_MARGIN = 4.0
"""How far below a class's own units each further set starts where both may be taken, nats.

At 1 nat the first policy of the rural hospital took a costly second choice in 27% of the starts
although the own units were free, and 2 million decisions did not make that up.
"""

HOLD_MARGIN = 3.0
"""How far below the least urgent class HOLD starts, nats."""


def wait_features(compiled: CompiledScenario) -> Int64:
    """Return [A] the raw feature log1p(longest wait) of each action's class, -1 for HOLD."""
    names = compiled.feature_names
    features = np.full(compiled.num_actions, -1, dtype=np.int64)
    for action, k in enumerate(compiled.activity_class):
        features[action] = names.index(f"{compiled.class_labels[k]}.log1p_head_wait_hours")
    return features


def make_index_term(
    rule: IndexRule, compiled: CompiledScenario, *, choose_options: bool = False
) -> IndexTerm:
    """Return ``a_k + b_k log1p(wait_k)`` close to kappa times the logarithm of the rule's index.

    An index that is only an intercept gives a = kappa log intercept, b = 0; one that is only a
    slope gives a = kappa log slope, b = kappa. A rule with both ranks by intercept first (strict
    acuity): ranks stand ``RANK_STEP`` apart.
    """
    bias: Float64
    slope: Float64
    if not rule.intercept.any():
        bias, slope = KAPPA * np.log(rule.slope), np.full_like(rule.slope, KAPPA)
    elif not rule.slope.any():
        bias, slope = KAPPA * np.log(rule.intercept), np.zeros_like(rule.intercept)
    else:
        ranks: Int64
        _, ranks = np.unique(rule.intercept, return_inverse=True)
        bias, slope = KAPPA * RANK_STEP * ranks.astype(np.float64), np.full_like(rule.slope, KAPPA)
    bias = (bias - bias.mean())[compiled.activity_class]
    if choose_options:
        bias = bias - OPTION_MARGIN * _option(compiled)
    holds = compiled.num_actions - len(bias)
    return IndexTerm(
        _append(bias, holds, float(bias.min()) - HOLD_MARGIN),
        _append(slope[compiled.activity_class], holds, 0.0),
        wait_features(compiled),
    )


def rule_tensors(rule: IndexRule, compiled: CompiledScenario) -> dict[str, Float64]:
    """Return the rule itself [A] for the policy to carry; zeros for HOLD, which it never takes.

    All sets of units of a class have its index, and of equal ones the first action is taken: the
    first that fits, as in the simulator.
    """
    missing = compiled.num_actions - compiled.num_activities
    of_class = compiled.activity_class
    return {
        "rule.intercept": np.append(rule.intercept[of_class], np.zeros(missing)),
        "rule.slope": np.append(rule.slope[of_class], np.zeros(missing)),
    }


def find_earlier_options(compiled: CompiledScenario) -> Int64:
    """Return [A] the option just before each action in the same class, -1 for none."""
    places = _option(compiled)
    missing = compiled.num_actions - len(places)
    earlier = np.where(places > 0, np.arange(len(places)) - 1, -1)
    return np.append(earlier, np.full(missing, -1)).astype(np.int64)


def _option(compiled: CompiledScenario) -> Int64:
    """Return [A] place of each activity among the sets of units of its class, from 0."""
    places = np.arange(compiled.num_activities, dtype=np.int64)
    return places - compiled.classes.first_activity[compiled.activity_class]


def _append(values: Float64, count: int, value: float) -> Float32:
    """Return values [K] with ``count`` more entries, float32."""
    return np.append(values, np.full(count, value)).astype(np.float32)
