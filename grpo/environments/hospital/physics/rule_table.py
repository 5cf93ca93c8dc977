"""Dispatch rules as numbers: what a rule is, and the tables in which kernels read many of them.

The index of a class is ``intercept + slope * head wait + count_slope * number waiting
+ debt_slope * what the class's group has cost so far``. A rule starts the class with the largest
index or, if it is drawn, a class by lottery in proportion to the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Columns of RuleTable.coefficients.
INTERCEPT, SLOPE, COUNT_SLOPE, DEBT_SLOPE = 0, 1, 2, 3
NUM_COEFFICIENTS = 4
# Columns of RuleTable.limits; from RESERVE on one per pool.
DEBT_HEAD, RESERVE = 0, 1
NO_HEAD = -1
# A row of no table: no rule chooses.
NO_RULE = -1


@dataclass(frozen=True, eq=False)
class IndexRule:
    """A rule that picks the feasible class with the largest index; what a policy can start from.

    Attributes:
        name: what it is called in reports.
        intercept: [K] index at a wait of zero.
        slope: [K] growth of the index per hour of waiting, >= 0.
    """

    name: str
    intercept: Float64
    slope: Float64


@dataclass(frozen=True, eq=False)
class DispatchRule(IndexRule):
    """An index rule with more to it; every field left out does nothing.

    Attributes:
        count_slope: [K] growth of the index per waiting patient of the class.
        debt_slope: [K] growth of the index per unit that the class's group has cost so far.
        debt_head: [K] row of ``debt_weights`` that stands for the class's group, NO_HEAD for none.
        debt_weights: [D, Y] weight of each patient type in the cost of each group.
        reserve: [K, P] units of a pool that must stay free after a start of the class; only of
            pools that the class takes units of.
        drawn: whether the class is drawn with a chance proportional to its index, 0 if negative.
    """

    count_slope: Float64 | None = None
    debt_slope: Float64 | None = None
    debt_head: Int64 | None = None
    debt_weights: Float64 | None = None
    reserve: Int64 | None = None
    drawn: bool = False


class RuleTable(NamedTuple):
    """R rules for K classes and P pools as the kernels read them, in few arrays.

    Attributes:
        coefficients: [R, K, 4] INTERCEPT, SLOPE, COUNT_SLOPE, DEBT_SLOPE.
        limits: [R, K, 1 + P] DEBT_HEAD, then the units of each pool kept free.
        drawn: [R] 1 where the class is drawn by lottery, else 0.
    """

    coefficients: Float64
    limits: Int64
    drawn: Int64


def stack_rules(rules: Sequence[IndexRule], num_pools: int) -> RuleTable:
    """Lay rules out for the kernels.

    Args:
        rules: R >= 1 rules for the same K classes.
        num_pools: P of the scenario.
    """
    num_classes = len(rules[0].intercept)
    coefficients = np.zeros((len(rules), num_classes, NUM_COEFFICIENTS))
    limits = np.zeros((len(rules), num_classes, RESERVE + num_pools), dtype=np.int64)
    limits[:, :, DEBT_HEAD] = NO_HEAD
    drawn = np.zeros(len(rules), dtype=np.int64)
    for r, rule in enumerate(rules):
        coefficients[r, :, INTERCEPT] = rule.intercept
        coefficients[r, :, SLOPE] = rule.slope
        if not isinstance(rule, DispatchRule):
            continue
        drawn[r] = rule.drawn
        if rule.count_slope is not None:
            coefficients[r, :, COUNT_SLOPE] = rule.count_slope
        if rule.debt_slope is not None:
            coefficients[r, :, DEBT_SLOPE] = rule.debt_slope
        if rule.debt_head is not None:
            limits[r, :, DEBT_HEAD] = rule.debt_head
        if rule.reserve is not None:
            limits[r, :, RESERVE:] = rule.reserve
    return RuleTable(coefficients, limits, drawn)


NO_RULES = RuleTable(
    np.zeros((0, 0, 0)), np.zeros((0, 0, 0), dtype=np.int64), np.zeros(0, dtype=np.int64)
)
"""What a kernel that takes rules is given where none of them chooses."""
