"""The closed form of the accumulating priority queue: published values and limiting cases."""

from __future__ import annotations

import numpy as np
import pytest

from grpo.errors import InputError, ShapeError
from grpo.oracles.accumulating_priority import accumulating_priority_waits
from grpo.oracles.queues import solve_robust_queue

RATES = np.array([0.25, 0.35, 0.3])


def test_rates_4_to_2_to_1_give_the_published_waits() -> None:
    waits = accumulating_priority_waits(RATES, 1.0, np.array([4.0, 2.0, 1.0]))
    assert waits == pytest.approx([4.4470588, 7.8655462, 14.117647], rel=1e-7)


def test_equal_rates_are_first_come_first_served() -> None:
    """rho = .9: W = .9 / .1 = 9 for every class."""
    assert accumulating_priority_waits(RATES, 1.0, np.full(3, 7.0)) == pytest.approx([9.0] * 3)


def test_endless_ratios_are_strict_priority() -> None:
    """Cobham: W_1 = .9 / (1 - .25), W_2 = .9 / (.75 * .4), W_3 = .9 / (.4 * .1)."""
    waits = accumulating_priority_waits(RATES, 1.0, np.array([1e18, 1e9, 1.0]))
    assert waits == pytest.approx([1.2, 3.0, 22.5], rel=1e-6)


def test_what_one_class_gains_the_others_lose() -> None:
    """Kleinrock's conservation law: sum rho W does not depend on the rates."""
    waits = accumulating_priority_waits(RATES, 1.0, np.array([0.3, 5.0, 1.7]))
    assert RATES @ waits == pytest.approx(RATES.sum() * 9.0)


def test_the_robust_optimum_of_three_groups_is_an_accumulating_rule() -> None:
    """Case group_robust_mm1: rates 1 : 1.6659189 : 3.23347 reach the polymatroid's optimum."""
    rates, weights = np.array([0.25, 0.4, 0.2]), np.array([1.0, 1.5, 2.5])
    waits = accumulating_priority_waits(rates, 1.0, np.array([1.0, 1.6659189, 3.23347]))
    costs = np.vstack([weights * rates / rates.sum(), np.diag(weights)])
    best = solve_robust_queue(rates, 1.0, 1, costs, weight=1.0)
    assert weights * waits == pytest.approx(np.full(3, best.value), rel=1e-6)
    assert best.value == pytest.approx(8.0726257, rel=1e-7)


def test_what_the_formula_cannot_tell_is_refused() -> None:
    with pytest.raises(ShapeError):
        accumulating_priority_waits(RATES, 1.0, np.ones(2))
    with pytest.raises(InputError, match="unstable"):
        accumulating_priority_waits(RATES, 0.9, np.ones(3))
    with pytest.raises(InputError, match="above 0"):
        accumulating_priority_waits(RATES, 1.0, np.array([1.0, 0.0, 1.0]))
