"""The two-way bootstrap: training seeds crossed with evaluation episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError
from grpo.fairness.intervals import CONFIDENCE, RESAMPLES, expanded_tail

Float64 = NDArray[np.float64]

LEAST_RESAMPLES = 100


@dataclass(frozen=True)
class TwoWayBootstrap:
    """Resamples of seeds and, once for all seeds and arms, of episodes.

    Policies of all seeds and arms are judged on the same episodes: the two factors are crossed.
    Resampling seeds alone would forget that other episodes would have given another answer,
    resampling episodes alone that another training would have.

    Attributes:
        seeds: [R, S] share of each seed in each resample; rows sum to 1.
        episodes: [R, E] share of each episode, likewise.
        confidence: of the intervals, in (0, 1).
        expanded: widen the tails for few seeds or episodes (``expanded_tail``); otherwise the
            plain percentile interval, which with 10 seeds covers about 90% instead of 95%.

    Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007; Hesterberg 2015
        for the tails.
    """

    seeds: Float64
    episodes: Float64
    confidence: float = CONFIDENCE
    expanded: bool = True

    @classmethod
    def draw(
        cls,
        num_seeds: int,
        num_episodes: int,
        rng: np.random.Generator,
        *,
        confidence: float = CONFIDENCE,
        resamples: int = RESAMPLES,
        expanded: bool = True,
    ) -> TwoWayBootstrap:
        """Draw resamples.

        Raises:
            ShapeError: fewer than 2 seeds or episodes, from which no spread can be told.
            InputError: confidence outside (0, 1), or fewer than 100 resamples.
        """
        if min(num_seeds, num_episodes) < 2:
            raise ShapeError(f"needs 2 seeds and 2 episodes, got [{num_seeds}, {num_episodes}]")
        if not 0 < confidence < 1 or resamples < LEAST_RESAMPLES:
            raise InputError.single(
                "/confidence", "out of range", given=(confidence, resamples),
                allowed=f"confidence in (0, 1), at least {LEAST_RESAMPLES} resamples",
            )  # fmt: skip

        def shares(size: int) -> Float64:
            drawn = rng.multinomial(size, np.full(size, 1 / size), resamples)
            return np.asarray(drawn / size, np.float64)

        return cls(shares(num_seeds), shares(num_episodes), confidence, expanded)

    def by_seed(self, table: Float64) -> Float64:
        """Resample the episodes of [S, E, ...]; returns the means of every seed [R, S, ...]."""
        columns = np.moveaxis(table, 1, 0)
        flat = columns.reshape(columns.shape[0], -1)
        return (self.episodes @ flat).reshape(-1, *columns.shape[1:])

    def over_seeds(self, by_seed: Float64) -> Float64:
        """Resample the mean over seeds of [R, S, ...]; returns [R, ...]."""
        return np.asarray(np.einsum("rs,rs...->r...", self.seeds, by_seed))

    def interval(self, samples: Float64) -> tuple[Float64, Float64]:
        """Cut resampled values [R, ...] to low and high [...]; NaN where any is NaN."""
        tail = (1 - self.confidence) / 2
        if self.expanded:
            units = min(self.seeds.shape[1], self.episodes.shape[1])
            tail = expanded_tail(units, self.confidence)
        low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
        return low, high
