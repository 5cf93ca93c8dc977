from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rliable import metrics as rliable  # type: ignore[import-untyped]
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
from grpo.fairness.two_way import TwoWayBootstrap

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
    """Crossed effects, 400 experiments of 10 seeds: nominal 95% covers within 3 binomial errors.

    3 sqrt(.95 * .05 / 400) = .033, and the pigeonhole bootstrap errs to the wide side (Owen 2007),
    so up to all of them. An interval over episodes alone covers about 64%: its variance is .0275,
    the truth's .1275.
    """
    rng = np.random.default_rng(7)
    covered = covered_by_episodes = 0
    for _ in range(400):
        seeds, episodes = rng.normal(0, 1, 10), rng.normal(0, 1, 40)
        table = seeds[:, None] + episodes[None, :] + rng.normal(0, 1, (10, 40))
        interval = two_way_bootstrap(table, rng, resamples=400)
        covered += interval.low <= 0 <= interval.high
        means = table.mean(axis=0)
        covered_by_episodes += abs(means.mean()) < 2 * means.std(ddof=1) / np.sqrt(40)
    assert covered / 400 >= 0.95 - 0.033
    assert covered_by_episodes / 400 < 0.75


def test_plain_percentiles_of_seed_effects_are_the_bootstrap_of_seed_means() -> None:
    effects = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    table = np.repeat(effects[:, None], 30, axis=1)
    interval = two_way_bootstrap(table, np.random.default_rng(1), resamples=20_000, expanded=False)
    reference = stats.bootstrap(
        (effects,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert interval.estimate == pytest.approx(6.2)
    assert interval.low == pytest.approx(reference.low, abs=0.3)
    assert interval.high == pytest.approx(reference.high, abs=0.3)
    wide = two_way_bootstrap(table, np.random.default_rng(1), resamples=20_000)
    assert wide.low < interval.low
    assert wide.high > interval.high


def test_one_set_of_episodes_serves_all_seeds() -> None:
    # What episodes add to every seed alike cancels in no resample: the spread of the mean is
    # that of 4 episodes, not of 4 x 50 independent ones.
    episodes = np.array([0.0, 1.0, 2.0, 3.0])
    table = np.repeat(episodes[None, :], 50, axis=0)
    bootstrap = TwoWayBootstrap.draw(50, 4, np.random.default_rng(3))
    samples = bootstrap.over_seeds(bootstrap.by_seed(table))
    # Variance of the mean of 4 draws of 0..3: (15/12) / 4 = .3125.
    assert samples.var() == pytest.approx(0.3125, rel=0.06)


@given(
    a=st.lists(st.floats(-5, 5), min_size=4, max_size=12),
    b=st.lists(st.floats(-5, 5), min_size=4, max_size=12),
)
@settings(max_examples=30, deadline=None)
def test_rliable_finds_the_same_interquartile_mean_and_probability(
    a: list[float], b: list[float]
) -> None:
    x, y = np.array(a)[:, None], np.array(b)[:, None]  # runs x one task
    assert interquartile_mean(a) == pytest.approx(rliable.aggregate_iqm(x))
    assert probability_of_improvement(a, b) == pytest.approx(
        rliable.probability_of_improvement(x, y)
    )


@given(differences=st.lists(st.integers(-12, 12).map(lambda n: n / 4), min_size=2, max_size=9))
@settings(max_examples=30, deadline=None)
def test_scipys_permutation_test_finds_the_same_p_value(differences: list[float]) -> None:
    values = np.array(differences, np.float64)
    reference = stats.permutation_test(
        [values], np.mean, permutation_type="samples", n_resamples=2 ** len(differences)
    ).pvalue
    # scipy doubles the smaller tail; signs are flipped symmetrically, so that is the same.
    assert sign_flip_test(differences) == pytest.approx(reference)


def test_scipys_false_discovery_control_is_less_strict_than_holm() -> None:
    p_values = [0.001, 0.01, 0.02, 0.04, 0.5]
    # By hand: .005, .04, .06, .08, .5.
    assert holm(p_values) == pytest.approx([0.005, 0.04, 0.06, 0.08, 0.5])
    assert (holm(p_values) >= stats.false_discovery_control(p_values)).all()


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
