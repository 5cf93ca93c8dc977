"""Waits with censoring: Kaplan-Meier means and quantiles, and their contributions by episode."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats._survival import EmpiricalDistributionFunction

from grpo.errors import InputError, ShapeError
from grpo.fairness.intervals import EpisodeBootstrap
from grpo.fairness.waits import (
    Waits,
    resampled_wait_quantile,
    restricted_mean,
    survival_of,
    wait_quantile,
)


def make_waits(minutes: list[float], ended: list[bool], episode: list[int] | None = None) -> Waits:
    return Waits(
        np.array(minutes, np.float64),
        np.array(ended, np.bool_),
        np.array([0] * len(minutes) if episode is None else episode, np.int64),
    )


def draw_waits(seed: int, patients: int, episodes: int, *, censor: float) -> Waits:
    """Draw exponential waits of mean 60 minutes, censored at exponential times."""
    generator = np.random.default_rng(seed)
    wait = generator.exponential(60.0, patients)
    limit = generator.exponential(censor, patients) if censor else np.full(patients, np.inf)
    return Waits(
        np.minimum(wait, limit), wait <= limit, generator.integers(episodes, size=patients)
    )


def copies_of(waits: Waits, counts: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Waits:
    """Repeat every patient as often as his episode was drawn."""
    times = counts.astype(int)[waits.episode]
    return Waits(
        np.repeat(waits.minutes, times), np.repeat(waits.ended, times),
        np.repeat(waits.episode, times),
    )  # fmt: skip


def scipys_curve(waits: Waits) -> EmpiricalDistributionFunction:
    data = stats.CensoredData.right_censored(waits.minutes, ~waits.ended)
    return stats.ecdf(data).sf


def test_a_censored_wait_shares_its_weight_among_those_who_waited_longer() -> None:
    # Ends at 5 and 45, censored at 10: 5 + 2/3 * (45 - 5) = 95/3; treated alone would say 25.
    waits = make_waits([5, 10, 45], [True, False, True])
    assert restricted_mean(waits, 1, 1_000.0).value == pytest.approx(95 / 3)
    # Up to 20 minutes: 5 + 2/3 * 15.
    assert restricted_mean(waits, 1, 20.0).value == pytest.approx(15)
    # A third is gone after 5 minutes, all after 45.
    assert [wait_quantile(waits, level) for level in (0.3, 0.5, 0.9)] == [5, 45, 45]


def test_without_censoring_mean_and_quantile_are_the_plain_ones() -> None:
    waits = draw_waits(1, 101, 3, censor=0)
    assert restricted_mean(waits, 3, 1e9).value == pytest.approx(waits.minutes.mean())
    capped = restricted_mean(waits, 3, 50.0)
    assert capped.value == pytest.approx(np.minimum(waits.minutes, 50).mean())
    # The 91st of 101 is the first that at least 90% (90.9) do not exceed.
    assert wait_quantile(waits, 0.9) == np.sort(waits.minutes)[90]
    # Contributions of patients are then min(wait, limit) minus the mean, over n.
    deviation = (np.minimum(waits.minutes, 50) - capped.value) / 101
    expected = capped.value + 3 * np.bincount(waits.episode, deviation)
    assert capped.per_episode == pytest.approx(expected)


def test_a_quantile_that_censoring_hides_is_not_known() -> None:
    waits = make_waits([5, 10, 45], [True, True, False])
    assert wait_quantile(waits, 0.6) == 10
    assert np.isnan(wait_quantile(waits, 0.9))
    assert np.isnan(wait_quantile(make_waits([], []), 0.9))


def test_nobody_has_no_mean_and_no_contribution() -> None:
    nobody = restricted_mean(make_waits([], []), 4, 60.0)
    assert np.isnan(nobody.value)
    assert np.isnan(nobody.per_episode).all()
    assert nobody.per_episode.shape == (4,)


def test_a_wait_whose_end_is_never_known_counts_up_to_the_limit() -> None:
    # One of two ends at 10; the other is censored at 30: half still wait up to 100.
    waits = make_waits([10, 30], [True, False])
    assert restricted_mean(waits, 1, 100.0).value == pytest.approx(10 + 0.5 * 90)


def test_the_curve_recovers_the_truth_that_treated_only_waits_miss() -> None:
    # Exponential waits of mean 60, half of them censored; 20,000 patients, standard error of the
    # Kaplan-Meier mean below 1. Those whose wait ended waited min(wait, limit): 30 on average.
    waits = draw_waits(4, 20_000, 10, censor=60.0)
    assert waits.minutes[waits.ended].mean() == pytest.approx(30, abs=1.5)
    # Restricted at 200 minutes: 60 (1 - exp(-200/60)).
    truth = 60 * (1 - np.exp(-200 / 60))
    assert restricted_mean(waits, 10, 200.0).value == pytest.approx(truth, abs=3)
    assert wait_quantile(waits, 0.5) == pytest.approx(60 * np.log(2), abs=2)


def test_contributions_are_those_of_leaving_episodes_out() -> None:
    # Jackknife over 60 episodes against the linearised contributions: equal to order 1/E.
    waits = draw_waits(3, 1_500, 60, censor=120.0)
    found = restricted_mean(waits, 60, 240.0)
    assert found.per_episode.mean() == pytest.approx(float(found.value))
    left_out = np.array(
        [
            restricted_mean(Waits(*(c[waits.episode != e] for c in waits)), 60, 240.0).value
            for e in range(60)
        ]
    )
    jackknife = np.sqrt(59 / 60 * ((left_out - left_out.mean()) ** 2).sum())
    linear = found.per_episode.std(ddof=1) / np.sqrt(60)
    assert linear == pytest.approx(jackknife, rel=0.03)


def test_contributions_of_single_patients_have_greenwoods_variance() -> None:
    # One patient an episode; up to t the mean of a two-valued S: var from scipy's confidence band.
    waits = draw_waits(8, 400, 1, censor=90.0)
    single = waits._replace(episode=np.arange(400))
    found = restricted_mean(single, 400, 120.0)
    linear = np.square(found.per_episode - found.value).sum() / 400**2
    curve = scipys_curve(waits)
    times = curve.quantiles
    area = np.append(curve.probabilities[:-1] * np.diff(np.minimum(times, 120.0)), 0.0)
    after = np.cumsum(area[::-1])[::-1]
    at_risk = np.array([(waits.minutes >= t).sum() for t in times])
    ends = np.array([(waits.minutes[waits.ended] == t).sum() for t in times])
    # Greenwood for a restricted mean: sum A_j^2 d_j / (Y_j (Y_j - d_j)); no ties, d_j <= 1.
    greenwood = (after**2 * ends / np.maximum(at_risk * (at_risk - ends), 1)).sum()
    assert linear == pytest.approx(greenwood, rel=0.02)


@pytest.mark.parametrize("censor", [0.0, 200.0])
def test_resampled_quantiles_equal_those_of_patients_copied_one_by_one(censor: float) -> None:
    waits = draw_waits(4, 300, 6, censor=censor)
    bootstrap = EpisodeBootstrap.draw(6, seed=8)
    found = resampled_wait_quantile(waits, 0.9, bootstrap)
    for row in range(0, 2_000, 97):
        expected = wait_quantile(copies_of(waits, bootstrap.counts[row]), 0.9)
        if censor:  # below the median, censored waits count as at risk in their whole bin
            near = np.nan if np.isnan(found[row]) else 30.0
            assert (np.isnan(expected) and np.isnan(found[row])) or abs(
                found[row] - expected
            ) < near
        else:
            assert found[row] == expected


def test_resampled_quantiles_lie_near_those_of_many_patients() -> None:
    waits = draw_waits(4, 20_000, 10, censor=0)
    bootstrap = EpisodeBootstrap.draw(10, seed=8)
    found = resampled_wait_quantile(waits, 0.9, bootstrap)
    for row in range(0, 2_000, 499):
        # The grid steps by .1% of patients; at the 90th percentile 60 * .001 / .1 = .6 minutes.
        expected = wait_quantile(copies_of(waits, bootstrap.counts[row]), 0.9)
        assert found[row] == pytest.approx(expected, abs=1.3)


def test_a_resample_without_anybody_has_no_quantile() -> None:
    bootstrap = EpisodeBootstrap.draw(3, seed=8)
    assert np.isnan(resampled_wait_quantile(make_waits([], []), 0.9, bootstrap)).all()
    # All patients came in episode 0: resamples without it hold nobody.
    some = resampled_wait_quantile(make_waits([1, 2], [True, True]), 0.9, bootstrap)
    assert (np.isnan(some) == (bootstrap.counts[:2_000, 0] == 0)).all()


@pytest.mark.parametrize("minutes_apart", [1e-9, 5.0])
def test_the_curve_is_scipys_with_and_without_ties(minutes_apart: float) -> None:
    drawn = draw_waits(5, 300, 1, censor=60.0)
    waits = drawn._replace(minutes=np.round(drawn.minutes / minutes_apart) * minutes_apart)
    found, known = survival_of(waits), scipys_curve(waits)
    assert (found.times == known.quantiles).all()
    assert found.probabilities == pytest.approx(known.probabilities, abs=1e-12)
    assert len(found.times) < 100 if minutes_apart == 5.0 else len(found.times) == 300


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="/limit_minutes"):
        restricted_mean(make_waits([1], [True]), 1, np.inf)
    with pytest.raises(ShapeError, match="level"):
        resampled_wait_quantile(make_waits([1], [True]), 0.4, EpisodeBootstrap.draw(3, seed=8))
