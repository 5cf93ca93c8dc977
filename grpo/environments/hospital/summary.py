"""How a simulated hospital did, in a few numbers with intervals over replications."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.simulate import Outcome, PatientLog

Float64 = NDArray[np.float64]
CONFIDENCE = 0.95


def summarise(log: PatientLog, compiled: CompiledScenario) -> dict[str, Any]:
    """Summarise everybody who arrived in the judged window.

    Waits are of those who were let in, up to the start of care, to leaving, or to the end of the
    run: for those still waiting then, a lower bound.

    Args:
        log: of one rule or policy.
        compiled: the scenario that was simulated.

    Returns:
        Plain data: counts, and for each ratio its ``value`` with ``low`` and ``high`` (95%; null
        for a single replication, all three null where there was nobody).
    """
    everybody = np.ones(log.episode.size, dtype=np.bool_)
    let_in = log.outcome != Outcome.DIVERTED
    acuities = compiled.type_acuity[log.type]
    minutes = 60.0 * log.wait_hours
    return {
        "patients": int(log.episode.size),
        "outcomes": {
            outcome.name.lower(): int((log.outcome == outcome).sum()) for outcome in Outcome
        },
        "cost_per_patient": _ratio(log, log.cost, everybody),
        "mean_wait_minutes": _ratio(log, minutes, let_in),
        "p90_wait_minutes": float(np.quantile(minutes[let_in], 0.9)) if let_in.any() else None,
        "share_left_unseen": _ratio(log, 1.0 * (log.outcome == Outcome.LEFT), everybody),
        "mean_wait_minutes_by_acuity": {
            str(acuity): _ratio(log, minutes, let_in & (acuities == acuity))
            for acuity in sorted(set(compiled.type_acuity.tolist()))
        },
    }


def _ratio(log: PatientLog, values: Float64, of: NDArray[np.bool_]) -> dict[str, float | None]:
    """Divide sums over the chosen patients by their number, with its interval.

    The interval is Student's t over replications for the linearised ratio.

    Source: W. G. Cochran, Sampling Techniques, 3rd ed., 1977, eq. 6.13.
    """
    numerator = np.bincount(log.episode, weights=values * of, minlength=log.episodes)
    count = np.bincount(log.episode, weights=of, minlength=log.episodes)
    if count.sum() == 0:
        return {"value": None, "low": None, "high": None}
    value = float(numerator.sum() / count.sum())
    n = log.episodes
    if n < 2:
        return {"value": value, "low": None, "high": None}
    from scipy.special import stdtrit  # noqa: PLC0415 - heavy, and only intervals need it

    residuals = numerator - value * count
    error = math.sqrt(float(residuals @ residuals) / (n * (n - 1))) / float(count.mean())
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    return {"value": value, "low": value - half, "high": value + half}
