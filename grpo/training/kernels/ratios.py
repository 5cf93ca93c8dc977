"""Pooling the latest iterations until a ratio of their sums is sure enough."""

from __future__ import annotations

import math

import numpy as np

from grpo.jit import NO_WRAPPERS, jit
from grpo.objectives.advantages import Float64

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_internal = jit(**_OPTIONS, **NO_WRAPPERS)


@_internal
def _estimate(
    sums: Float64, rows: int, found: Float64, residuals: Float64
) -> None:  # pragma: no cover - compiled
    """Fill found [3, M]: ratios, their errors, and totals, of the first rows of sums [2, R, M].

    Rows are independent of each other, and summed up in their order. A residual is a row's share
    of an estimate's error: that of a column seen, less the mean over the columns seen. The first
    column is everybody, and has no error.
    """
    width = found.shape[1]
    for k in range(width):
        found[0, k], found[1, k], found[2, k] = 0.0, 0.0, 0.0
    for i in range(rows):
        for k in range(width):
            found[0, k] += sums[0, i, k]
            found[2, k] += sums[1, i, k]
    present = 0
    for k in range(width):
        found[0, k] /= found[2, k] if found[2, k] > 0 else 1.0
        present += k > 0 and found[2, k] > 0
    for i in range(rows):
        mean = 0.0
        for k in range(1, width):
            if found[2, k] > 0:
                residuals[k] = (sums[0, i, k] - found[0, k] * sums[1, i, k]) / found[2, k]
                mean += residuals[k]
        for k in range(1, width):
            deviation = residuals[k] - mean / present if present else 0.0
            found[1, k] += deviation * deviation
    for k in range(1, width):
        known = rows > 1 and found[2, k] > 0
        found[1, k] = math.sqrt(found[1, k] * (rows / (rows - 1))) if known else math.inf


@_internal
def _is_exact(found: Float64, targets: Float64) -> bool:  # pragma: no cover - compiled
    """Say whether everybody was seen and errors are within targets [M - 1]."""
    for k in range(found.shape[1]):
        if found[2, k] <= 0 or (k > 0 and found[1, k] > targets[k - 1]):
            return False
    return True


@_internal
def _has_moved(found: Float64, older: Float64, apart: float) -> bool:  # pragma: no cover - compiled
    """Say whether an older iteration [3, M] stands apart from what later ones gave [3, M].

    Errors are finite only where somebody was seen; the other columns say nothing.
    """
    known, now, then = 0, 0.0, 0.0
    for k in range(1, found.shape[1]):
        if math.isfinite(found[1, k]) and math.isfinite(older[1, k]):
            known += 1
            now += found[0, k]
            then += older[0, k]
    for k in range(1, found.shape[1]):
        if math.isfinite(found[1, k]) and math.isfinite(older[1, k]):
            difference = abs((found[0, k] - now / known) - (older[0, k] - then / known))
            if difference > apart * math.hypot(found[1, k], older[1, k]):
                return True
    return False


@jit(**_OPTIONS)
def pool_iterations(
    sums: Float64,
    added: int,
    targets: Float64,
    apart: float,
    pooled: Float64,
    found: Float64,
    own: Float64,
    residuals: Float64,
) -> None:  # pragma: no cover - compiled
    """Fill found [3, M] with ratios, errors and totals of as many iterations as it takes.

    Args:
        sums: [W, 2, N, M] numerators and denominators; those of iteration i in slot i modulo W.
        added: iterations so far, at least 1.
        targets: [M - 1], errors that are small enough.
        apart: standard errors of a difference beyond which it is not chance.
        pooled: [2, R, M] of zeros: N rows in which all iterations are added up, or N rows for
            each, which then are independent samples.
        found: filled.
        own: [3, M], overwritten.
        residuals: [M], overwritten.
    """
    window, num_envs, rows = sums.shape[0], sums.shape[2], 0
    for age in range(min(added, window)):
        block = sums[(added - 1 - age) % window]
        if age > 0:
            if _is_exact(found, targets):
                break
            _estimate(block, num_envs, own, residuals)
            if _has_moved(found, own, apart):
                break
        start = rows if pooled.shape[1] > num_envs else 0
        rows = start + num_envs
        for part in range(2):
            for i in range(num_envs):
                for k in range(found.shape[1]):
                    pooled[part, start + i, k] += block[part, i, k]
        _estimate(pooled, rows, found, residuals)


def warm() -> None:
    """Run all kernels once."""
    sums, found = np.ones((2, 2, 1, 2)), np.zeros((3, 2))
    pool_iterations(sums, 2, found[0, :1], 1.0, np.zeros((2, 1, 2)), found, found, found[0])
