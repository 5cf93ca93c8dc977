"""Ratios of sums over the latest iterations, and how sure they are."""

from __future__ import annotations

from collections import deque

import numpy as np

from grpo.objectives.advantages import Float64
from grpo.tensors import Tensors, take_tensor

WINDOW = 20
"""Most iterations that an estimate averages over."""

APART = 3.0
"""Standard errors of a difference beyond which it is not chance."""

FEW_ENVIRONMENTS = 8
"""With fewer environments, iterations count as further independent samples."""


class RatioWindow:
    """Ratios of sums over the latest iterations, with errors from the spread over environments."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: deque[tuple[Float64, Float64]] = deque(maxlen=WINDOW)
        self._last: Float64 = np.zeros(0)
        self._seen = np.zeros(0, dtype=np.bool_)

    def add(self, numerators: Float64, denominators: Float64) -> None:
        """Add one iteration's sums by environment, [N, M] each; M may grow between calls."""
        self._entries.append((numerators, denominators))

    def save_state(self) -> Tensors:
        """Return the window; a column that appeared later is zero before."""
        width = max((num.shape[1] for num, _ in self._entries), default=0)
        sums = [
            np.stack([_widen(entry[part], width) for entry in self._entries])
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
        self._entries = deque(zip(numerators, denominators, strict=True), maxlen=WINDOW)
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
        width = max(num.shape[1] for num, _ in self._entries)
        recent = [(_widen(num, width), _widen(den, width)) for num, den in reversed(self._entries)]
        for count in range(1, len(recent) + 1):
            numerators = np.stack([num for num, _ in recent[:count]])
            denominators = np.stack([den for _, den in recent[:count]])
            ratios, errors, totals = _ratios(numerators, denominators)
            exact = np.all(totals > 0) and np.all(errors <= target_error)
            if exact or (count < len(recent) and _has_moved(ratios, errors, *recent[count])):
                break
        known = np.zeros(width)
        known[: len(self._last)] = self._last
        seen = totals > 0
        seen[: len(self._seen)] |= self._seen
        self._last = np.where(totals > 0, ratios, known)
        self._seen = seen
        return self._last, errors, seen, totals


def _has_moved(
    ratios: Float64, errors: Float64, numerators: Float64, denominators: Float64
) -> bool:
    """Say whether one older iteration, sums [N, M], stands apart from later ratios and errors."""
    older, older_errors, totals = _ratios(numerators[None], denominators[None])
    known = np.isfinite(errors) & np.isfinite(older_errors) & (totals[1:] > 0)
    if not known.any():
        return False
    now, then = ratios[1:][known], older[1:][known]
    apart = np.abs((now - now.mean()) - (then - then.mean()))
    return bool((apart > APART * np.hypot(errors[known], older_errors[known])).any())


def _widen(array: Float64, width: int) -> Float64:
    """Pad columns with zeros: a group that was not known yet had nobody."""
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))


def _ratios(numerators: Float64, denominators: Float64) -> tuple[Float64, Float64, Float64]:
    """Return ratios [M], errors [M - 1] and totals [M] of sums [I, N, M] over I iterations."""
    if numerators.shape[1] >= FEW_ENVIRONMENTS:
        numerators, denominators = numerators.sum(axis=0), denominators.sum(axis=0)
    else:
        numerators = numerators.reshape(-1, numerators.shape[-1])
        denominators = denominators.reshape(-1, denominators.shape[-1])
    totals = denominators.sum(axis=0)
    safe = np.where(totals > 0, totals, 1.0)
    ratios = numerators.sum(axis=0) / safe
    residuals = ((numerators - ratios * denominators) / safe)[:, 1:]
    present = totals[1:] > 0
    if present.any():
        residuals = residuals - residuals[:, present].mean(axis=1, keepdims=True)
    samples = len(residuals)
    if samples < 2:
        return ratios, np.full(len(ratios) - 1, np.inf), totals
    errors = np.sqrt(np.square(residuals).sum(axis=0) * (samples / (samples - 1)))
    return ratios, np.where(present, errors, np.inf), totals
