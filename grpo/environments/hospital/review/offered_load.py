"""What a scenario asks of its pools, hour by hour, if nobody ever had to wait.

With unlimited capacity a hospital is a network of infinite-server queues with arrivals that vary
over the week (M_t/G/inf): patients do not disturb each other, so expected numbers follow from the
arrival rates by convolution with the laws of the stays, without simulation. Where the load stays
below what is staffed the hospital is stable; how long patients wait is for the simulator to say.

A week is cut into half hours; within each, patients come and go evenly. Everybody gets the first
option of care. Nobody leaves unseen, is diverted or deteriorates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.patient_types import enumerate_types, share_by_source
from grpo.environments.hospital.model.facts import HOURS_PER_DAY, HOURS_PER_WEEK, normalised
from grpo.environments.hospital.model.scenario_model import FIRST_STAGE, Law, Pool, Scenario
from grpo.environments.hospital.review.law_integrals import mean_of, mean_within

Float64 = NDArray[np.float64]

STEP_HOURS = 0.5
STEPS = int(HOURS_PER_WEEK / STEP_HOURS)
WEEKS_KEPT = 8
MAX_VISITS = 64
NEGLIGIBLE = 1e-12


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


Spectrum = NDArray[np.complex128]
Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class _Response:
    """What a stay does to a flow of patients, as spectra over the week.

    Attributes:
        leaving: of the chance to leave so many half hours after the start.
        present: of the hours spent there up to the ends of the half hours.
    """

    leaving: Spectrum
    present: Spectrum


def _add(table: dict[Key, Spectrum], name: Key, amount: Spectrum) -> None:
    table[name] = table[name] + amount if name in table else amount


@dataclass(eq=False)
class _Flows:
    """Flows of patients through a scenario, added up as spectra.

    Attributes:
        starts: by stage, patients per hour.
        present: by stage, patients.
        used: by pool, units in use.
        released: by pool, units per hour.
        responses: of the stays met so far.
    """

    scenario: Scenario
    starts: dict[str, Spectrum] = field(default_factory=dict)
    present: dict[str, Spectrum] = field(default_factory=dict)
    used: dict[str, Spectrum] = field(default_factory=dict)
    released: dict[str, Spectrum] = field(default_factory=dict)
    responses: dict[tuple[Law, float], _Response] = field(default_factory=dict)

    def respond(self, law: Law, factor: float = 1.0) -> _Response:
        """Return what a stay does, computed once."""
        if (law, factor) not in self.responses:
            self.responses[law, factor] = _respond(law, factor)
        return self.responses[law, factor]

    def visit(
        self, stage: str, needs: Mapping[str, int], flow: Spectrum, stay: _Response
    ) -> Spectrum:
        """Let a flow of patients pass a stage; return the flow that leaves it."""
        present, leaving = flow * stay.present, flow * stay.leaving
        _add(self.starts, stage, flow)
        _add(self.present, stage, present)
        for pool, units in needs.items():
            _add(self.used, pool, units * present)
            _add(self.released, pool, units * leaving)
        return leaving

    def follow(self, value: str, level: int, leaving: Spectrum) -> None:
        """Let the patients of one group and acuity go on along the routes until all are gone."""
        at = {FIRST_STAGE: leaving}
        stages = {stage.name: stage for stage in self.scenario.stages}
        for _ in range(MAX_VISITS):
            following: dict[str, Spectrum] = {}
            for route in self.scenario.routes:
                chance = route.probability.value[value][level]
                if route.origin not in at or chance == 0:
                    continue
                stage = stages[route.destination]
                factor = stage.stay_factor.value[value] if stage.stay_factor else 1.0
                stay = self.respond(stage.stay.value, factor)
                needs = stage.options[0].needs.value
                left = self.visit(stage.name, needs, at[route.origin] * chance, stay)
                _add(following, stage.name, left)
            at = following
            if not at or max(abs(flow[0]) for flow in at.values()) < NEGLIGIBLE:
                return

    def clean(self) -> None:
        """Keep released units busy for as long as their cleaning takes."""
        for pool in self.scenario.pools:
            if pool.turnaround is not None and pool.name in self.released:
                cleaning = self.respond(pool.turnaround.value)
                _add(self.used, pool.name, self.released[pool.name] * cleaning.present)


def offered_load(scenario: Scenario) -> OfferedLoad:
    """Return the expected load of every pool and stage over the usual week, surges left out.

    Source: Eick, Massey, Whitt (1993), The physics of the Mt/G/inf queue, theorem 1; for networks
        Massey, Whitt (1993), Networks of infinite-server queues with nonstationary Poisson input.
    """
    usual, profile = _shares(scenario)[0], _week_profile(scenario)
    flows = _pass(scenario, scenario.arrivals.visits_per_day.value / HOURS_PER_DAY * usual, profile)
    used = flows.used
    names = [FIRST_STAGE, *(stage.name for stage in scenario.stages)]
    return OfferedLoad(
        tuple(PoolLoad(p.name, _hourly(used.get(p.name)), _staffed(p)) for p in scenario.pools),
        tuple(_stage_load(name, flows) for name in names),
    )


def surge_loads(scenario: Scenario) -> tuple[SurgeLoad, ...]:
    """Return what each surge asks for in all, and what its capacity steps bring."""
    flat = np.ones(STEPS)
    found = []
    for surge, shares in zip(scenario.surges, _shares(scenario)[1:], strict=True):
        # A steady stream of so many patients an hour uses as many units as the event unit-hours.
        used = _pass(scenario, surge.patients.value * shares, flat).used
        added: dict[str, float] = {}
        for step in surge.capacity_steps:
            added[step.pool] = added.get(step.pool, 0.0) + step.units.value * step.hours.value
        asked = {pool: round(float(units[0].real) / STEPS, 4) for pool, units in used.items()}
        found.append(SurgeLoad(surge.name, surge.patients.value, asked, added))
    return tuple(found)


def _shares(scenario: Scenario) -> Float64:
    """Return [1 + J, Y] shares of the types among usual arrivals and in each surge."""
    return share_by_source(scenario, enumerate_types(scenario))


def _pass(scenario: Scenario, rates: Float64, profile: Float64) -> _Flows:
    """Let patients pass the hospital.

    Args:
        scenario: the hospital.
        rates: [Y] arrivals per hour of each type.
        profile: [STEPS] multiplies them in each half hour of the week.
    """
    flows, spectrum = _Flows(scenario), np.fft.rfft(profile)
    leaving: dict[tuple[str, int], Spectrum] = {}
    for patient, rate in zip(enumerate_types(scenario), rates, strict=True):
        stay = flows.respond(patient.acuity.treatment.value, patient.treatment_factor)
        left = flows.visit(FIRST_STAGE, patient.acuity.needs.value, rate * spectrum, stay)
        _add(leaving, (patient.mix_value, patient.acuity.level - 1), left)
    for (value, level), flow in leaving.items():
        flows.follow(value, level, flow)
    flows.clean()
    return flows


def _week_profile(scenario: Scenario) -> Float64:
    """Return the rate of arrivals relative to its mean in each half hour of the week, [STEPS]."""
    arrivals = scenario.arrivals
    day = np.array(normalised(arrivals.hourly_share.value)) * HOURS_PER_DAY
    factors = (
        np.ones(7) if arrivals.weekday_factor is None else np.array(arrivals.weekday_factor.value)
    )
    week = (factors[:, None] / factors.mean() * day[None, :]).ravel()
    return np.repeat(week, STEPS // HOURS_PER_WEEK)


def _respond(law: Law, factor: float) -> _Response:
    """Compute what a stay does to flows that repeat every week.

    With H(x) = E[min(S, x)] and patients who come evenly within a half hour d: the chance to leave
    j half hours later is ((H(jd) - H(jd - d)) - (H(jd + d) - H(jd))) / d, and they spend
    H(jd + d) - H(jd) hours in that half hour, counted at its end. What lies beyond the weeks kept
    is spread evenly.
    """
    edges = np.arange(-1, WEEKS_KEPT * STEPS + 1, dtype=np.float64) * STEP_HOURS
    spent = np.diff(mean_within(law, edges, factor))
    leaving = -np.diff(spent) / STEP_HOURS
    present = spent[1:]
    mean = mean_of(law) * factor
    return _Response(_wrap(leaving, 1.0), _wrap(present, mean))


def _wrap(values: Float64, total: float) -> Spectrum:
    weeks = values.reshape(WEEKS_KEPT, STEPS).sum(axis=0)
    return np.fft.rfft(weeks + (total - weeks.sum()) / STEPS)


def _hourly(spectrum: Spectrum | None) -> Float64:
    """Return the means over the hours of the week, from values at the ends of half hours."""
    if spectrum is None:
        return np.zeros(HOURS_PER_WEEK)
    ends = np.fft.irfft(spectrum, STEPS)
    middle, end, begin = ends[::2], ends[1::2], np.roll(ends[1::2], 1)
    return np.maximum((begin + 2 * middle + end) / 4, 0.0)


def _staffed(pool: Pool) -> Float64:
    """Return the units staffed in each hour of the week, [168]."""
    units = (pool.capacity.value,) if pool.plan is None else pool.plan.value
    return np.tile(np.array(units, dtype=np.float64), HOURS_PER_WEEK // len(units))


def _stage_load(name: str, flows: _Flows) -> StageLoad:
    rate = float(flows.starts[name][0].real) / STEPS if name in flows.starts else 0.0
    occupancy = _hourly(flows.present.get(name))
    stay = float(occupancy.mean()) / rate if rate > NEGLIGIBLE else 0.0
    return StageLoad(name, rate * HOURS_PER_DAY, stay, occupancy)
