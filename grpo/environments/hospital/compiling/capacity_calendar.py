"""When capacity changes: plans by hour of day or week, and the steps of surges."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.model.facts import HOURS_PER_DAY, HOURS_PER_WEEK
from grpo.environments.hospital.model.scenario_model import Pool, Scenario

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Calendar(NamedTuple):
    """Changes of capacity in tracks, each of which repeats with its own period.

    Attributes:
        initial: [P] units just before hour 0.
        steps: [M, 3] hours since the track's round began, pool, units added.
        tracks: [W, 4] first step, one past the last, hour of the first round, period in hours.
    """

    initial: Int64
    steps: Float64
    tracks: Float64


def make_calendar(scenario: Scenario) -> Calendar:
    """Collect all changes of capacity: one track for the plans, one for each surge with steps."""
    index = {pool.name: p for p, pool in enumerate(scenario.pools)}
    steps: list[tuple[float, int, int]] = []
    tracks: list[tuple[int, int, float, float]] = []
    planned = [(index[pool.name], pool.plan.value) for pool in scenario.pools if pool.plan]
    if planned:
        period = max(len(hours) for _, hours in planned)
        steps += [
            (float(hour), p, change)
            for hour in range(period)
            for p, hours in planned
            if (change := hours[hour % len(hours)] - hours[(hour - 1) % len(hours)]) != 0
        ]
        tracks.append((0, len(steps), 0.0, float(period)))
    for surge in scenario.surges:
        first = len(steps)
        changes = []
        for step in surge.capacity_steps:
            begins = step.after_minutes.value / 60
            changes.append((begins, index[step.pool], step.units.value))
            changes.append((begins + step.hours.value, index[step.pool], -step.units.value))
        steps += sorted(changes)
        every = math.inf if surge.every_hours is None else surge.every_hours.value
        tracks.append((first, len(steps), surge.first_hour.value, every))
    tracks = [track for track in tracks if track[1] > track[0]]
    return Calendar(
        initial=np.array([_units_before_midnight(pool) for pool in scenario.pools], dtype=np.int64),
        steps=np.array(steps, dtype=np.float64).reshape(-1, 3),
        tracks=np.array(tracks, dtype=np.float64).reshape(-1, 4),
    )


def _units_before_midnight(pool: Pool) -> int:
    return pool.capacity.value if pool.plan is None else pool.plan.value[-1]


def arrival_rates(scenario: Scenario) -> Float64:
    """Return [24] arrivals per hour by hour of the day, or [168] by hour of the week."""
    arrivals = scenario.arrivals
    shares = np.array(arrivals.hourly_share.value, dtype=np.float64)
    by_hour = arrivals.visits_per_day.value * shares / shares.sum()
    if arrivals.weekday_factor is None:
        return np.asarray(by_hour, dtype=np.float64)
    factors = np.array(arrivals.weekday_factor.value)
    return np.asarray(np.outer(factors / factors.mean(), by_hour).ravel(), dtype=np.float64)


def is_weekly(scenario: Scenario) -> bool:
    """Whether days of the week differ in arrivals or in a plan."""
    return scenario.arrivals.weekday_factor is not None or any(
        pool.plan is not None and len(pool.plan.value) == HOURS_PER_WEEK for pool in scenario.pools
    )


def cycle_hours(scenario: Scenario) -> float:
    """Return a span of whole days (weeks, where they matter) in which all repeats at least once."""
    unit = float(HOURS_PER_WEEK if is_weekly(scenario) else HOURS_PER_DAY)
    spans = [s.every_hours.value for s in scenario.surges if s.every_hours is not None]
    return unit * max(math.ceil(max(spans, default=unit) / unit), 1)
