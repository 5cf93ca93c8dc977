"""How a simulated hospital did, in a few numbers with intervals over replications."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.simulate import Outcome, PatientLog
from grpo.fairness.assembly import optional
from grpo.fairness.intervals import ratio_of_sums, student_interval

Float64 = NDArray[np.float64]


def summarise(log: PatientLog, compiled: CompiledScenario) -> dict[str, Any]:
    """Summarise everybody who arrived in the judged window.

    Waits are of those who were let in, up to the start of care, to leaving, or to the end of the
    run: for those still waiting then, a lower bound.

    Args:
        log: of one rule or policy.
        compiled: the scenario that was simulated.

    Returns:
        Plain data: counts, and for each ratio its ``value`` with ``low`` and ``high``: Student's
        95% interval over replications on the log scale, of the share on the logit scale. Both are
        null where only one replication had such patients, and for a value that was 0 (the share
        also: 1) in each; all three where there was nobody.
    """
    everybody = np.ones(log.episode.size, dtype=np.bool_)
    let_in = log.outcome != Outcome.DIVERTED
    acuities = compiled.type_acuity[log.type]
    left = log.outcome == Outcome.LEFT
    minutes = 60.0 * log.wait_hours
    return {
        "patients": int(log.episode.size),
        "outcomes": {
            outcome.name.lower(): int((log.outcome == outcome).sum()) for outcome in Outcome
        },
        "cost_per_patient": _ratio(log, log.cost, everybody),
        "mean_wait_minutes": _ratio(log, minutes, let_in),
        "p90_wait_minutes": float(np.quantile(minutes[let_in], 0.9)) if let_in.any() else None,
        "share_left_unseen": _ratio(log, 1.0 * left, everybody, largest=1.0),
        "mean_wait_minutes_by_acuity": {
            str(acuity): _ratio(log, minutes, let_in & (acuities == acuity))
            for acuity in sorted(set(compiled.type_acuity.tolist()))
        },
    }


def _ratio(
    log: PatientLog, values: Float64, of: NDArray[np.bool_], *, largest: float = math.inf
) -> dict[str, float | None]:
    """Divide sums over the chosen patients by their number, with its interval."""
    sums, count = (
        np.bincount(log.episode, weights=weights, minlength=log.episodes).astype(np.float64)
        for weights in (values * of, of)
    )
    found = ratio_of_sums(sums, count)
    low, high = student_interval(found, largest=largest)
    if np.count_nonzero(count) < 2:  # one replication tells no spread
        low, high = np.full(2, np.nan)
    numbers = {"value": found.value, "low": low, "high": high}
    return {name: optional(float(number)) for name, number in numbers.items()}
