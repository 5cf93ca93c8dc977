"""What a scenario asks of its pools, hour by hour, if nobody ever had to wait.

Expected numbers of an infinite-server network (see ``patient_flows``), without simulation. Where
the load stays below what is staffed the hospital is stable; how long patients wait is for the
simulator to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.patient_types import enumerate_types, share_by_source
from grpo.environments.hospital.model.facts import HOURS_PER_DAY, HOURS_PER_WEEK, normalised
from grpo.environments.hospital.model.scenario_model import FIRST_STAGE, Pool, Scenario
from grpo.environments.hospital.review.patient_flows import (
    NEGLIGIBLE,
    STEPS,
    Flows,
    hourly_means,
    pass_hospital,
)

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PoolLoad:
    """What is asked of one pool, by hour of the week from Monday midnight.

    Attributes:
        pool: its name.
        offered: [168] units in use on average if nobody had to wait, cleaning included.
        staffed: [168] units that there are.
    """

    pool: str
    offered: Float64
    staffed: Float64

    @property
    def mean_offered(self) -> float:
        """Units in use on average over the week."""
        return float(self.offered.mean())

    @property
    def mean_staffed(self) -> float:
        """Units staffed on average over the week."""
        return float(self.staffed.mean())

    @property
    def load(self) -> float:
        """Share of the staffed hours that is asked for; from 1 on there is not enough."""
        return self.mean_offered / self.mean_staffed if self.mean_staffed else float("inf")


@dataclass(frozen=True, eq=False)
class StageLoad:
    """How many patients one stage sees, if nobody had to wait.

    Attributes:
        stage: its name.
        patients_per_day: starts of it.
        mean_stay_hours: of those who start it; 0 where nobody does.
        occupancy: [168] patients in it on average, by hour of the week.
    """

    stage: str
    patients_per_day: float
    mean_stay_hours: float
    occupancy: Float64


@dataclass(frozen=True, eq=False)
class OfferedLoad:
    """The loads of all pools and stages, in the scenario's order."""

    pools: tuple[PoolLoad, ...]
    stages: tuple[StageLoad, ...]


@dataclass(frozen=True)
class SurgeLoad:
    """What one event asks for, all its patients together.

    Attributes:
        surge: its name.
        patients: expected number.
        unit_hours: by pool, what they ask for.
        added_unit_hours: by pool, what the capacity steps bring (or, below 0, take).
    """

    surge: str
    patients: float
    unit_hours: dict[str, float]
    added_unit_hours: dict[str, float]


def offered_load(scenario: Scenario) -> OfferedLoad:
    """Return the expected load of every pool and stage over the usual week, surges left out."""
    usual, profile = _shares(scenario)[0], _week_profile(scenario)
    per_hour = scenario.arrivals.visits_per_day.value / HOURS_PER_DAY
    flows = pass_hospital(scenario, per_hour * usual, profile)
    names = [FIRST_STAGE, *(stage.name for stage in scenario.stages)]
    return OfferedLoad(
        tuple(
            PoolLoad(p.name, hourly_means(flows.used.get(p.name)), _staffed(p))
            for p in scenario.pools
        ),
        tuple(_stage_load(name, flows) for name in names),
    )


def surge_loads(scenario: Scenario) -> tuple[SurgeLoad, ...]:
    """Return what each surge asks for in all, and what its capacity steps bring."""
    flat = np.ones(STEPS)
    found = []
    for surge, shares in zip(scenario.surges, _shares(scenario)[1:], strict=True):
        # A steady stream of so many patients an hour uses as many units as the event unit-hours.
        used = pass_hospital(scenario, surge.patients.value * shares, flat).used
        added: dict[str, float] = {}
        for step in surge.capacity_steps:
            added[step.pool] = added.get(step.pool, 0.0) + step.units.value * step.hours.value
        asked = {pool: round(float(units[0].real) / STEPS, 4) for pool, units in used.items()}
        found.append(SurgeLoad(surge.name, surge.patients.value, asked, added))
    return tuple(found)


def _shares(scenario: Scenario) -> Float64:
    """Return [1 + J, Y] shares of the types among usual arrivals and in each surge."""
    return share_by_source(scenario, enumerate_types(scenario))


def _week_profile(scenario: Scenario) -> Float64:
    """Return the rate of arrivals relative to its mean in each half hour of the week, [STEPS]."""
    arrivals = scenario.arrivals
    day = np.array(normalised(arrivals.hourly_share.value)) * HOURS_PER_DAY
    factors = (
        np.ones(7) if arrivals.weekday_factor is None else np.array(arrivals.weekday_factor.value)
    )
    week = (factors[:, None] / factors.mean() * day[None, :]).ravel()
    return np.repeat(week, STEPS // HOURS_PER_WEEK)


def _staffed(pool: Pool) -> Float64:
    """Return the units staffed in each hour of the week, [168]."""
    units = (pool.capacity.value,) if pool.plan is None else pool.plan.value
    return np.tile(np.array(units, dtype=np.float64), HOURS_PER_WEEK // len(units))


def _stage_load(name: str, flows: Flows) -> StageLoad:
    rate = float(flows.starts[name][0].real) / STEPS if name in flows.starts else 0.0
    occupancy = hourly_means(flows.present.get(name))
    stay = float(occupancy.mean()) / rate if rate > NEGLIGIBLE else 0.0
    return StageLoad(name, rate * HOURS_PER_DAY, stay, occupancy)
