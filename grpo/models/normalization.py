"""Observation normalisation: moments measured while training begins, then frozen and saved."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grpo.tensors import Tensors, copy_tensor, take_number

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

CLIP = 10.0
MIN_STD = 1e-4


def normalize(
    observations: Float32, mean: Float32, inverse_std: Float32, out: Float32 | None = None
) -> Float32:
    """Return ``clip((x − mean) / std, −10, 10)`` [B, O] float32, in ``out`` if given."""
    scaled = np.subtract(observations, mean, out=out, dtype=np.float32)
    np.multiply(scaled, inverse_std, out=scaled)
    np.maximum(scaled, -CLIP, out=scaled)
    return np.minimum(scaled, CLIP, out=scaled)


class Moments(Protocol):
    """What observations are normalised by.

    Attributes:
        mean: [O] float32; [S, O] for S equal parts of the rows.
        inverse_std: likewise.
    """

    mean: Float32
    inverse_std: Float32


class ObservationNormalizer:
    """Running mean and standard deviation per feature.

    Attributes:
        mean: [O] float32.
        inverse_std: [O] float32; a feature that never varied keeps scale 1.
        count: observations seen.
    """

    def __init__(self, observation_size: int) -> None:
        """Start as the identity."""
        self.count = 0.0
        self._mean: Float64 = np.zeros(observation_size)
        self._squares: Float64 = np.zeros(observation_size)
        self.mean: Float32 = np.zeros(observation_size, dtype=np.float32)
        self.inverse_std: Float32 = np.ones(observation_size, dtype=np.float32)

    def update(self, observations: Float32) -> None:
        """Add observations [B, O] to the moments.

        Source: Chan, Golub and LeVeque 1979, Updating formulae for computing sample variances.
        """
        batch = observations.astype(np.float64)
        size, batch_mean = len(batch), batch.mean(axis=0)
        batch_squares = np.square(batch - batch_mean).sum(axis=0)
        total = self.count + size
        delta = batch_mean - self._mean
        self._mean = self._mean + delta * (size / total)
        self._squares = self._squares + batch_squares + delta**2 * (self.count * size / total)
        self.count = total
        std = np.sqrt(self._squares / total)
        self.mean = self._mean.astype(np.float32)
        self.inverse_std = (1.0 / np.where(std < MIN_STD, 1.0, std)).astype(np.float32)

    def __call__(self, observations: Float32, out: Float32 | None = None) -> Float32:
        """Return normalised observations [B, O], in ``out`` if given."""
        return normalize(observations, self.mean, self.inverse_std, out)

    def save_state(self) -> Tensors:
        """Return everything measured so far, exactly."""
        return {
            "count": np.array(self.count),
            "moment_mean": self._mean.copy(),
            "moment_squares": self._squares.copy(),
            "mean": self.mean.copy(),
            "inverse_std": self.inverse_std.copy(),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        self.count = take_number(tensors, "count")
        for name, array in (
            ("moment_mean", self._mean),
            ("moment_squares", self._squares),
            ("mean", self.mean),
            ("inverse_std", self.inverse_std),
        ):
            copy_tensor(tensors, name, array)

    def restore(self, mean: Float32, inverse_std: Float32) -> None:
        """Take saved moments over, as if they had been measured on very many observations."""
        self.count = 1e9
        self._mean = mean.astype(np.float64)
        self._squares = self.count / inverse_std.astype(np.float64) ** 2
        self.mean, self.inverse_std = mean.copy(), inverse_std.copy()
