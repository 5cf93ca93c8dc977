"""Which robust method a training uses."""

from __future__ import annotations

from grpo.config import Algorithm
from grpo.objectives.group_weights import WEIGHT_CAP, RobustMethod, make_method


def effective_method(
    algorithm: Algorithm, num_groups: int | None, *, weight_cap: float = WEIGHT_CAP
) -> RobustMethod:
    """Return the method; with one group there is nothing to be robust about, and w is 0.

    Args:
        algorithm: names the method, w and the temperature.
        num_groups: None where groups are learned as they appear.
        weight_cap: largest w that is used.
    """
    weight = 0.0 if num_groups == 1 else algorithm.group_robustness_weight
    return make_method(algorithm.method, weight, temperature=algorithm.temperature, cap=weight_cap)
