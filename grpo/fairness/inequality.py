"""How unevenly a good or a burden is shared: Gini, Jain, Theil."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grpo.errors import InputError

Float64 = NDArray[np.float64]


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient: the mean absolute difference over twice the mean.

    0 means that all are equal; (n - 1) / n that one of n has everything. Nothing to share
    (all zero) counts as equal.

    Args:
        values: [n] at least 0, finite, n >= 1.

    Raises:
        InputError: at /values, for no value, a negative or a non-finite one.

    Source: Gini 1912; the sorted form of Sen, On Economic Inequality, 1973, p. 31.
    """
    shares = _checked(values)
    total = shares.sum()
    if total == 0:
        return 0.0
    n = len(shares)
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return float(ranks @ np.sort(shares) / (n * total))


def jain(values: ArrayLike) -> float:
    """Return Jain's fairness index ``(Σx)² / (n Σx²)``.

    1 means that all are equal; 1/n that one of n has everything. Nothing to share counts as equal.

    Args:
        values: [n] at least 0, finite, n >= 1.

    Raises:
        InputError: at /values, for no value, a negative or a non-finite one.

    Source: Jain, Chiu and Hawe, DEC TR-301, 1984, equation 2.
    """
    shares = _checked(values)
    largest = shares.max()
    if largest == 0:
        return 1.0
    shares = shares / largest  # squares of very large or small values would leave the range
    return float(shares.sum() ** 2 / (len(shares) * np.square(shares).sum()))


def theil(values: ArrayLike) -> float:
    """Return Theil's index T: the mean of ``(x / mean) ln(x / mean)``.

    0 means that all are equal; ln n that one of n has everything. Nothing to share counts as equal.

    Args:
        values: [n] at least 0, finite, n >= 1.

    Raises:
        InputError: at /values, for no value, a negative or a non-finite one.

    Source: Theil, Economics and Information Theory, 1967, chapter 4.
    """
    shares = _checked(values)
    mean = shares.mean()
    if mean == 0:
        return 0.0
    ratios = shares / mean
    positive = ratios[ratios > 0]
    return float((positive * np.log(positive)).sum() / len(shares))


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
