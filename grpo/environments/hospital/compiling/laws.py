"""Laws of times as rows of numbers, the form in which kernels draw from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.model.laws_model import (
    Constant,
    Empirical,
    Exponential,
    Gamma,
    Law,
    Lognormal,
    Weibull,
)

Float64 = NDArray[np.float64]

LAW_NONE, LAW_EXPONENTIAL, LAW_LOGNORMAL, LAW_CONSTANT = 0.0, 1.0, 2.0, 3.0
LAW_GAMMA, LAW_WEIBULL, LAW_EMPIRICAL = 4.0, 5.0, 6.0
LAW_COLUMNS = 4


class LawTable:
    """Rows of laws, and the quantiles that empirical ones read.

    Attributes:
        quantiles: values of all empirical laws, one after the other.
    """

    def __init__(self) -> None:
        self.quantiles: list[float] = []
        self._places: dict[tuple[float, ...], int] = {}

    def row(  # noqa: PLR0911 - one return for each law
        self, law: Law | None, factor: float = 1.0
    ) -> Float64:
        """Encode a law, its times multiplied by ``factor``, as (law, up to three parameters).

        Exponential: mean. Lognormal: mean and deviation of the logarithm. Constant: hours. Gamma:
        scale, shape. Weibull: scale, 1 / shape. Empirical: place, number, factor.
        """
        if law is None:
            return np.zeros(LAW_COLUMNS)
        if isinstance(law, Exponential):
            return np.array([LAW_EXPONENTIAL, law.mean_hours * factor, 0.0, 0.0])
        if isinstance(law, Constant):
            return np.array([LAW_CONSTANT, law.hours * factor, 0.0, 0.0])
        if isinstance(law, Lognormal):
            variance = math.log1p(law.cv**2)
            mu = math.log(law.mean_hours * factor) - variance / 2
            return np.array([LAW_LOGNORMAL, mu, math.sqrt(variance), 0.0])
        if isinstance(law, Gamma):
            scale = law.mean_hours * factor * law.cv**2
            return np.array([LAW_GAMMA, scale, law.cv**-2, 0.0])
        if isinstance(law, Weibull):
            power = 1 / weibull_shape(law.cv)
            scale = law.mean_hours * factor / math.gamma(1 + power)
            return np.array([LAW_WEIBULL, scale, power, 0.0])
        if isinstance(law, Empirical):
            values = law.quantile_hours
            if values not in self._places:
                self._places[values] = len(self.quantiles)
                self.quantiles.extend(values)
            return np.array([LAW_EMPIRICAL, self._places[values], len(values), factor])
        return np.array([LAW_LOGNORMAL, law.mu + math.log(factor), law.sigma, 0.0])


def law_mean(row: Float64, quantiles: Sequence[float] | Float64 = ()) -> float:
    """Mean of an encoded law in hours, 0 for none.

    Args:
        row: [4] as of ``LawTable.row``.
        quantiles: the table's, which empirical laws read.
    """
    kind, first, second, third = (float(number) for number in row)
    if kind == LAW_LOGNORMAL:
        return math.exp(first + second**2 / 2)
    if kind == LAW_GAMMA:
        return first * second
    if kind == LAW_WEIBULL:
        return first * math.gamma(1 + second)
    if kind == LAW_EMPIRICAL:
        values = np.array(quantiles[int(first) : int(first) + int(second)])
        return third * float((values[1:] + values[:-1]).mean()) / 2
    return first


def weibull_shape(cv: float) -> float:
    """Return the shape of the Weibull law with that coefficient of variation, by bisection.

    With q = 1 / shape: 1 + cv^2 = Gamma(1 + 2 q) / Gamma(1 + q)^2, which increases in q.
    """
    wanted = math.log1p(cv**2)
    low, high = 0.0, 64.0
    for _ in range(200):
        middle = (low + high) / 2
        if math.lgamma(1 + 2 * middle) - 2 * math.lgamma(1 + middle) < wanted:
            low = middle
        else:
            high = middle
    return 2 / (low + high)
