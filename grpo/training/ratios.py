"""Ratios of sums over the latest iterations, and how sure they are."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from grpo.jit import jit
from grpo.objectives.advantages import Float64
from grpo.tensors import Tensors, take_tensor

WINDOW = 20
"""Most iterations that an estimate averages over."""

APART = 3.0
"""Standard errors of a difference beyond which it is not chance."""

FEW_ENVIRONMENTS = 8
"""With fewer environments, iterations count as further independent samples."""


class _Entry(NamedTuple):
    """One iteration: sums by environment [N, M], and what they give by themselves."""

    numerators: Float64
    denominators: Float64
    ratios: Float64
    errors: Float64
    totals: Float64


class RatioWindow:
    """Ratios of sums over the latest iterations, with errors from the spread over environments."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: deque[_Entry] = deque(maxlen=WINDOW)
        self._last: Float64 = np.zeros(0)
        self._seen = np.zeros(0, dtype=np.bool_)

    def add(self, numerators: Float64, denominators: Float64) -> None:
        """Add one iteration's sums by environment, [N, M] each; M may grow between calls."""
        width = numerators.shape[1]
        if self._entries and self._entries[0].numerators.shape[1] < width:
            sums = [(e.numerators, e.denominators) for e in self._entries]
            self._entries = deque((_make_entry(*s, width) for s in sums), maxlen=WINDOW)
        self._entries.append(_make_entry(numerators, denominators, width))

    def save_state(self) -> Tensors:
        """Return the window; a column that appeared later is zero before."""
        sums = [
            np.stack([entry[part] for entry in self._entries])
            if self._entries
            else np.zeros((0, 0, 0))
            for part in (0, 1)
        ]
        return {
            "numerators": sums[0],
            "denominators": sums[1],
            "last": self._last.copy(),
            "seen": self._seen.copy(),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another kind.
        """
        numerators, denominators = (
            take_tensor(tensors, name, (None, None, None), np.float64)
            for name in ("numerators", "denominators")
        )
        pairs = zip(numerators, denominators, strict=True)
        entries = (_make_entry(num, den, num.shape[1]) for num, den in pairs)
        self._entries = deque(entries, maxlen=WINDOW)
        self._last = take_tensor(tensors, "last", (None,), np.float64)
        self._seen = take_tensor(tensors, "seen", (None,), np.bool_)

    def estimate(
        self, target_error: float | Float64
    ) -> tuple[Float64, Float64, np.ndarray, Float64]:
        """Return ratios [M], errors [M - 1], seen [M] and total denominators [M].

        The first column is everybody; the errors are those of the other columns' differences
        from their mean. The window grows until the errors are below the target (one for all
        columns, or [M - 1]), and no further than an iteration whose differences stand apart from
        the later ones by more than chance: what an older policy did would only delay the answer
        to what the present one does. Columns without any observation keep their last ratio.
        """
        latest, *older = reversed(self._entries)
        numerators, denominators, ratios, errors, totals = latest
        pooled = len(numerators) >= FEW_ENVIRONMENTS
        targets = np.full(len(errors), target_error, dtype=np.float64)
        for entry in older:
            if _is_exact(errors, totals, targets):
                break
            if _has_moved(ratios, errors, entry.ratios, entry.errors):
                break
            if pooled:
                numerators = numerators + entry.numerators
                denominators = denominators + entry.denominators
            else:
                numerators = np.concatenate([numerators, entry.numerators])
                denominators = np.concatenate([denominators, entry.denominators])
            ratios, errors, totals = _ratios(numerators, denominators)
        known = np.zeros(len(ratios))
        known[: len(self._last)] = self._last
        seen = totals > 0
        seen[: len(self._seen)] |= self._seen
        self._last = np.where(totals > 0, ratios, known)
        self._seen = seen
        return self._last, errors, seen, totals


def _make_entry(numerators: Float64, denominators: Float64, width: int) -> _Entry:
    """Pad columns with zeros: a group that was not known yet had nobody."""
    missing = ((0, 0), (0, width - numerators.shape[1]))
    if missing[1][1]:
        numerators, denominators = np.pad(numerators, missing), np.pad(denominators, missing)
    return _Entry(numerators, denominators, *_ratios(numerators, denominators))


_compile = jit(nogil=True, error_model="numpy")


@_compile
def _is_exact(
    errors: Float64, totals: Float64, targets: Float64
) -> bool:  # pragma: no cover - compiled
    """Say whether everybody was seen and errors [M - 1] are within targets [M - 1]."""
    for k in range(len(totals)):
        if totals[k] <= 0 or (k > 0 and errors[k - 1] > targets[k - 1]):
            return False
    return True


@_compile
def _has_moved(
    ratios: Float64, errors: Float64, older: Float64, older_errors: Float64
) -> bool:  # pragma: no cover - compiled
    """Say whether one older iteration stands apart from later ratios [M] and errors [M - 1].

    Errors are finite only where somebody was seen; the other columns say nothing.
    """
    known, now, then = 0, 0.0, 0.0
    for k in range(len(errors)):
        if math.isfinite(errors[k]) and math.isfinite(older_errors[k]):
            known += 1
            now += ratios[k + 1]
            then += older[k + 1]
    for k in range(len(errors)):
        if math.isfinite(errors[k]) and math.isfinite(older_errors[k]):
            apart = abs((ratios[k + 1] - now / known) - (older[k + 1] - then / known))
            if apart > APART * math.hypot(errors[k], older_errors[k]):
                return True
    return False


@_compile
def _ratios(
    numerators: Float64, denominators: Float64
) -> tuple[Float64, Float64, Float64]:  # pragma: no cover - compiled
    """Return ratios [M], errors [M - 1] and totals [M] of independent rows of sums [R, M].

    Sums run over rows in their order. A residual is a row's share of an estimate's error: that of
    a column seen, less the mean over the columns seen.
    """
    rows, width = numerators.shape
    ratios, totals = np.zeros(width), np.zeros(width)
    for i in range(rows):
        for k in range(width):
            ratios[k] += numerators[i, k]
            totals[k] += denominators[i, k]
    present = 0
    for k in range(width):
        ratios[k] /= totals[k] if totals[k] > 0 else 1.0
        present += k > 0 and totals[k] > 0
    squares, residuals = np.zeros(width), np.zeros(width)
    for i in range(rows):
        mean = 0.0
        for k in range(1, width):
            if totals[k] > 0:
                residuals[k] = (numerators[i, k] - ratios[k] * denominators[i, k]) / totals[k]
                mean += residuals[k]
        for k in range(1, width):
            deviation = residuals[k] - mean / present if present else 0.0
            squares[k] += deviation * deviation
    errors = np.empty(width - 1)
    for k in range(1, width):
        known = rows > 1 and totals[k] > 0
        errors[k - 1] = math.sqrt(squares[k] * (rows / (rows - 1))) if known else math.inf
    return ratios, errors, totals
