"""How flows of patients pass a hospital in which nobody waits, as spectra over the week.

With unlimited capacity a hospital is a network of infinite-server queues with arrivals that vary
over the week (M_t/G/inf): patients do not disturb each other, so expected numbers follow from the
arrival rates by convolution with the laws of the stays, without simulation.

A week is cut into half hours; within each, patients come and go evenly. Everybody gets the first
option of care. Nobody leaves unseen, is diverted or deteriorates.

Source: Eick, Massey, Whitt (1993), The physics of the Mt/G/inf queue, theorem 1; for networks
    Massey, Whitt (1993), Networks of infinite-server queues with nonstationary Poisson input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.patient_types import enumerate_types
from grpo.environments.hospital.model.facts import HOURS_PER_WEEK
from grpo.environments.hospital.model.scenario_model import FIRST_STAGE, Law, Scenario
from grpo.environments.hospital.review.law_integrals import mean_of, mean_within

Float64 = NDArray[np.float64]
Spectrum = NDArray[np.complex128]
Key = TypeVar("Key")

STEP_HOURS = 0.5
STEPS = int(HOURS_PER_WEEK / STEP_HOURS)
WEEKS_KEPT = 8
MAX_VISITS = 64
NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Response:
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
class Flows:
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
    responses: dict[tuple[Law, float], Response] = field(default_factory=dict)

    def respond(self, law: Law, factor: float = 1.0) -> Response:
        """Return what a stay does, computed once."""
        if (law, factor) not in self.responses:
            self.responses[law, factor] = _respond(law, factor)
        return self.responses[law, factor]

    def visit(
        self, stage: str, needs: Mapping[str, int], flow: Spectrum, stay: Response
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


def pass_hospital(scenario: Scenario, rates: Float64, profile: Float64) -> Flows:
    """Let patients pass the hospital.

    Args:
        scenario: the hospital.
        rates: [Y] arrivals per hour of each type.
        profile: [STEPS] multiplies them in each half hour of the week.
    """
    flows, spectrum = Flows(scenario), np.fft.rfft(profile)
    leaving: dict[tuple[str, int], Spectrum] = {}
    for patient, rate in zip(enumerate_types(scenario), rates, strict=True):
        stay = flows.respond(patient.acuity.treatment.value, patient.treatment_factor)
        left = flows.visit(FIRST_STAGE, patient.acuity.needs.value, rate * spectrum, stay)
        _add(leaving, (patient.mix_value, patient.acuity.level - 1), left)
    for (value, level), flow in leaving.items():
        flows.follow(value, level, flow)
    flows.clean()
    return flows


def hourly_means(spectrum: Spectrum | None) -> Float64:
    """Return the means over the hours of the week, from values at the ends of half hours."""
    if spectrum is None:
        return np.zeros(HOURS_PER_WEEK)
    ends = np.fft.irfft(spectrum, STEPS)
    middle, end, begin = ends[::2], ends[1::2], np.roll(ends[1::2], 1)
    return np.maximum((begin + 2 * middle + end) / 4, 0.0)


def _respond(law: Law, factor: float) -> Response:
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
    return Response(_wrap(leaving, 1.0), _wrap(present, mean))


def _wrap(values: Float64, total: float) -> Spectrum:
    weeks = values.reshape(WEEKS_KEPT, STEPS).sum(axis=0)
    return np.fft.rfft(weeks + (total - weeks.sum()) / STEPS)
