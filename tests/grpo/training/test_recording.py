"""What is copied into a rollout is what environments gave, normalised as anywhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grpo.models.normalization import CLIP, normalize
from grpo.training.kernels.recording import record_observations, record_outcomes
from grpo.training.rollout import are_finite


def test_recorded_observations_are_normalised_to_the_bit_as_policies_do() -> None:
    rng = np.random.default_rng(0)
    observations = (5 * rng.standard_normal((6, 4))).astype(np.float32)
    observations[2, 1] = np.nan
    masks = rng.random((6, 3)) < 0.5
    means = rng.standard_normal((2, 4)).astype(np.float32)
    inverse_stds = np.array([[0.1, 1, 30, 7], [3, 1e4, 0.5, 2]], dtype=np.float32)
    raw, row, mask_row = np.empty_like(observations), np.empty_like(observations), ~masks
    record_observations(observations, masks, means, inverse_stds, CLIP, raw, mask_row, row)
    own = [
        normalize(observations[rows], *moments)
        for rows, *moments in zip((slice(3), slice(3, 6)), means, inverse_stds, strict=True)
    ]
    assert np.array_equal(row, np.concatenate(own), equal_nan=True)
    assert (np.abs(row) == CLIP).any()
    assert np.array_equal(raw, observations, equal_nan=True)
    assert np.array_equal(mask_row, masks)


def test_recorded_outcomes_are_cut_only_where_they_have_not_terminated() -> None:
    floats = np.arange(12, dtype=np.float32).reshape(4, 3)
    terminated, truncated = np.array([[0, 1, 0, 1], [0, 0, 1, 1]], dtype=np.bool_)
    groups = np.array([0, 2, 1, -1])
    one, other = floats[:, 1].copy(), floats[:, 2].copy()
    given: list[Any] = [floats, one, other, terminated, truncated, groups]
    rows: list[Any] = [np.zeros((4, 2), np.float32), *(np.empty_like(own) for own in given[1:])]
    assert record_outcomes(*given, *rows) == 1
    assert rows[0].tolist() == floats[:, :2].tolist()
    assert all(np.array_equal(rows[n], given[n]) for n in (1, 2, 3, 5))
    assert rows[4].tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("number", "finite"), [(1e30, True), (-3.4e38, True), (np.nan, False), (-np.inf, False)]
)
def test_numbers_are_finite_also_where_their_squares_are_not(number: float, finite: bool) -> None:
    array = np.ones((2, 3, 4), dtype=np.float32)
    array[1, 2, 0] = number
    assert are_finite(array) is finite
