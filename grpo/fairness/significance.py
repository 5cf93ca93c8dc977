"""Is a difference between training methods more than chance? Seeds are the unit of replication."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grpo.errors import InputError, ShapeError
from grpo.fairness.intervals import CONFIDENCE, RESAMPLES
from grpo.fairness.two_way import TwoWayBootstrap

Float64 = NDArray[np.float64]

MAX_EXACT_SEEDS = 20


class Interval(NamedTuple):
    """An estimate with the ends of its interval."""

    estimate: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether zero lies inside: then the difference is not distinguishable."""
        return self.low <= 0 <= self.high


def sign_flip_test(differences: ArrayLike) -> float:
    """Return the exact two-sided p-value of paired differences being symmetric about 0.

    The share of all 2^n ways to flip signs whose mean is at least as far from 0. 1 means that the
    differences cancel (or are all 0); 0 is never reached: with n pairs no p-value is below
    2^(1-n), so 5 seeds cannot reach .05. No pair at all is an error.

    Args:
        differences: [n] one per training seed, finite, 1 <= n <= 20.

    Raises:
        InputError: at /differences, for another number of them or a non-finite one.

    Source: Fisher, The Design of Experiments, 1935, section 21.
    """
    pairs = _finite("/differences", differences, 1)
    n = len(pairs)
    if n > MAX_EXACT_SEEDS:
        raise InputError.single(
            "/differences", "too many to enumerate", given=n, allowed=f"1 to {MAX_EXACT_SEEDS}"
        )
    sums = np.zeros(1)
    for difference in pairs:
        sums = np.concatenate([sums + difference, sums - difference])
    slack = 1e-12 * np.abs(pairs).sum()  # sums of the same terms in another order are ties
    return float(np.mean(np.abs(sums) >= abs(pairs.sum()) - slack))


def holm(p_values: ArrayLike) -> Float64:
    """Return p-values adjusted for a family of tests declared beforehand.

    Below .05 means that the finding stands although so many were looked at: the chance of one
    or more false findings in the whole family stays below .05. 1 means no evidence. An empty
    family is an error.

    Args:
        p_values: [m] in [0, 1], m >= 1.

    Returns:
        [m] in the order given, at least as large as before, at most 1.

    Raises:
        InputError: at /p_values, for one outside [0, 1].

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    given = _finite("/p_values", p_values, 1)
    if ((given < 0) | (given > 1)).any():
        raise InputError.single("/p_values", "outside its range", given=given, allowed="[0, 1]")
    order = np.argsort(given, kind="stable")
    factors = np.arange(len(given), 0, -1)
    stepped = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    adjusted = np.empty_like(stepped)
    adjusted[order] = stepped
    return adjusted


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> float:
    """Return ``P(a > b) - P(a < b)`` for a value drawn from each sample.

    0 means that neither tends to be larger; 1 that every a exceeds every b, -1 the reverse. An
    empty sample is an error.

    Args:
        a: [n] finite, n >= 1.
        b: [m] finite, m >= 1.

    Raises:
        InputError: for an empty or non-finite sample.

    Source: Cliff, Psychological Bulletin 114, 1993.
    """
    first, second = _finite("/a", a, 1), _finite("/b", b, 1)
    return float(np.sign(first[:, None] - second[None, :]).mean())


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """Return ``P(a > b) + P(a = b) / 2``.

    .5 means no tendency, 1 that every a exceeds every b, 0 the reverse. An empty sample is an
    error.

    Args:
        a: [n] finite, n >= 1.
        b: [m] finite, m >= 1.

    Raises:
        InputError: for an empty or non-finite sample.

    Source: Agarwal et al., Deep RL at the edge of the statistical precipice, 2021, section 4.3.
    """
    return (cliffs_delta(a, b) + 1) / 2


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half, a quarter (rounded down) cut at each end.

    In the unit of the values, without special meaning of 0 or 1; less swayed by one failed seed
    than the mean and less noisy than the median. No value is an error.

    Args:
        values: [n] finite, n >= 1.

    Raises:
        InputError: at /values, for no value or a non-finite one.

    Source: Agarwal et al. 2021, section 4.3.
    """
    ordered = np.sort(_finite("/values", values, 1))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def two_way_bootstrap(
    differences: ArrayLike,
    rng: np.random.Generator,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    expanded: bool = True,
) -> Interval:
    """Return the mean paired difference with an interval over seeds and episodes.

    Episodes on common random numbers are crossed with seeds, so each resample draws seeds and,
    once for all of them, episodes.

    Args:
        differences: [S, E] finite, one arm minus the other, S training seeds x E episodes.
        rng: draws the resamples.
        confidence: in (0, 1).
        resamples: at least 100.
        expanded: widen the tails as few seeds require, see ``TwoWayBootstrap``.

    Raises:
        ShapeError: not two axes of at least 2.
        InputError: for a non-finite difference, or arguments out of range.

    Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2:
        raise ShapeError(f"differences must be [S >= 2, E >= 2], not {table.shape}")
    num_seeds, num_episodes = table.shape
    bootstrap = TwoWayBootstrap.draw(
        num_seeds, num_episodes, rng,
        confidence=confidence, resamples=resamples, expanded=expanded,
    )  # fmt: skip
    _finite("/differences", table.reshape(-1), 4)
    low, high = bootstrap.interval(bootstrap.over_seeds(bootstrap.by_seed(table)))
    return Interval(float(table.mean()), float(low), float(high))


def is_non_inferior(loss: Interval, margin: float) -> bool:
    """Return whether a loss (larger is worse) is shown to stay below a margin declared beforehand.

    Args:
        loss: estimate and interval of new minus old.
        margin: at least 0.

    Raises:
        InputError: at /margin, where negative.

    Source: Piaggio et al., CONSORT for non-inferiority trials, JAMA 308, 2012.
    """
    if not margin >= 0:
        raise InputError.single("/margin", "outside its range", given=margin, allowed=">= 0")
    return loss.high < margin


def _finite(pointer: str, values: ArrayLike, least: int) -> Float64:
    """Return values [n] with n >= least, all finite; raise InputError naming the field."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        raise InputError.single(pointer, f"needs at least {least} in one dimension")
    if not np.isfinite(array).all():
        wrong = float(array[~np.isfinite(array)][0])
        raise InputError.single(pointer, "is not finite", given=wrong, allowed="finite numbers")
    return array
