from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from grpo.errors import InputError, ShapeError
from grpo.fairness.significance import (
    Interval,
    cliffs_delta,
    holm,
    interquartile_mean,
    is_non_inferior,
    probability_of_improvement,
    sign_flip_test,
    two_way_bootstrap,
)

numbers = st.lists(st.integers(-20, 20), min_size=1, max_size=9)


def test_five_positive_seeds_cannot_reach_five_percent() -> None:
    # Of 2^5 sign patterns only all-plus and all-minus are as extreme: 2/32.
    assert sign_flip_test([1, 2, 3, 4, 5]) == 0.0625


@given(differences=numbers)
def test_sign_flip_counts_every_pattern_of_signs(differences: list[int]) -> None:
    extreme = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        >= abs(sum(differences))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    assert sign_flip_test(differences) == sum(extreme) / len(extreme)


def test_holm_steps_down_from_the_smallest() -> None:
    # .01 x 3 = .03; .03 x 2 = .06; .04 x 1 = .04, raised to the .06 before it.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_nor_passes_one(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert (adjusted >= np.array(p_values) - 1e-15).all()
    assert (adjusted <= 1).all()


def test_cliffs_delta_is_one_where_every_value_exceeds_every_other() -> None:
    assert cliffs_delta([1, 2, 3], [0, 0, 0]) == 1
    assert probability_of_improvement([1, 2, 3], [0, 0, 0]) == 1


@given(a=numbers, b=numbers)
def test_probability_of_improvement_is_the_scaled_mann_whitney_statistic(
    a: list[int], b: list[int]
) -> None:
    reference = stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert probability_of_improvement(a, b) == pytest.approx(reference)


@given(values=numbers)
def test_interquartile_mean_equals_scipys_trimmed_mean(values: list[int]) -> None:
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_interquartile_mean_of_eight_numbers_is_that_of_the_middle_four() -> None:
    assert interquartile_mean(range(8)) == 3.5


def test_two_way_bootstrap_covers_where_seeds_and_episodes_both_vary() -> None:
    """Crossed effects, 300 experiments: coverage of nominal 95% within [85%, 99%].

    With 10 seeds the percentile interval is known to be short (about 90-92%); an interval over
    episodes alone would cover less than half of the time here.
    """
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        seeds, episodes = rng.normal(0, 1, 10), rng.normal(0, 1, 40)
        table = seeds[:, None] + episodes[None, :] + rng.normal(0, 1, (10, 40))
        interval = two_way_bootstrap(table, rng, resamples=400)
        covered += interval.low <= 0 <= interval.high
    assert 0.85 <= covered / 300 <= 0.99


def test_two_way_bootstrap_of_seed_effects_alone_is_the_bootstrap_of_seed_means() -> None:
    effects = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    table = np.repeat(effects[:, None], 30, axis=1)
    interval = two_way_bootstrap(table, np.random.default_rng(1), resamples=20_000)
    reference = stats.bootstrap(
        (effects,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert interval.estimate == pytest.approx(6.2)
    assert interval.low == pytest.approx(reference.low, abs=0.3)
    assert interval.high == pytest.approx(reference.high, abs=0.3)


def test_non_inferiority_needs_the_whole_interval_below_the_margin() -> None:
    assert is_non_inferior(Interval(0.0, -0.1, 0.1), margin=0.2)
    assert not is_non_inferior(Interval(0.0, -0.3, 0.3), margin=0.2)


def test_an_interval_knows_whether_it_holds_zero() -> None:
    assert Interval(0.1, -0.1, 0.3).holds_zero
    assert not Interval(0.2, 0.1, 0.3).holds_zero


def test_bad_input_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="/differences"):
        sign_flip_test([])
    with pytest.raises(InputError, match="1 to 20"):
        sign_flip_test(np.ones(21))
    with pytest.raises(InputError, match="/p_values"):
        holm([0.5, 1.5])
    with pytest.raises(InputError, match="not finite"):
        cliffs_delta([np.nan], [1])
    with pytest.raises(ShapeError):
        two_way_bootstrap(np.ones(5), np.random.default_rng(0))
    with pytest.raises(InputError, match="/confidence"):
        two_way_bootstrap(np.ones((3, 3)), np.random.default_rng(0), confidence=1)
    with pytest.raises(InputError, match="/margin"):
        is_non_inferior(Interval(0, 0, 0), margin=-1)
