from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.errors import InputError
from grpo.objectives.adaptive_weights import AlphaFair, Floor, GroupDRO
from grpo.objectives.advantages import Float64
from grpo.objectives.group_weights import CVaR, Gini, Mean, Measured, RobustMethod, SoftMin, Worst
from grpo.objectives.methods import METHOD_NAMES, WEIGHTLESS, MethodParameters, make_method

# eighths add without rounding, so that groups that are equal stay equal when a constant is added
returns_lists = st.lists(st.integers(-8000, 8000).map(lambda n: n / 8), min_size=1, max_size=8)
constants = st.integers(-800, 800).map(lambda n: n / 8)

WITH_WEIGHT = [name for name in METHOD_NAMES if name not in WEIGHTLESS]


def make(name: str, weight: float = 0.5) -> RobustMethod:
    return make_method(name, 0.0 if name in WEIGHTLESS else weight)


def measure(returns: Sequence[float] | Float64, errors: float = 0.0, **fields: Any) -> Measured:
    values = np.array(returns, dtype=np.float64)
    known = {"scale": 1.0, "progress": 0.0, "groups": np.arange(len(values))}
    return Measured(values, np.full(len(values), errors), **{**known, **fields})


def weigh(name: str, returns: Sequence[float] | Float64) -> Any:
    """Weights after one measurement from a fresh memory."""
    method, measured = make(name), measure(returns)
    return method.weigh(measured, method.update(np.zeros(len(returns)), measured)).group_weights


def soften(
    returns: Sequence[float] | Float64,
    errors: float = 0.0,
    temperature: float = 0.5,
    **fields: Any,
) -> Any:
    return SoftMin(0.5, temperature).weights(measure(returns, errors, **fields))


@pytest.mark.parametrize("name", [*WITH_WEIGHT, "alpha_fair"])
@given(returns=returns_lists)
def test_weights_are_never_negative_and_sum_to_one(name: str, returns: Sequence[float]) -> None:
    weights = weigh(name, returns)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", WITH_WEIGHT)
@given(returns=returns_lists, constant=constants)
def test_adding_a_constant_to_all_returns_changes_no_weight(
    name: str, returns: Sequence[float], constant: float
) -> None:
    shifted = weigh(name, np.array(returns) + constant)
    assert shifted == pytest.approx(weigh(name, returns), abs=1e-6)


@pytest.mark.parametrize("name", METHOD_NAMES)
@given(returns=returns_lists, random=st.randoms(use_true_random=False))
def test_permuting_groups_permutes_weights(
    name: str, returns: Sequence[float], random: Random
) -> None:
    order = list(range(len(returns)))
    random.shuffle(order)
    permuted = weigh(name, np.array(returns)[order])
    assert permuted == pytest.approx(weigh(name, returns)[order])


@pytest.mark.parametrize("name", [*WITH_WEIGHT, "alpha_fair", "floor"])
@given(returns=returns_lists)
def test_a_worse_group_never_weighs_less(name: str, returns: Sequence[float]) -> None:
    sorted_weights = weigh(name, returns)[np.argsort(returns)]
    assert (np.diff(sorted_weights) <= 1e-12).all()


@pytest.mark.parametrize("name", WITH_WEIGHT)
def test_weight_one_half_of_two_groups_mixes_the_mean_with_the_methods_value(name: str) -> None:
    robust = {"gini": (2 * 1.0 + 5.0) / 3}.get(name, 1.0)
    value = make(name).value(4.0, np.array([5.0, 1.0]))
    assert value == pytest.approx(0.5 * 4 + 0.5 * robust)
    assert make(name, 0.0).value(4.0, np.array([5.0, 1.0])) == 4.0
    assert make(name).value(4.0, np.zeros(0)) == 4.0


@pytest.mark.parametrize("name", ["worst", "cvar", "gini"])
@given(returns=returns_lists)
def test_ranked_weights_are_the_subgradient_of_the_value(
    name: str, returns: Sequence[float]
) -> None:
    """The value is homogeneous in U, so Euler's theorem makes it q . U."""
    method, utilities = make(name, 1.0), np.array(returns)
    capped = method.weigh(measure(returns), utilities).weight
    expected = capped * weigh(name, returns) @ utilities
    assert method.value(0.0, utilities) == pytest.approx(expected)


def test_two_groups_weigh_by_the_logistic_function_of_their_difference() -> None:
    # softmax(−J/τ) with τ = .5 and J = (1, 2): odds e² for the worse; floor .02/2 each
    share = np.exp(2) / (1 + np.exp(2))
    assert soften([1.0, 2.0]) == pytest.approx([0.98 * share + 0.01, 0.98 * (1 - share) + 0.01])


def test_worst_group_takes_all_but_the_floor_as_the_temperature_falls() -> None:
    weights = soften([3.0, 1.0, 2.0], temperature=1e-6)
    assert weights == pytest.approx([0.02 / 3, 1 - 0.04 / 3, 0.02 / 3])


def test_noise_of_the_returns_bounds_the_temperature_from_below() -> None:
    noisy = soften([1.0, 2.0], errors=0.25, temperature=1e-6)
    assert noisy == pytest.approx(soften([1.0, 2.0], temperature=0.5))


def test_unknown_errors_give_equal_weights() -> None:
    assert soften([1.0, 5.0], errors=np.inf) == pytest.approx([0.5, 0.5])


def test_scale_is_the_unit_of_the_temperature() -> None:
    assert soften([10.0, 20.0], scale=10.0) == pytest.approx(soften([1.0, 2.0], scale=1.0))


def test_temperature_falls_geometrically_over_the_training() -> None:
    cooling = SoftMin(0.5, 0.8, 0.2)
    for progress, temperature in ((0.0, 0.8), (0.5, 0.4), (1.0, 0.2)):
        got = cooling.weights(measure([1.0, 2.0], progress=progress))
        assert got == pytest.approx(soften([1.0, 2.0], temperature=temperature))


def test_cvar_fills_the_worst_groups_up_to_its_mass() -> None:
    # mass .5 of 5 groups: the worst two count .4 each of 1 / (.5 * 5), the third the .2 left
    weights = CVaR(0.5, 0.5).weights(measure([5.0, 1.0, 4.0, 2.0, 3.0]))
    assert weights == pytest.approx([0, 0.4, 0, 0.4, 0.2])
    assert CVaR(1.0, 0.5).value(0.0, np.arange(1.0, 6.0)) == pytest.approx(0.4 * 1 + 0.4 * 2 + 0.6)


def test_cvar_is_the_worst_group_at_small_mass_and_the_mean_at_mass_one() -> None:
    measured = measure([3.0, 1.0, 2.0])
    assert CVaR(0.5, 0.2).weights(measured).tolist() == Worst(0.5).weights(measured).tolist()
    assert CVaR(0.5, 1.0).weights(measured) == pytest.approx([1 / 3] * 3)


def test_gini_halves_the_weight_from_rank_to_rank() -> None:
    assert Gini(0.5).weights(measure([3.0, 1.0, 2.0])) == pytest.approx([1 / 7, 4 / 7, 2 / 7])


@pytest.mark.parametrize("name", ["worst", "cvar", "gini"])
def test_groups_that_fare_alike_weigh_alike(name: str) -> None:
    assert weigh(name, [2.0, 2.0]) == pytest.approx([0.5, 0.5])


def test_group_dro_multiplies_its_weights_and_remembers_them() -> None:
    method, memory = GroupDRO(0.5, 0.1), np.zeros(2)
    for _ in range(3):
        memory = method.update(memory, measure([1.0, 3.0], scale=2.0))
    # three steps of exp(−.1 * J / 2): odds exp(.1 * 3 * (3 − 1) / 2) = e^.3 for the worse
    weights = method.weigh(measure([9.0, 9.0]), memory).group_weights
    assert weights[0] / weights[1] == pytest.approx(np.exp(0.3))


def test_alpha_one_weighs_by_the_inverse_of_the_gains() -> None:
    weighing = AlphaFair(1.0, 1.0).weigh(measure([2.0, 5.0]), np.zeros(2))
    assert weighing.weight == 1.0
    assert weighing.group_weights == pytest.approx([0.8, 0.2])  # gains 1 and 4


def test_alpha_fair_weights_differ_by_twenty_times_at_most() -> None:
    for returns in ([1e-9, 1.0], [-5.0, 1.0]):
        weights = AlphaFair(2.0, 0.0).weigh(measure(returns), np.zeros(2)).group_weights
        assert weights[0] / weights[1] == pytest.approx(20)
    below = AlphaFair(2.0, 0.0).weigh(measure([-5.0, -1.0]), np.zeros(2))
    assert below.group_weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.0, 5.0), (1.0, 4.0), (2.0, 3.2), (100.0, 2 * 0.5 ** (-1 / 99))]
)
def test_alpha_fair_value_is_the_power_mean_of_the_gains(alpha: float, expected: float) -> None:
    """Gains 2 and 8: arithmetic mean 5, geometric 4, harmonic 3.2, then towards the least."""
    assert AlphaFair(alpha, -1.0).value(0.0, np.array([1.0, 7.0])) == pytest.approx(expected - 1)


def test_alpha_fair_value_below_the_floor_is_that_of_the_worst_group() -> None:
    assert AlphaFair(1.0, 0.0).value(9.0, np.array([-2.0, 50.0])) == -2.0
    assert AlphaFair(1.0, 0.0).value(9.0, np.zeros(0)) == 9.0


def test_floor_raises_a_multiplier_while_its_group_is_short_and_lowers_it_after() -> None:
    method, memory = Floor(0.1), np.zeros(2)
    memory = method.update(memory, measure([-2.0, np.inf]))
    assert memory.tolist() == pytest.approx([0.2, 0.0])
    assert method.update(memory, measure([1.0, np.inf])).tolist() == pytest.approx([0.1, 0.0])
    # the present shortfall counts 20 steps beside the memory: .2 + 20 * .1 * 2 = 4.2
    weighing = method.weigh(measure([-2.0, np.inf]), memory)
    assert weighing.weight == pytest.approx(4.2 / 5.2)
    assert weighing.group_weights.tolist() == [1.0, 0.0]


def test_floors_that_are_met_leave_plain_ppo() -> None:
    weighing = Floor(0.1).weigh(measure([0.5, np.inf]), np.zeros(2))
    assert weighing.weight == 0.0
    assert weighing.group_weights.tolist() == [0.0, 0.0]


def test_floor_that_cannot_be_met_stops_at_its_cap() -> None:
    method, memory = Floor(1.0), np.zeros(1)
    for _ in range(1000):
        memory = method.update(memory, measure([-1.0]))
    assert memory.tolist() == [20.0]
    assert method.value(3.0, np.array([-0.5, 4.0])) == 3.0 - 20 * 0.5


def test_mean_puts_nothing_on_groups_and_returns_the_mean() -> None:
    weighing = Mean().weigh(measure([1.0, 2.0]), np.zeros(2))
    assert (weighing.weight, weighing.group_weights.tolist()) == (0.0, [0, 0])
    assert Mean().value(3.0, np.array([1.0])) == 3.0


@pytest.mark.parametrize("name", WITH_WEIGHT)
def test_weight_is_capped_unless_the_cap_is_lifted(name: str) -> None:
    measured = measure([1.0, 2.0])
    assert make_method(name, 1.0).weigh(measured, np.zeros(2)).weight == 0.95
    assert make_method(name, 1.0, cap=1.0).weigh(measured, np.zeros(2)).weight == 1.0


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="group_robustness_weight"):
        make_method("softmin", weight)


@pytest.mark.parametrize("name", sorted(WEIGHTLESS))
def test_methods_without_a_weight_refuse_one(name: str) -> None:
    with pytest.raises(InputError, match="takes none"):
        make_method(name, 0.5)


def test_unknown_methods_are_named_with_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"unknown method.*softmin, group_dro"):
        make_method("median")


def test_every_method_says_what_it_optimises_and_where_it_comes_from() -> None:
    for name in METHOD_NAMES:
        text = type(make_method(name, parameters=MethodParameters())).__doc__ or ""
        assert "Source:" in text, name
        assert "ail" in text or "converges" in text, f"{name} states no failure mode"
