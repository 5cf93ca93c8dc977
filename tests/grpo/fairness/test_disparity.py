"""Gaps, worst groups, and the gap that shuffled labels show."""

from __future__ import annotations

import numpy as np
import pytest

from grpo.errors import InputError, ShapeError
from grpo.fairness.disparity import gap, permuted_gaps, worst_group


def zeros(size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.zeros(size, np.int64)


def test_the_gap_is_largest_minus_smallest_and_unknown_for_one_group() -> None:
    assert gap(np.array([1.0, 4.0, 2.5])) == 3
    assert gap(np.array([[1.0, 1.0], [2.0, 5.0]])) == pytest.approx([0, 3])
    assert np.isnan(gap(np.array([1.0])))
    assert np.isnan(gap(np.array([1.0, np.nan])))


def test_the_worst_group_costs_most_and_ties_go_to_the_first() -> None:
    assert worst_group(np.array([1.0, 3.0, 3.0])) == 1
    assert worst_group(np.array([np.nan, 2.0])) == 1
    assert worst_group(np.array([np.nan])) is None


def test_shuffles_are_uniform() -> None:
    # Costs 1, 2, 3, 4, two patients per group. Of the 6 ways to pick the first group, sums 3 and
    # 7 give gap 2, sums 4 and 6 gap 1, two times sum 5 gap 0: a third each.
    costs = np.array([[1.0], [2.0], [3.0], [4.0]])
    found = permuted_gaps(
        costs,
        group=np.array([0, 0, 1, 1]),
        stratum=zeros(4),
        cell=zeros(4),
        mix=np.ones(1),
        num_groups=2,
        seed=1,
    )
    assert found.shape == (1_000, 1)
    shares = [(found == value).mean() for value in (0.0, 1.0, 2.0)]
    # Standard error sqrt(1/3 * 2/3 / 1000) = .015.
    assert shares == pytest.approx([1 / 3] * 3, abs=0.06)


def test_labels_stay_within_their_episode_and_acuity() -> None:
    # Each stratum holds one group only, so no shuffle can change anything: |5 - 2| = 3.
    found = permuted_gaps(
        np.array([[5.0], [5.0], [2.0], [2.0]]),
        group=np.array([0, 0, 1, 1]),
        stratum=np.array([9, 9, 4, 4]),
        cell=zeros(4),
        mix=np.ones(1),
        num_groups=2,
        seed=1,
    )
    assert (found == 3).all()


def test_shuffled_costs_are_standardised_by_acuity() -> None:
    # Within an acuity all cost alike (8 or 2), so every shuffle leaves every group the same
    # standardised cost although the groups' mixes differ: a gap of exactly 0.
    cell = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    found = permuted_gaps(
        np.where(cell == 0, 8.0, 2.0)[:, None],
        group=np.array([0, 0, 0, 0, 1, 1, 1, 1]),
        stratum=cell,
        cell=cell,
        mix=np.array([0.5, 0.5]),
        num_groups=2,
        seed=1,
    )
    assert found == pytest.approx(np.zeros((1_000, 1)), abs=1e-12)


def simulate_null(
    effect: float, experiments: int = 400
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], float]:
    """Say in which experiments the gap is beyond its null, with patients that share beds."""
    generator = np.random.default_rng(12)
    patients, episodes = 240, 8
    episode = generator.integers(episodes, size=patients)
    group = generator.integers(3, size=patients)
    # Half of the spread of a patient's cost is the episode's luck.
    luck = generator.normal(size=(episodes, experiments))[episode]
    costs = (
        5 + luck + generator.normal(size=(patients, experiments)) + effect * (group == 2)[:, None]
    )
    null = permuted_gaps(
        costs,
        group=group,
        stratum=episode,
        cell=zeros(patients),
        mix=np.ones(1),
        num_groups=3,
        seed=3,
    )
    members = np.stack([group == g for g in range(3)]).astype(float)
    means = members @ costs / members.sum(axis=1, keepdims=True)
    return gap(means.T) > np.quantile(null, 0.95, axis=0), float(null.mean())


def test_the_null_is_exceeded_in_one_of_twenty_cases_though_patients_depend_on_each_other() -> None:
    beyond, _ = simulate_null(0.0)
    # .05 +- 3 sqrt(.05 * .95 / 400) = .017 to .083.
    assert 0.017 <= beyond.mean() <= 0.083


def test_a_true_difference_is_found() -> None:
    beyond, _ = simulate_null(1.0, experiments=100)
    # The difference of group means has a standard error near sqrt(1/80 + 1/160) = .14.
    assert beyond.mean() > 0.95


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match="costs"):
        permuted_gaps(
            np.zeros(3),
            group=zeros(3),
            stratum=zeros(3),
            cell=zeros(3),
            mix=np.ones(1),
            num_groups=2,
            seed=1,
        )
    with pytest.raises(InputError, match="groups to differ"):
        permuted_gaps(
            np.zeros((3, 1)),
            group=zeros(3),
            stratum=zeros(3),
            cell=zeros(3),
            mix=np.ones(1),
            num_groups=1,
            seed=1,
        )
