"""Ratios of sums, their contributions by episode, and the bootstrap over whole episodes."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.errors import InputError, ShapeError
from grpo.fairness.intervals import (
    EpisodeBootstrap,
    Estimate,
    Float64,
    expanded_tail,
    keep_possible,
    ratio_of_sums,
    standardised_ratio,
    student_interval,
)


def test_a_ratio_of_sums_is_no_mean_of_ratios() -> None:
    # Sums 4 + 9 = 13 over 2 + 1 = 3 patients: 13/3. The mean of 4/2 and 9/1 would be 11/2.
    found = ratio_of_sums(np.array([4.0, 9.0]), np.array([2.0, 1.0]))
    assert found.value == pytest.approx(13 / 3)
    # z_1 = 13/3 + (4 - 2 * 13/3) / 1.5 = 11/9;  z_2 = 13/3 + (9 - 13/3) / 1.5 = 67/9.
    assert found.per_episode == pytest.approx([11 / 9, 67 / 9])
    assert found.per_episode.mean() == pytest.approx(13 / 3)


def test_contributions_give_the_standard_error_that_the_jackknife_gives() -> None:
    generator = np.random.default_rng(3)
    count = generator.poisson(40, size=200).astype(float)
    cost = count * generator.gamma(9.0, 1 / 9.0, size=200)
    n = 200
    left_out = (cost.sum() - cost) / (count.sum() - count)
    jackknife = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    linear = ratio_of_sums(cost, count).per_episode.std(ddof=1) / np.sqrt(n)
    # They agree up to terms of order 1/n.
    assert linear == pytest.approx(jackknife, rel=0.02)


def test_standardising_by_hand() -> None:
    # One episode. Group 0: acuity A costs 30 for 3 patients (10 each), B costs 4 for 2 (2 each).
    # Group 1: A costs 12 for 1 patient (12), B costs 8 for 8 (1 each). Pooled mix 1/4 A, 3/4 B:
    # group 0: 10/4 + 3 * 2/4 = 4;  group 1: 12/4 + 3 * 1/4 = 3.75.
    # Raw: group 0 34/5 = 6.8, group 1 20/9 = 2.2: most of the raw difference is the mix.
    cost = np.array([[[30.0, 4.0], [12.0, 8.0]]])
    count = np.array([[[3.0, 2.0], [1.0, 8.0]]])
    assert standardised_ratio(cost, count, np.array([0.25, 0.75])).value == pytest.approx([4, 3.75])


def test_standardising_a_group_with_the_pooled_mix_changes_nothing() -> None:
    cost = np.array([[[5.0, 6.0]], [[1.0, 12.0]]])
    count = np.array([[[1.0, 3.0]], [[2.0, 6.0]]])
    standardised = standardised_ratio(cost, count, np.array([0.25, 0.75]))
    assert standardised.value == pytest.approx([24 / 12])


def test_a_group_without_anybody_has_no_value_and_no_cell_of_share_zero_is_needed() -> None:
    nobody = ratio_of_sums(np.zeros((3, 2)), np.array([[1.0, 0.0]] * 3))
    assert nobody.value[0] == 0
    assert np.isnan(nobody.value[1])
    cost, count = np.ones((2, 1, 2)), np.array([[[1.0, 0.0]]] * 2)
    assert np.isnan(standardised_ratio(cost, count, np.array([0.5, 0.5])).value[0])
    assert standardised_ratio(cost, count, np.array([1.0, 0.0])).value[0] == 1


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="of one shape"):
        ratio_of_sums(np.zeros(3), np.zeros(2))
    with pytest.raises(ShapeError, match="mix"):
        standardised_ratio(np.zeros((2, 1, 3)), np.zeros((2, 1, 3)), np.array([0.5, 0.5]))


@pytest.mark.parametrize(("episodes", "t"), [(2, 12.7062), (10, 2.2622), (31, 2.0423)])
def test_tails_are_as_wide_as_students(episodes: int, t: float) -> None:
    # t from tables, 97.5%, n - 1 degrees of freedom.
    expected = NormalDist().cdf(-np.sqrt(episodes / (episodes - 1)) * t)
    assert expanded_tail(episodes) == pytest.approx(expected, rel=2e-3)


def interval_of_mean(bootstrap: EpisodeBootstrap, per_episode: Any) -> tuple[Any, Any]:
    return bootstrap.interval(bootstrap.means(per_episode))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    # 1,000 independent experiments of 16 normal episodes each. A true 95% coverage shows
    # .95 +- 3 sqrt(.95 * .05 / 1000) = .929 to .971; plain percentiles would show about .92.
    data = np.random.default_rng(11).normal(2.0, 1.0, size=(16, 1_000))
    low, high = interval_of_mean(EpisodeBootstrap.draw(16, seed=5), data)
    covered = ((low <= 2.0) & (high >= 2.0)).mean()
    assert 0.929 <= covered <= 0.971


def test_pairing_removes_the_luck_that_both_arms_share() -> None:
    generator = np.random.default_rng(2)
    luck = generator.normal(0, 10.0, size=40)
    policy, rule = luck + generator.normal(size=40), luck + 1.0
    bootstrap = EpisodeBootstrap.draw(40, seed=1)
    low, high = bootstrap.interval(bootstrap.means(policy) - bootstrap.means(rule))
    # sd of the difference is 1, its standard error 1/sqrt(40): about +-.32 around -1.
    assert -1.7 < low < -1.0 < -0.3
    assert high < -0.3
    alone_low, alone_high = interval_of_mean(bootstrap, policy)
    assert alone_high - alone_low > 5 * (high - low)


def test_an_arm_against_itself_differs_by_exactly_nothing() -> None:
    bootstrap = EpisodeBootstrap.draw(5, seed=1)
    values = np.random.default_rng(0).normal(size=5)
    found = bootstrap.interval(bootstrap.means(values) - bootstrap.means(values))
    assert [float(limit) for limit in found] == [0, 0]


def test_one_seed_gives_one_answer_and_another_seed_another() -> None:
    data = np.random.default_rng(0).normal(size=9)
    first, again, other = (
        interval_of_mean(EpisodeBootstrap.draw(9, seed), data) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_every_resample_holds_as_many_episodes_as_there_are() -> None:
    bootstrap = EpisodeBootstrap.draw(7, seed=3)
    assert (bootstrap.counts.sum(axis=1) == 7).all()
    assert bootstrap.resamples == 10_000
    # Each episode is drawn once on average; the mean over 10,000 has standard error .0093.
    assert bootstrap.counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.04)


def test_one_episode_has_no_interval() -> None:
    with pytest.raises(InputError, match="/evaluation/episodes"):
        EpisodeBootstrap.draw(1, seed=0)


def test_students_interval_by_hand_on_each_scale() -> None:
    # Contributions 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14 over 2 * 3, standard error 1.5275;
    # t = 4.30265 for 2 degrees of freedom. Log scale: 3 exp(-+ 4.30265 * 1.5275 / 3).
    step = 4.3026527 * np.sqrt(14 / 6) / 3
    found = student_interval(Estimate(np.array(3.0), np.array([1.0, 2.0, 6.0])))
    assert [float(x) for x in found] == pytest.approx([3 * np.exp(-step), 3 * np.exp(step)])
    # A tenth of it is a share: odds 3 to 7, times exp(-+ 3 step / (10 * .3 * .7)).
    share = student_interval(Estimate(np.array(0.3), np.array([0.1, 0.2, 0.6])), largest=1.0)
    odds = 3 / 7 * np.exp(np.array([-1, 1]) * step / 0.7)
    assert [float(x) for x in share] == pytest.approx(list(odds / (1 + odds)))


def test_what_was_the_same_in_every_episode_bounds_nothing() -> None:
    values = np.array([0.0, 1.0, np.nan, 0.5])
    low, high = student_interval(Estimate(values, np.tile(values, (4, 1))), largest=1.0)
    for bound in (low, high):
        assert np.isnan(bound[:3]).all()
        assert bound[3] == 0.5
    one = student_interval(Estimate(np.array([2.0]), np.array([[2.0]])))
    assert np.isnan(one).all()


@given(
    st.floats(1e-6, 1 - 1e-6), st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from([1.0, np.inf])
)
def test_no_bound_is_impossible_and_short_intervals_stay(
    value: float, below: float, above: float, largest: float
) -> None:
    middle = np.array(value)
    low, high = keep_possible(middle, middle - below, middle + above, largest=largest)
    assert 0 <= low <= value * (1 + 1e-12)
    assert value * (1 - 1e-12) <= high <= largest
    # To first order in a thousandth of the room on the nearer side, nothing moves.
    little = 1e-3 * value * (1 - value)
    low, high = keep_possible(middle, middle - little, middle + little, largest=largest)
    assert [low, high] == pytest.approx([value - little, value + little], abs=2e-3 * little)


def coverage(low: Float64, high: Float64, truth: float) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


def test_intervals_of_costs_and_shares_cover_the_truth_with_few_episodes() -> None:
    """2,000 experiments of 4 busy or quiet episodes each; standard error of a coverage .005.

    Episodes cost 1 on average, exponentially; of their patients 5% leave, by a beta law. Truths
    are known. The linear interval is the control: most of its lower ends are impossible, and what
    it loses there it does not gain above, so that it covers too seldom.
    """
    generator = np.random.default_rng(17)
    count = generator.poisson(50, (4, 2_000)).astype(float)
    cost = count * generator.exponential(1.0, count.shape)
    gone = generator.binomial(count.astype(int), generator.beta(2, 38, count.shape)).astype(float)
    for sums, truth, largest in ((cost, 1.0, np.inf), (gone, 0.05, 1.0)):
        found = ratio_of_sums(sums, count)
        low, high = student_interval(found, largest=largest)
        assert 0.92 <= coverage(low, high, truth) <= 0.98
        half = 3.1824463 * found.per_episode.std(axis=0, ddof=1) / 2  # t, 3 degrees of freedom
        linear = found.value - half, found.value + half
        assert (linear[0] < 0).mean() > 0.5
        assert coverage(*linear, truth) < 0.92
