"""How unevenly a good or a burden is shared: Gini, Jain, Theil."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grpo.errors import InputError

Float64 = NDArray[np.float64]


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient: the mean absolute difference over twice the mean.

    0 means that all are equal; (n - 1) / n that one of n has everything, so 1 is approached by
    many of whom one has everything. Nothing to share (all zero) counts as equal, and so does a
    single one. Nobody at all is an error, not a number.

    Args:
        values: [n] at least 0, finite, n >= 1.

    Raises:
        InputError: at /values, for no value, a negative or a non-finite one.

    Source: Gini 1912; the sorted form of Sen, On Economic Inequality, 1973, p. 31.
    """
    return float(gini_of_rows(_checked(values)))


def jain(values: ArrayLike) -> float:
    """Return Jain's fairness index ``(Σx)² / (n Σx²)``.

    1 means that all are equal; 1/n that one of n has everything, so 0 is never reached. Nothing to
    share counts as equal, and so does a single one. Nobody at all is an error.

    Args:
        values: [n] at least 0, finite, n >= 1.

    Raises:
        InputError: at /values, for no value, a negative or a non-finite one.

    Source: Jain, Chiu and Hawe, DEC TR-301, 1984, equation 2.
    """
    return float(jain_of_rows(_checked(values)))


def theil(values: ArrayLike) -> float:
    """Return Theil's index T: the mean of ``(x / mean) ln(x / mean)``.

    0 means that all are equal; ln n that one of n has everything, so 1 is no special value.
    Nothing to share counts as equal, and so does a single one. Nobody at all is an error.

    Args:
        values: [n] at least 0, finite, n >= 1.

    Raises:
        InputError: at /values, for no value, a negative or a non-finite one.

    Source: Theil, Economics and Information Theory, 1967, chapter 4.
    """
    return float(theil_of_rows(_checked(values)))


def gini_of_rows(shares: Float64) -> Float64:
    """Return ``gini`` over the last axis of [..., n], n >= 1, all at least 0; 0 is all equal."""
    n = shares.shape[-1]
    total = shares.sum(axis=-1)
    ranks = 2.0 * np.arange(1, n + 1) - n - 1
    return np.asarray(np.sort(shares, axis=-1) @ ranks / (n * np.where(total > 0, total, 1.0)))


def jain_of_rows(shares: Float64) -> Float64:
    """Return ``jain`` over the last axis of [..., n], n >= 1, all at least 0; 1 is all equal."""
    largest = shares.max(axis=-1, keepdims=True)
    # Squares of very large or small values would leave the range; where all are 0, all are equal.
    scaled = np.where(largest > 0, shares / np.where(largest > 0, largest, 1.0), 1.0)
    return np.asarray(
        scaled.sum(axis=-1) ** 2 / (shares.shape[-1] * np.square(scaled).sum(axis=-1))
    )


def theil_of_rows(shares: Float64) -> Float64:
    """Return ``theil`` over the last axis of [..., n], n >= 1, all at least 0; 0 is all equal."""
    mean = shares.mean(axis=-1, keepdims=True)
    ratios = np.where(mean > 0, shares / np.where(mean > 0, mean, 1.0), 1.0)
    from scipy import special  # noqa: PLC0415 - costs every start a tenth of a second

    return np.asarray(special.xlogy(ratios, ratios).mean(axis=-1))


def _checked(values: ArrayLike) -> Float64:
    """Return the values as an array; raise InputError where the index is not defined."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise InputError.single("/values", "needs at least one value in one dimension")
    if not np.isfinite(array).all() or (array < 0).any():
        wrong = array[~np.isfinite(array) | (array < 0)][0]
        raise InputError.single(
            "/values", "not a share", given=float(wrong), allowed="finite and at least 0"
        )
    return array
