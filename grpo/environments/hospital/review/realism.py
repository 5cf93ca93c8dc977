"""How close a simulated hospital comes to what was published about hospitals of its kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.model.facts import HOURS_PER_DAY
from grpo.environments.hospital.patient_log import Census, Courses, Outcome, PatientLog
from grpo.environments.hospital.review.published import PUBLISHED, Published
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.environments.hospital.simulate import simulate
from grpo.errors import InputError

Float64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

PLAUSIBLE_RULE = "strict_acuity"
"""What triage does: the most urgent first, first come first served among them."""
WARMUP_HOURS = 60 * 24.0
"""Wards start empty; twelve mean stays of five days fill them."""
HORIZON_HOURS = 14 * 24.0
BLOCKS = 10


@dataclass(frozen=True)
class Finding:
    """A published figure beside the simulated one.

    Attributes:
        published: the figure and its band.
        value: simulated; NaN where nobody was there to measure.
        standard_error: of ``value``, from blocks of replications.
    """

    published: Published
    value: float
    standard_error: float

    @property
    def is_hit(self) -> bool:
        """Whether the simulated value lies in the band."""
        return self.published.low <= self.value <= self.published.high


def compare_with_published(
    name: str, *, rule: str = PLAUSIBLE_RULE, replications: int = 40, seed: int = 1
) -> tuple[Finding, ...]:
    """Simulate a built-in scenario under a rule and hold it against what was published.

    Args:
        name: a built-in scenario with published figures.
        rule: a dispatch rule.
        replications: a multiple of 10; each runs 60 days unrecorded, then two weeks.
        seed: 0 <= seed < 2**63.

    Raises:
        InputError: nothing was published for such a hospital, no such rule, or replications that
            cannot be divided.
    """
    if name not in PUBLISHED:
        allowed = ", ".join(sorted(PUBLISHED))
        raise InputError.single("/scenario", "no published figures", given=name, allowed=allowed)
    if replications < BLOCKS or replications % BLOCKS:
        allowed = f"a multiple of {BLOCKS}"
        raise InputError.single(
            "/replications", "cannot be divided", given=replications, allowed=allowed
        )
    compiled = compile_scenario(load_scenario(name))
    log = simulate(
        compiled,
        make_rule(rule, compiled),
        episodes=replications,
        seed=seed,
        warmup_hours=WARMUP_HOURS,
        horizon_hours=HORIZON_HOURS,
        census_every_hours=1.0,
    )
    whole = np.arange(replications)
    blocks = np.split(whole, BLOCKS)
    findings = []
    for published in PUBLISHED[name]:
        value = measure(compiled, log, published.measure, whole)
        parts = [measure(compiled, log, published.measure, block) for block in blocks]
        error = float(np.std(parts, ddof=1)) / math.sqrt(BLOCKS)
        findings.append(Finding(published, value, error))
    return tuple(findings)


@dataclass(frozen=True, eq=False)
class _Judged:
    """The patients and samples of some episodes.

    Attributes:
        compiled: the scenario.
        minutes: [M] waits of all patients.
        outcome: [M].
        acuity: [M] as they came.
        target_minutes: [M].
        boarding: [M] minutes of waiting for beds in all; NaN for who was not admitted.
        ed_stay: [M] minutes in the department; NaN where it was not left after care.
        census: of these episodes.
    """

    compiled: CompiledScenario
    minutes: Float64
    outcome: NDArray[np.int64]
    acuity: NDArray[np.int64]
    target_minutes: Float64
    boarding: Float64
    ed_stay: Float64
    census: Census


def measure(
    compiled: CompiledScenario, log: PatientLog, name: str, episodes: NDArray[np.int64]
) -> float:
    """Return one figure of some episodes; NaN where there was nobody to measure.

    Args:
        compiled: the scenario that was simulated, with stages.
        log: with an hourly census from a midnight on.
        name: ``Published.measure``.
        episodes: which of the log's episodes.
    """
    if log.courses is None or log.census is None:
        raise InputError.single("/log", "needs courses of patients and a census")
    chosen = np.isin(log.episode, episodes)
    judged = _judge(compiled, log, log.courses, log.census, chosen, episodes)
    if name in MEASURES:
        return MEASURES[name](judged)
    if name.startswith("ed_stay_minutes_"):
        return _mean(judged.ed_stay[judged.acuity == int(name.rpartition("_")[2])])
    pool = compiled.pool_names.index(name.removesuffix("_percent"))
    used, capacity = judged.census.used[..., pool], judged.census.capacity[..., pool]
    return float(100 * used.sum() / capacity.sum())


def _judge(
    compiled: CompiledScenario,
    log: PatientLog,
    courses: Courses,
    census: Census,
    chosen: Flags,
    episodes: NDArray[np.int64],
) -> _Judged:
    in_care = np.isin(log.outcome, (Outcome.SERVED, Outcome.TRANSFERRED))
    gone = np.isfinite(courses.ed_hours) & np.isfinite(courses.end_hours)
    went_home = gone & (courses.end_hours <= courses.ed_hours)
    # Who left the department for a bed, and who still waits for one.
    admitted = in_care & ~went_home & (np.isfinite(courses.ed_hours) | (courses.boarding_hours > 0))
    return _Judged(
        compiled=compiled,
        minutes=60 * log.wait_hours[chosen],
        outcome=log.outcome[chosen],
        acuity=compiled.type_acuity[log.type[chosen]],
        target_minutes=60 * compiled.target_hours[log.type[chosen]],
        boarding=np.where(admitted, 60 * courses.boarding_hours, np.nan)[chosen],
        ed_stay=np.where(in_care, 60 * courses.ed_hours, np.nan)[chosen],
        census=Census(
            census.hours,
            *(
                table[episodes]
                for table in (
                    census.waiting,
                    census.in_care,
                    census.boarding,
                    census.used,
                    census.capacity,
                )
            ),
        ),
    )


def _mean(values: Float64) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _median(values: Float64) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


def _percent(flags: Flags, of: Flags | None = None) -> float:
    chosen = flags if of is None else flags[of]
    return float(100 * chosen.mean()) if chosen.size else math.nan


def _let_in(judged: _Judged) -> Flags:
    let_in: Flags = judged.outcome != Outcome.DIVERTED
    return let_in


def _in_care(judged: _Judged) -> Flags:
    began: Flags = np.isin(judged.outcome, (Outcome.SERVED, Outcome.TRANSFERRED))
    return began


def _admitted(judged: _Judged) -> Flags:
    return np.isfinite(judged.boarding)


def _seen_within(minutes: float) -> Callable[[_Judged], float]:
    return lambda judged: _percent(judged.minutes <= minutes, _in_care(judged))


def _boarded_over(hours: float) -> Callable[[_Judged], float]:
    return lambda judged: _percent(judged.boarding > 60 * hours, _admitted(judged))


def _present_by_hour(judged: _Judged) -> Float64:
    """Return [24] patients in the department on average, those who wait included."""
    spaces = judged.compiled.pool_names.index("ed_space")
    present = judged.census.waiting + judged.census.used[..., spaces]
    whole_days = present.shape[1] // HOURS_PER_DAY * HOURS_PER_DAY
    return np.asarray(present[:, :whole_days].mean(axis=0).reshape(-1, HOURS_PER_DAY).mean(axis=0))


def _present_ratio(judged: _Judged) -> float:
    present = _present_by_hour(judged)
    return float(present.max() / present.min())


MEASURES: dict[str, Callable[[_Judged], float]] = {
    "mean_wait_minutes": lambda judged: _mean(judged.minutes[_let_in(judged)]),
    "median_wait_minutes": lambda judged: _median(judged.minutes[_let_in(judged)]),
    "seen_within_15_percent": _seen_within(15),
    "seen_within_60_percent": _seen_within(60),
    "left_unseen_percent": lambda judged: _percent(judged.outcome == Outcome.LEFT),
    "within_target_percent": lambda judged: _percent(
        judged.minutes <= judged.target_minutes, _in_care(judged)
    ),
    "admitted_percent": lambda judged: _percent(
        _admitted(judged), _admitted(judged) | np.isfinite(judged.ed_stay)
    ),
    "transferred_percent": lambda judged: _percent(judged.outcome == Outcome.TRANSFERRED),
    "census_trough_hour": lambda judged: float(_present_by_hour(judged).argmin()),
    "census_peak_hour": lambda judged: float(_present_by_hour(judged).argmax()),
    "census_ratio": _present_ratio,
    "boarding_median_minutes": lambda judged: _median(judged.boarding),
    "boarded_over_2_h_percent": _boarded_over(2),
    "boarded_over_4_h_percent": _boarded_over(4),
    "boarded_over_24_h_percent": _boarded_over(24),
    "ed_stay_home_median_minutes": lambda judged: _median(judged.ed_stay[~_admitted(judged)]),
    "ed_stay_admitted_median_minutes": lambda judged: _median(judged.ed_stay[_admitted(judged)]),
}
