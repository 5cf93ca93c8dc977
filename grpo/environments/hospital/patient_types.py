"""From a scenario's tables to its patient types and their arrival rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.laws import law_mean, law_row
from grpo.environments.hospital.scenario_model import HOURS_PER_DAY, Acuity, Law, Scenario

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class PatientType:
    """One patient type before it becomes a row.

    Attributes:
        acuity: its level of urgency, with costs, needs and patience.
        band: 0 short, 1 long; 0 where the scenario has no bands.
        values: index of the value of each declared attribute.
        rate: expected arrivals per hour, mean over the day.
        treatment: law of the treatment before the factor.
        treatment_factor: multiplies the treatment.
        admission: probability of boarding after the treatment.
    """

    acuity: Acuity
    band: int
    values: tuple[int, ...]
    rate: float
    treatment: Law
    treatment_factor: float
    admission: float


def enumerate_types(scenario: Scenario) -> list[PatientType]:
    """List the types by acuity, band and attribute values, with their expected rates."""
    daily = scenario.arrivals.visits_per_day.value
    mix = [attribute.name for attribute in scenario.attributes].index(scenario.mix_by)
    mix_values = scenario.attribute(scenario.mix_by).values
    attribute_shares = [_normalised(a.share.value) for a in scenario.attributes]
    acuity_share = {v: _normalised(s) for v, s in scenario.acuity_share.value.items()}
    bands = scenario.stay_bands
    types = []
    for position, acuity in enumerate(scenario.acuities):
        band_factors = _band_factors(scenario, position)
        for band, combination in product(
            range(len(band_factors)), product(*(range(len(s)) for s in attribute_shares))
        ):
            value = mix_values[combination[mix]]
            share = math.prod(s[c] for s, c in zip(attribute_shares, combination, strict=True))
            share *= acuity_share[value][position]
            if bands is not None:
                long_share = bands.long_share.value[value]
                share *= long_share if band else 1 - long_share
                factor = band_factors[band]
            else:
                factor = _treatment_factor(scenario, value)
            boarding = scenario.boarding
            admission = boarding.admission_probability.value[value][position] if boarding else 0.0
            types.append(
                PatientType(
                    acuity=acuity,
                    band=band,
                    values=combination,
                    rate=daily * share / HOURS_PER_DAY,
                    treatment=acuity.treatment.value,
                    treatment_factor=factor,
                    admission=admission,
                )
            )
    return types


def _band_factors(scenario: Scenario, position: int) -> tuple[float, ...]:
    """Give the factors on the published mean treatment by band at one acuity, (1,) without bands.

    With M the population's factor and L its long share at this acuity: short = s M and
    long = M (1 - (1 - L) s) / L, so that the mean over the bands is M.
    """
    bands = scenario.stay_bands
    if bands is None:
        return (1.0,)
    attribute = scenario.attribute(scenario.mix_by)
    shares = _normalised(attribute.share.value)
    weights = [
        share * _normalised(scenario.acuity_share.value[value])[position]
        for value, share in zip(attribute.values, shares, strict=True)
    ]
    total = sum(weights)
    if total == 0:
        return (1.0, 1.0)
    at_acuity = list(zip(attribute.values, (w / total for w in weights), strict=True))
    mean_factor = sum(w * _treatment_factor(scenario, value) for value, w in at_acuity)
    long_share = sum(w * bands.long_share.value[value] for value, w in at_acuity)
    short = bands.short_factor.value
    long = (1 - (1 - long_share) * short) / long_share if long_share > 0 else 1.0
    return (short * mean_factor, long * mean_factor)


def _treatment_factor(scenario: Scenario, value: str) -> float:
    return 1.0 if scenario.treatment_factor is None else scenario.treatment_factor.value[value]


def _normalised(shares: tuple[float, ...]) -> tuple[float, ...]:
    total = sum(shares)
    return tuple(share / total for share in shares)


class Laws(NamedTuple):
    """The times of the types: [Y, 3] stays and patience, [Y] admission and means, [3] boarding."""

    stays: Float64
    patience: Float64
    admission: Float64
    boarding: Float64
    mean_stays: Float64


def compile_laws(scenario: Scenario, types: list[PatientType]) -> Laws:
    """Encode the laws; a type's mean stay has its boarding in it."""
    stays = np.array([law_row(t.treatment, t.treatment_factor) for t in types])
    patience = [law_row(t.acuity.patience.value if t.acuity.patience else None) for t in types]
    admission = np.array([t.admission for t in types])
    boarding = law_row(scenario.boarding.stay.value if scenario.boarding else None)
    mean_stays = np.array([law_mean(row) for row in stays])
    if scenario.boarding is not None:
        mean_stays = mean_stays + admission * law_mean(boarding)
    return Laws(stays, np.array(patience), admission, boarding, mean_stays)
