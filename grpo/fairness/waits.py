"""Waits over all arrivals: who still waited when the record ended is censored, never dropped.

What is timed is the wait itself: it ends when care begins or when the patient leaves. Whoever was
still waiting is known to have waited at least so long, which is what a Kaplan-Meier curve uses.
Waits of the treated alone would call a rule short-waited for driving patients away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError
from grpo.fairness.intervals import (
    QUANTILE_LEVELS,
    QUANTILE_RESAMPLES,
    EpisodeBootstrap,
    Estimate,
)

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

RESTRICTED_HOURS = 72.0
"""Means of waits stop counting here: longer waits count as this one."""

SLACK = 1e-9
"""Of shares, so that rounding never moves a quantile by one patient."""


class Waits(NamedTuple):
    """The waits of some patients.

    Attributes:
        minutes: [P] finite, >= 0; of a censored wait, so far.
        ended: [P] whether the wait ended (seen, or left) before the record did.
        episode: [P] the patient's episode.
    """

    minutes: Float64
    ended: Bool
    episode: Int64


class Survival(NamedTuple):
    """One Kaplan-Meier curve, or one for each resample, which fall in steps at the same times.

    Attributes:
        times: [T] minutes, increasing.
        at_risk: [..., T] how many waited at least so long.
        ends: [..., T] how many waits ended then.
        probabilities: [..., T] share still waiting after each time.
    """

    times: Float64
    at_risk: Float64
    ends: Float64
    probabilities: Float64

    @classmethod
    def of_counts(cls, times: Float64, exits: Float64, ends: Float64) -> Survival:
        """Estimate from how many waits stopped at each time, and how many of them ended.

        Args:
            times: [T] minutes, increasing.
            exits: [..., T] waits that ended or were censored then.
            ends: [..., T] waits that ended then.

        Source: Kaplan & Meier, Journal of the American Statistical Association 53, 1958, eq. 2b.
        """
        at_risk = exits[..., ::-1].cumsum(axis=-1)[..., ::-1]
        return cls(times, at_risk, ends, np.cumprod(1 - ends / np.maximum(at_risk, 1), axis=-1))

    def quantile(self, level: float) -> Float64:
        """Return the time after which the share ``level`` has stopped waiting, [...].

        NaN for nobody, or where censoring ended the record before so many had.

        Source: Hyndman & Fan, Sample Quantiles in Statistical Packages, 1996, definition 1.
        """
        enough = (self.probabilities <= 1 - level + SLACK) & (self.at_risk[..., :1] > 0)
        first = self.times[np.argmax(enough, axis=-1)]
        return np.where(enough.any(axis=-1), first, np.nan)


def _count(place: Int64, ended: Bool, size: int) -> tuple[Float64, Float64]:
    """Count the waits, and those that ended, at each of ``size`` places."""
    exits, ends = np.bincount(place, minlength=size), np.bincount(place, ended, size)
    return exits.astype(np.float64), np.asarray(ends, dtype=np.float64)


def survival_of(waits: Waits) -> Survival:
    """Estimate the share still waiting after t minutes, t being everybody's, at least one."""
    times, place = np.unique(waits.minutes, return_inverse=True)
    return Survival.of_counts(times, *_count(place, waits.ended, times.size))


def restricted_mean(waits: Waits, episodes: int, limit_minutes: float) -> Estimate:
    """Return the mean of min(wait, limit): the area under the Kaplan-Meier curve up to the limit.

    0 means that nobody waited; the limit, that everybody waited at least so long. Without
    censoring it is the plain mean of min(wait, limit). Beyond a longest wait that is censored the
    curve stays where it is, so that a patient whose wait no end is known of counts in full.

    With S the curve, Y_j at risk and d_j ended at t_j, and A_j the area under S from t_j to the
    limit, patient i contributes ``sum_{t_j <= x_i} A_j d_j / (Y_j (Y_j - d_j))``, less
    ``A(x_i) / (Y(x_i) - d(x_i))`` where his wait ended: the derivative of the estimate in his
    weight (the infinitesimal jackknife).

    Args:
        waits: of patients, in minutes.
        episodes: E.
        limit_minutes: > 0.

    Returns:
        value [] in minutes and per_episode [E]; NaN without patients.

    Source: Royston & Parmar, BMC Medical Research Methodology 13:152, 2013, eq. 1 (restricted
        mean); Andersen, Hansen & Klein, Lifetime Data Analysis 10, 2004 (contributions).
    """
    if not 0 < limit_minutes < np.inf:
        raise InputError.single("/limit_minutes", "must be finite and > 0", given=limit_minutes)
    if waits.minutes.size == 0:
        return Estimate(np.array(np.nan), np.full(episodes, np.nan))
    curve = survival_of(waits)
    times = np.minimum(curve.times, limit_minutes)
    pieces = curve.probabilities * np.diff(np.append(times, limit_minutes))
    after = np.cumsum(pieces[::-1])[::-1]
    value = times[0] + after[0]
    # Where all who were left end at once the curve is at 0, and so is the area after it.
    staying = np.where(curve.at_risk > curve.ends, curve.at_risk - curve.ends, 1.0)
    hazard = np.cumsum(after * curve.ends / (curve.at_risk * staying))
    place = np.searchsorted(curve.times, waits.minutes)
    contribution = hazard[place] - waits.ended * (after / staying)[place]
    by_episode = np.bincount(waits.episode, weights=contribution, minlength=episodes)
    return Estimate(np.asarray(value), value + episodes * by_episode)


def wait_quantile(waits: Waits, level: float) -> float:
    """Return the time after which the share ``level`` has stopped waiting; NaN where not known."""
    return float(survival_of(waits).quantile(level)) if waits.minutes.size else float("nan")


def resampled_wait_quantile(waits: Waits, level: float, bootstrap: EpisodeBootstrap) -> Float64:
    """Resample the Kaplan-Meier quantile of patients by whole episodes.

    Waits below the median are one bin, and above it at most 512 observed values are told apart;
    below 1,024 patients nothing is lost by that. A wait that is censored inside a bin counts as
    at risk throughout it.

    Args:
        waits: of patients.
        level: in [0.5, 1].
        bootstrap: the resamples; the first 2,000 are used.

    Returns:
        [R] quantiles, NaN where a resample holds nobody, or too few whose wait ended.

    Raises:
        ShapeError: the level is outside its range.
    """
    if not 0.5 <= level <= 1:
        raise ShapeError(f"level must be in [0.5, 1], not {level}")
    counts = bootstrap.counts[:QUANTILE_RESAMPLES]
    size = waits.minutes.size
    if size == 0:
        return np.full(counts.shape[0], np.nan)
    ordered = np.sort(waits.minutes)
    ranks = np.linspace((size - 1) // 2, size - 1, QUANTILE_LEVELS)
    grid = np.unique(ordered[np.ceil(ranks).astype(np.int64)])
    cell = waits.episode * grid.size + np.searchsorted(grid, waits.minutes)
    tables = _count(cell, waits.ended, bootstrap.episodes * grid.size)
    exits, ends = (counts @ table.reshape(bootstrap.episodes, grid.size) for table in tables)
    return Survival.of_counts(grid, exits, ends).quantile(level)
