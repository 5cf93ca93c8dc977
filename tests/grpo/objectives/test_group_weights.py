from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.errors import InputError
from grpo.objectives.advantages import Float64
from grpo.objectives.group_weights import Mean, SoftMin, make_method, robust_objective

returns_lists = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8)


def weigh(
    returns: Sequence[float] | Float64,
    errors: float = 0.0,
    scale: float = 1.0,
    temperature: float = 0.5,
) -> Any:
    values = np.array(returns, dtype=np.float64)
    return SoftMin(0.5, temperature).weights(values, np.full(len(values), errors), scale)


@given(returns_lists)
def test_weights_are_positive_and_sum_to_one(returns: Sequence[float] | Float64) -> None:
    weights = weigh(returns)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1)


@given(returns_lists, st.floats(-100, 100))
def test_adding_a_constant_to_all_returns_changes_nothing(
    returns: Sequence[float] | Float64, constant: float
) -> None:
    shifted = weigh(np.array(returns) + constant)
    assert shifted == pytest.approx(weigh(returns), abs=1e-6)


@given(returns_lists, st.randoms(use_true_random=False))
def test_permuting_groups_permutes_weights(
    returns: Sequence[float] | Float64, random: Random
) -> None:
    order = list(range(len(returns)))
    random.shuffle(order)
    assert weigh(np.array(returns)[order]) == pytest.approx(weigh(returns)[order])


def test_two_groups_weigh_by_the_logistic_function_of_their_difference() -> None:
    # softmax(−J/τ) with τ = .5 and J = (1, 2): odds e² for the worse; floor .02/2 each
    share = np.exp(2) / (1 + np.exp(2))
    assert weigh([1.0, 2.0]) == pytest.approx([0.98 * share + 0.01, 0.98 * (1 - share) + 0.01])


def test_worst_group_takes_all_but_the_floor_as_the_temperature_falls() -> None:
    weights = weigh([3.0, 1.0, 2.0], temperature=1e-6)
    assert weights == pytest.approx([0.02 / 3, 1 - 0.04 / 3, 0.02 / 3])


def test_noise_of_the_returns_bounds_the_temperature_from_below() -> None:
    noisy = weigh([1.0, 2.0], errors=0.25, temperature=1e-6)
    assert noisy == pytest.approx(weigh([1.0, 2.0], temperature=0.5))


def test_unknown_errors_give_equal_weights() -> None:
    assert weigh([1.0, 5.0], errors=np.inf) == pytest.approx([0.5, 0.5])


def test_scale_is_the_unit_of_the_temperature() -> None:
    assert weigh([10.0, 20.0], scale=10.0) == pytest.approx(weigh([1.0, 2.0], scale=1.0))


def test_mean_puts_nothing_on_groups_and_returns_the_mean() -> None:
    assert Mean().weights(np.array([1.0, 2.0]), np.zeros(2), 1.0).tolist() == [0, 0]
    assert Mean().value(3.0, np.array([1.0])) == 3.0


def test_objective_mixes_mean_and_worst_group() -> None:
    assert robust_objective(4.0, np.array([5.0, 1.0]), 0.25) == pytest.approx(0.75 * 4 + 0.25)
    assert robust_objective(4.0, np.array([5.0, 1.0]), 0.0) == 4.0
    assert robust_objective(4.0, np.zeros(0), 0.5) == 4.0


def test_weight_is_capped_unless_the_cap_is_lifted() -> None:
    assert make_method("softmin", 1.0).weight == 0.95
    assert make_method("softmin", 1.0, cap=1.0).weight == 1.0


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="group_robustness_weight"):
        make_method("softmin", weight)


def test_mean_takes_no_weight_and_unknown_methods_are_named() -> None:
    with pytest.raises(InputError, match="takes none"):
        make_method("mean", 0.5)
    with pytest.raises(InputError, match="unknown method"):
        make_method("median", 0.5)
