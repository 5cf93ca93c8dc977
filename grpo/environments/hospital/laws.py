"""Laws of times as rows of numbers, the form in which kernels draw from them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.scenario_model import Constant, Exponential, Law, Lognormal

Float64 = NDArray[np.float64]

LAW_NONE, LAW_EXPONENTIAL, LAW_LOGNORMAL, LAW_CONSTANT = 0.0, 1.0, 2.0, 3.0


def law_row(law: Law | None, factor: float = 1.0) -> Float64:
    """Encode a law, its times multiplied by ``factor``, as (law, parameter, parameter)."""
    if law is None:
        return np.array([LAW_NONE, 0.0, 0.0])
    if isinstance(law, Exponential):
        return np.array([LAW_EXPONENTIAL, law.mean_hours * factor, 0.0])
    if isinstance(law, Constant):
        return np.array([LAW_CONSTANT, law.hours * factor, 0.0])
    if isinstance(law, Lognormal):
        variance = math.log1p(law.cv**2)
        mu = math.log(law.mean_hours * factor) - variance / 2
        return np.array([LAW_LOGNORMAL, mu, math.sqrt(variance)])
    return np.array([LAW_LOGNORMAL, law.mu + math.log(factor), law.sigma])


def law_mean(row: Float64) -> float:
    """Mean of an encoded law in hours."""
    kind, first, second = row
    return math.exp(first + second**2 / 2) if kind == LAW_LOGNORMAL else float(first)
