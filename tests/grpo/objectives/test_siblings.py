"""Environments that share a future as each other's baseline: by hand, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest

from grpo.objectives.siblings import find_sibling_advantages, subtract_baseline


def columns(*values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64).T


def test_the_baseline_is_the_siblings_first_decision_at_or_after_the_moment() -> None:
    clocks = columns([0.0, 1.0, 1.0, 4.0], [0.0, 0.0, 2.0, 3.0])
    advantages = columns([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0])
    baseline, known = find_sibling_advantages(advantages, clocks, 2)
    # At hour 1 the second decides next at hour 2; after hour 4 never again.
    assert baseline[:, 0].tolist() == [10.0, 30.0, 30.0, 0.0]
    assert known[:, 0].tolist() == [True, True, True, False]
    assert baseline[:, 1].tolist() == [1.0, 1.0, 4.0, 4.0]
    assert known[:, 1].all()


def test_clocks_that_differ_by_rounding_are_one_moment() -> None:
    clocks = columns([0.0, 1.0], [0.0, 0.9999999])
    baseline, known = find_sibling_advantages(columns([1.0, 2.0], [3.0, 4.0]), clocks, 2)
    assert baseline.tolist() == [[3.0, 1.0], [4.0, 2.0]]
    assert known.all()


def test_families_are_apart_and_the_mean_is_over_the_siblings_who_still_decide() -> None:
    """Six environments, three siblings: 0, 2, 4 are a family and 1, 3, 5 are the other."""
    clocks = columns(*([0.0, 1.0],) * 4, [0.0, 0.5], [0.0, 1.0])
    advantages = columns([1, 1], [9, 9], [2, 4], [9, 9], [6, 8], [9, 9])
    baseline, _ = find_sibling_advantages(advantages, clocks, 3)
    assert baseline[:, 0].tolist() == [4.0, 4.0]  # (2 + 6) / 2; then only the second still decides
    assert baseline[:, 1].tolist() == [9.0, 9.0]


def test_ones_own_advantage_never_enters_ones_own_baseline() -> None:
    """What the gradient needs to stay unbiased."""
    rng = np.random.default_rng(0)
    clocks = rng.random((20, 8)).cumsum(axis=0)
    advantages = rng.normal(size=(20, 8)).astype(np.float32)
    before, _ = find_sibling_advantages(advantages, clocks, 4)
    advantages[:, 5] += 100.0
    after, _ = find_sibling_advantages(advantages, clocks, 4)
    np.testing.assert_array_equal(after[:, 5], before[:, 5])
    assert not np.allclose(after[:, 1], before[:, 1])


def test_what_the_siblings_share_is_subtracted_and_what_tells_nothing_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    shared, noise = rng.normal(size=(2, 500, 4))
    known = np.ones((500, 4), dtype=np.bool_)
    left = subtract_baseline((shared + 0.1 * noise).astype(np.float32), shared, known)
    assert left.std() == pytest.approx(0.1, rel=0.05)
    unrelated = subtract_baseline(noise.astype(np.float32), shared, known)
    assert unrelated.std() == pytest.approx(noise.std(), rel=0.01)
    same = noise.astype(np.float32)
    assert subtract_baseline(same, np.zeros_like(noise), np.zeros_like(known)) is same
