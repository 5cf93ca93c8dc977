"""Slowly moving scales: of each head's returns, and of the combined advantage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grpo.models.parameters import Float32
from grpo.objectives.advantages import Float64
from grpo.tensors import Tensors, copy_tensor, take_number


@dataclass
class ReturnScale:
    """Mean and spread of each head's returns, so that the critic learns numbers near 1.

    Attributes:
        mean: [H] float64.
        std: [H] float64, positive.
    """

    mean: Float64
    std: Float64
    _weight: float = 0.0

    @staticmethod
    def identity(num_heads: int) -> ReturnScale:
        """Return the scale that changes nothing."""
        return ReturnScale(np.zeros(num_heads), np.ones(num_heads))

    @staticmethod
    def restored(mean: Float64, std: Float64) -> ReturnScale:
        """Return a saved scale, which goes on to follow slowly."""
        return ReturnScale(mean.copy(), std.copy(), _weight=1.0)

    def save_state(self) -> Tensors:
        """Return the scale and how much it has seen."""
        return {
            "mean": self.mean.copy(),
            "std": self.std.copy(),
            "weight": np.array(float(self._weight)),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        copy_tensor(tensors, "mean", self.mean)
        copy_tensor(tensors, "std", self.std)
        self._weight = take_number(tensors, "weight")

    def follow(self, returns: Float32, decay: float) -> tuple[Float32, Float32]:
        """Move towards returns [..., H]; return factor and shift [H] that keep the critic's values.

        Source: van Hasselt et al. 2016, Learning values across many orders of magnitude, eq. 4.
        """
        flat = returns.reshape(-1, returns.shape[-1]).astype(np.float64)
        step = (1 - decay) / (1 - decay * (1 - self._weight))
        self._weight += (1 - decay) * (1 - self._weight)
        old_mean, old_std = self.mean, self.std
        mean, square = (np.add.reduce(x, axis=0) / len(flat) for x in (flat, np.square(flat)))
        second = (1 - step) * (old_std**2 + old_mean**2) + step * square
        self.mean = (1 - step) * old_mean + step * mean
        self.std = np.sqrt(np.maximum(second - self.mean**2, 1e-8))
        factor = old_std / self.std
        shift = (old_mean - self.mean) / self.std
        return factor.astype(np.float32), shift.astype(np.float32)

    def normalize(self, returns: Float32) -> Float32:
        """Return returns [..., H] in units of the scale."""
        return ((returns - self.mean) / self.std).astype(np.float32)

    def restore(self, values: Float32) -> Float32:
        """Return the critic's outputs [..., H] in natural units."""
        return (values * self.std + self.mean).astype(np.float32)


class SlowScale:
    """Exponential average of a positive scale, unbiased from its first value on."""

    def __init__(self, decay: float) -> None:
        """Start empty."""
        self._decay, self._sum, self._weight = decay, 0.0, 0.0

    def save_state(self) -> Tensors:
        """Return the average's sums."""
        return {"sum": np.array(self._sum), "weight": np.array(self._weight)}

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: a number is missing.
        """
        self._sum, self._weight = (take_number(tensors, name) for name in ("sum", "weight"))

    def follow(self, value: float) -> float:
        """Add a value and return the average."""
        self._sum = self._decay * self._sum + (1 - self._decay) * value
        self._weight = self._decay * self._weight + (1 - self._decay)
        return self.value

    @property
    def value(self) -> float:
        """The average; NaN before the first value."""
        return self._sum / self._weight if self._weight > 0 else float("nan")
