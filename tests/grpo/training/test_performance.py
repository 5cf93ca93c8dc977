from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from grpo.objectives.advantages import Float64
from grpo.training.ratios import RatioWindow


def sums(*rows: Sequence[float]) -> Float64:
    return np.array(rows, dtype=np.float64)


def test_performance_is_a_ratio_of_sums_never_a_mean_of_ratios() -> None:
    window = RatioWindow()
    window.add(sums([10, 10], [2, 2]), sums([10, 10], [1, 1]))
    ratios, _, _, _ = window.estimate(np.inf)
    assert ratios == pytest.approx([12 / 11, 12 / 11])


def test_error_of_two_groups_is_half_that_of_their_difference() -> None:
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(400, 3))
    window = RatioWindow()
    window.add(rewards, np.ones((400, 3)))
    _, errors, _, _ = window.estimate(np.inf)
    difference = rewards[:, 1] - rewards[:, 2]
    standard_error = difference.std(ddof=1) / np.sqrt(400)
    assert errors == pytest.approx([standard_error / 2] * 2)


def test_window_grows_only_until_the_error_is_small_enough() -> None:
    rng = np.random.default_rng(1)
    window = RatioWindow()
    iterations = [rng.normal(size=(100, 3)) for _ in range(10)]
    for rewards in iterations:
        window.add(rewards, np.ones((100, 3)))
    latest, errors, _, _ = window.estimate(np.inf)
    assert latest == pytest.approx(iterations[-1].mean(axis=0))
    averaged, smaller, _, _ = window.estimate(0.6 * errors.max())
    assert smaller.max() <= 0.6 * errors.max() < errors.max()
    assert not np.allclose(averaged, latest)


def test_group_with_nobody_keeps_its_last_estimate_and_is_no_nan() -> None:
    window = RatioWindow()
    window.add(sums([4, 4, 0]), sums([2, 2, 0]))
    ratios, errors, seen, _ = window.estimate(np.inf)
    assert seen.tolist() == [True, True, False]
    assert ratios.tolist() == [2, 2, 0]
    assert np.isinf(errors[1])
    for _ in range(30):
        window.add(sums([3, 0, 3]), sums([1, 0, 1]))
    ratios, _, seen, _ = window.estimate(0.1)
    assert ratios.tolist() == [3, 2, 3]
    assert seen.all()


def test_groups_may_appear_later() -> None:
    window = RatioWindow()
    window.add(sums([1, 1]), sums([1, 1]))
    window.estimate(np.inf)
    window.add(sums([6, 1, 5]), sums([2, 1, 1]))
    ratios, _, seen, _ = window.estimate(np.inf)
    assert ratios.tolist() == [3, 1, 5]
    assert seen.all()
