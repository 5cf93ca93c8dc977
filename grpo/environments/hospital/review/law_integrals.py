"""How much of a time falls within a horizon: E[min(S, x)] for every law of a scenario.

From this one function follows what a stay does to a flow of patients: its derivative is the chance
to be still there after x hours. Closed forms, numpy only: the API process loads no scipy.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.laws import weibull_shape
from grpo.environments.hospital.model.scenario_model import (
    Constant,
    Empirical,
    Exponential,
    Gamma,
    Law,
    Lognormal,
    LognormalOfLogs,
    Weibull,
)

Float64 = NDArray[np.float64]
MAX_TERMS = 10_000
PRECISION = 1e-14
TINY = 1e-300
FAR_HOURS = 1e15


def mean_within(law: Law, hours: Float64, factor: float = 1.0) -> Float64:
    """Return E[min(factor * S, x)] for each x in ``hours``; S has the law.

    Args:
        law: a law of a scenario.
        hours: finite horizons, any shape; where x < 0 the answer is x itself, since S >= 0.
        factor: multiplies the time, above 0.

    Returns:
        Same shape as ``hours``, rising from 0 at x = 0 to the mean.
    """
    x = np.asarray(hours, dtype=np.float64) / factor
    inside = np.maximum(x, 0.0)
    return np.where(x < 0, x, _within(law, inside)) * factor


def mean_of(law: Law) -> float:
    """Return the mean of a law in hours."""
    return float(mean_within(law, np.array([FAR_HOURS]))[0])


def _within(law: Law, x: Float64) -> Float64:  # noqa: PLR0911 - one return for each law
    match law:
        case Exponential():
            return law.mean_hours * -np.expm1(-x / law.mean_hours)
        case Constant():
            return np.minimum(x, law.hours)
        case Lognormal():
            variance = math.log1p(law.cv**2)
            return _lognormal(math.log(law.mean_hours) - variance / 2, math.sqrt(variance), x)
        case LognormalOfLogs():
            return _lognormal(law.mu, law.sigma, x)
        case Gamma():
            shape = law.cv**-2
            scaled = x * shape / law.mean_hours
            whole = gamma_share(shape + 1, scaled)
            return law.mean_hours * whole + x * (1 - gamma_share(shape, scaled))
        case Weibull():
            # E[min(S, x)] = mean * P(power, (x / scale)^(1 / power)), P the regularised gamma.
            power = 1 / weibull_shape(law.cv)
            scale = law.mean_hours / math.gamma(1 + power)
            with np.errstate(over="ignore"):
                return law.mean_hours * gamma_share(power, (x / scale) ** (1 / power))
        case Empirical():
            return _empirical(np.array(law.quantile_hours), x)


def _lognormal(mu: float, sigma: float, x: Float64) -> Float64:
    mean = math.exp(mu + sigma**2 / 2)
    with np.errstate(divide="ignore"):
        z = (np.log(x) - mu) / sigma
    return mean * _upper_share(sigma - z) + x * _upper_share(z)


def _upper_share(z: Float64) -> Float64:
    """Return the chance of the standard normal law to exceed z."""
    flat = [0.5 * math.erfc(value / math.sqrt(2)) for value in z.ravel().tolist()]
    return np.array(flat).reshape(z.shape)


def _empirical(quantiles: Float64, x: Float64) -> Float64:
    """Add up, over the straight pieces of the quantile function, the mean of min(piece, x)."""
    low, high = quantiles[:-1], quantiles[1:]
    width = high - low
    total = np.zeros(x.shape)
    for start, span in zip(low, width, strict=True):
        reached = np.clip(x - start, 0.0, span)
        # min(start + u * span, x) over u in [0, 1]: rising until x is reached, then level.
        share = reached / span if span > 0 else np.zeros(x.shape)
        inside = start + reached - share * reached / 2
        total += np.where(x < start, x, inside)
    return total / len(low)


def gamma_share(shape: float, x: Float64) -> Float64:
    """Return P(shape, x), the regularised lower incomplete gamma function, for x >= 0.

    Source: Abramowitz and Stegun 6.5.29 (series, for x < shape + 1) and 6.5.31 (continued
        fraction beyond), summed until a term no longer matters.
    """
    x = np.asarray(x, dtype=np.float64)
    small = x < shape + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        front = np.exp(shape * np.log(x) - x - math.lgamma(shape))
    result = np.where(x == 0, 0.0, 1.0)
    inner, outer = (x > 0) & small, ~small & np.isfinite(x)
    result[inner] = front[inner] * _series(shape, x[inner])
    result[outer] = 1 - front[outer] * _fraction(shape, x[outer])
    return result


def _series(shape: float, x: Float64) -> Float64:
    term = np.full(x.shape, 1 / shape)
    total = term.copy()
    for n in range(1, MAX_TERMS):
        term *= x / (shape + n)
        total += term
        if not np.any(term > PRECISION * total):
            break
    return total


def _fraction(shape: float, x: Float64) -> Float64:
    """Lentz's form of the continued fraction."""
    b = x + 1 - shape
    c, d = np.full(x.shape, 1 / TINY), 1 / b
    total = d.copy()
    for n in range(1, MAX_TERMS):
        a = -n * (n - shape)
        b = b + 2
        d = 1 / np.where(np.abs(b + a * d) < TINY, TINY, b + a * d)
        c = np.where(np.abs(b + a / c) < TINY, TINY, b + a / c)
        total *= c * d
        if not np.any(np.abs(c * d - 1) > PRECISION):
            break
    return total
