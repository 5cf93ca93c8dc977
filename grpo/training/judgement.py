"""What a policy is found to be worth on validation seeds."""

from __future__ import annotations

from typing import NamedTuple

RUNOFF_FACTOR = 8
"""How many times as much is judged when the best candidates meet the rule they started from."""


class Judgement(NamedTuple):
    """Performance on validation seeds: J_0, and J_g by label of the groups that were met."""

    mean_return: float
    group_returns: dict[str, float]
