"""Ratios of sums over the latest iterations, and how sure they are."""

from __future__ import annotations

import numpy as np

from grpo.objectives.advantages import Bool, Float64
from grpo.tensors import Tensors, take_tensor
from grpo.training.kernels.ratios import pool_iterations

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
        self._last: Float64 = np.zeros(0)
        self._seen: Bool = np.zeros(0, dtype=np.bool_)
        self._make_room(np.zeros((0, 2, 0, 0)))

    def _make_room(self, sums: Float64) -> None:
        """Keep sums [K, 2, N, M] of K iterations, with room for as many as a window takes."""
        self._added, width = len(sums), sums.shape[3]
        self._sums: Float64 = np.zeros((WINDOW, *sums.shape[1:]))
        self._sums[: len(sums)] = sums
        missing = (0, max(width - len(self._last), 0))
        self._last, self._seen = np.pad(self._last, missing), np.pad(self._seen, missing)

    def _list_sums(self) -> Float64:
        """Return copies of the sums [K, 2, N, M] in the order of their iterations."""
        first = max(self._added - WINDOW, 0)
        return self._sums[np.arange(first, self._added) % WINDOW]

    def add(self, numerators: Float64, denominators: Float64) -> None:
        """Add one iteration's sums by environment, [N, M] each; M may grow between calls.

        Before it grew, a column is zero: a group that was not known yet had nobody.
        """
        if numerators.shape != self._sums.shape[2:]:
            earlier = self._list_sums()
            wider = np.zeros((len(earlier), 2, *numerators.shape))
            if len(earlier):
                wider[..., : earlier.shape[3]] = earlier
            self._make_room(wider)
        slot = self._sums[self._added % WINDOW]
        slot[0], slot[1] = numerators, denominators
        self._added += 1

    def save_state(self) -> Tensors:
        """Return the window; a column that appeared later is zero before."""
        sums = self._list_sums()
        return {
            "numerators": sums[:, 0].copy(),
            "denominators": sums[:, 1].copy(),
            "last": self._last.copy(),
            "seen": self._seen.copy(),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another kind.
        """
        parts = [
            take_tensor(tensors, name, (None, None, None), np.float64)
            for name in ("numerators", "denominators")
        ]
        self._last = take_tensor(tensors, "last", (None,), np.float64)
        self._seen = take_tensor(tensors, "seen", (None,), np.bool_)
        self._make_room(np.stack(parts, axis=1))

    def estimate(self, target_error: float | Float64) -> tuple[Float64, Float64, Bool, Float64]:
        """Return ratios [M], errors [M - 1], seen [M] and total denominators [M].

        The first column is everybody; the errors are those of the other columns' differences
        from their mean. The window grows until the errors are below the target (one for all
        columns, or [M - 1]), and no further than an iteration whose differences stand apart from
        the later ones by more than chance: what an older policy did would only delay the answer
        to what the present one does. Columns without any observation keep their last ratio.
        """
        num_envs, width = self._sums.shape[2:]
        most = min(self._added, WINDOW)
        independent = most if num_envs < FEW_ENVIRONMENTS else 1
        found = np.zeros((2, 3, width))
        pool_iterations(
            self._sums,
            self._added,
            np.full(width - 1, target_error, dtype=np.float64),
            APART,
            np.zeros((2, independent * num_envs, width)),
            found[0],
            found[1],
            np.zeros(width),
        )
        ratios, errors, totals = found[0]
        present = totals > 0
        self._last = np.where(present, ratios, self._last)
        self._seen = present | self._seen
        return self._last, errors[1:], self._seen, totals
