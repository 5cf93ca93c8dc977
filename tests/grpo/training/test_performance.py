from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from grpo.objectives.advantages import Float64
from grpo.training.kernels.episodes import add_episodes, follow_episodes
from grpo.training.ratios import WINDOW, RatioWindow


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


def test_few_environments_count_once_for_each_iteration() -> None:
    rng = np.random.default_rng(2)
    rewards, counts = rng.normal(size=(2, 3, 3)), rng.integers(1, 9, size=(2, 3, 3)).astype(float)
    window, pooled = RatioWindow(), RatioWindow()
    for sums in zip(rewards, counts, strict=True):
        window.add(*sums)
    pooled.add(np.concatenate(rewards[::-1]), np.concatenate(counts[::-1]))
    for got, expected in zip(window.estimate(0.0), pooled.estimate(0.0), strict=True):
        assert np.array_equal(got, expected)


def test_only_the_latest_iterations_count_and_a_restored_window_goes_on() -> None:
    rng = np.random.default_rng(3)
    window, restored = RatioWindow(), RatioWindow()
    levels = np.arange(WINDOW + 15.0)  # of all columns alike, so that no difference ever moves
    rewards = levels[:, None, None] + rng.normal(size=(10, 4))
    for own in rewards[:-2]:
        window.add(own, np.ones_like(own))
    window.estimate(np.inf)
    restored.restore_state(window.save_state())
    for other in (window, restored):
        for own in rewards[-2:]:
            other.add(own, np.ones_like(own))
        ratios, errors, _, totals = other.estimate(0.0)
        assert totals.tolist() == [10 * WINDOW] * 4
        assert ratios == pytest.approx(rewards[-WINDOW:].mean(axis=(0, 1)))
        assert np.isfinite(errors).all()


def test_episodes_that_end_are_counted_for_everybody_and_for_their_group() -> None:
    rewards = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)[..., None]
    terminated = np.array([[0, 1], [0, 0], [1, 0]], dtype=np.bool_)
    truncated = np.array([[0, 0], [0, 1], [0, 0]], dtype=np.bool_)
    groups = np.array([[0, 1], [0, -1], [0, 1]])
    running, lengths = np.array([10.0, 0.0]), np.array([2, 0])
    environments, steps, ended_groups = np.zeros((3, 6), dtype=np.int64)
    returns = np.zeros(6)
    filled = environments, returns, steps, ended_groups
    count = follow_episodes(rewards, terminated, truncated, groups, running, lengths, *filled)
    assert [array[:count].tolist() for array in filled] == [
        [1, 1, 0],
        [2, 4, 10 + 1 + 3 + 5],
        [1, 1, 2 + 3],
        [1, -1, 0],
    ]
    assert (running.tolist(), lengths.tolist()) == ([0, 6], [0, 1])
    totals, counts = np.zeros((2, 3)), np.zeros((2, 3))
    add_episodes(environments[:count], returns[:count], ended_groups[:count], totals, counts)
    assert totals.tolist() == [[19, 19, 0], [2 + 4, 0, 2]]
    assert counts.tolist() == [[1, 1, 0], [2, 0, 1]]


def test_groups_may_appear_later() -> None:
    window = RatioWindow()
    window.add(sums([1, 1]), sums([1, 1]))
    window.estimate(np.inf)
    window.add(sums([6, 1, 5]), sums([2, 1, 1]))
    ratios, _, seen, _ = window.estimate(np.inf)
    assert ratios.tolist() == [3, 1, 5]
    assert seen.all()
