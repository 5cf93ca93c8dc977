"""From a scenario's tables to its patient types, their arrival rates and laws of times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.initial_stages import residual_law
from grpo.environments.hospital.compiling.laws import LAW_COLUMNS, LawTable, law_mean
from grpo.environments.hospital.model.facts import HOURS_PER_DAY, Shares, normalised
from grpo.environments.hospital.model.scenario_model import Acuity, Scenario

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

RAREST_LONG_SHARE = 1e-6
"""Below it nobody is long: whoever were would have to stay for ever to keep the mean."""


@dataclass(frozen=True)
class PatientType:
    """One patient type before it becomes a row.

    Attributes:
        acuity: its level of urgency, with costs, needs and patience.
        band: 0 short, 1 long; 0 where the scenario has no bands.
        values: index of the value of each declared attribute.
        mix_value: the value of ``mix_by``.
        treatment_factor: multiplies the treatment.
    """

    acuity: Acuity
    band: int
    values: tuple[int, ...]
    mix_value: str
    treatment_factor: float


def enumerate_types(scenario: Scenario) -> list[PatientType]:
    """List the types by acuity, band and attribute values.

    So the type of the next more urgent acuity, all else equal, stands a fixed number before.
    """
    mix = [attribute.name for attribute in scenario.attributes].index(scenario.mix_by)
    mix_values = scenario.attribute(scenario.mix_by).values
    combinations = list(product(*(range(len(a.values)) for a in scenario.attributes)))
    types = []
    for position, acuity in enumerate(scenario.acuities):
        band_factors = _band_factors(scenario, position)
        for band, values in product(range(len(band_factors)), combinations):
            value = mix_values[values[mix]]
            banded = scenario.stay_bands is not None
            factor = band_factors[band] if banded else _treatment_factor(scenario, value)
            types.append(PatientType(acuity, band, values, value, factor))
    return types


def share_types(
    scenario: Scenario,
    types: Sequence[PatientType],
    mix_share: Shares,
    acuity_share: Mapping[str, Shares],
) -> Float64:
    """Return [Y] shares of the types, sum 1, for a mix of values and acuities.

    Args:
        scenario: gives the shares of the other attributes and the stay bands.
        types: its types.
        mix_share: by value of ``mix_by``, in order.
        acuity_share: by value of ``mix_by``, shares of the acuities.
    """
    attributes = scenario.attributes
    by_attribute = [
        normalised(mix_share if a.name == scenario.mix_by else a.share.value) for a in attributes
    ]
    by_acuity = {value: normalised(shares) for value, shares in acuity_share.items()}
    shares = []
    for patient in types:
        share = math.prod(s[v] for s, v in zip(by_attribute, patient.values, strict=True))
        share *= by_acuity[patient.mix_value][patient.acuity.level - 1]
        if scenario.stay_bands is not None:
            long_share = scenario.stay_bands.long_share.value[patient.mix_value]
            share *= long_share if patient.band else 1 - long_share
        shares.append(share)
    return np.array(shares)


def share_by_source(scenario: Scenario, types: Sequence[PatientType]) -> Float64:
    """Return [1 + J, Y] shares of the types: among the usual arrivals, then in each surge."""
    usual = scenario.attribute(scenario.mix_by).share.value
    return np.array(
        [
            share_types(scenario, types, usual, scenario.acuity_share.value),
            *(
                share_types(scenario, types, surge.mix_share.value, surge.acuity_share.value)
                for surge in scenario.surges
            ),
        ]
    )


def mean_rates(scenario: Scenario, shares: Float64) -> Float64:
    """Return [Y] expected arrivals per hour in the long run; a surge that never returns adds 0."""
    rates = scenario.arrivals.visits_per_day.value / HOURS_PER_DAY * shares[0]
    for surge, by_type in zip(scenario.surges, shares[1:], strict=True):
        if surge.every_hours is not None:
            rates = rates + surge.patients.value / surge.every_hours.value * by_type
    return np.asarray(rates, dtype=np.float64)


def _band_factors(scenario: Scenario, position: int) -> tuple[float, ...]:
    """Give the factors on the published mean treatment by band at one acuity, (1,) without bands.

    With M the population's factor and L its long share at this acuity: short = s M and
    long = M (1 - (1 - L) s) / L, so that the mean over the bands is M.
    """
    bands = scenario.stay_bands
    if bands is None:
        return (1.0,)
    attribute = scenario.attribute(scenario.mix_by)
    shares = normalised(attribute.share.value)
    weights = [
        share * normalised(scenario.acuity_share.value[value])[position]
        for value, share in zip(attribute.values, shares, strict=True)
    ]
    total = sum(weights)
    if total == 0:
        return (1.0, 1.0)
    at_acuity = list(zip(attribute.values, (w / total for w in weights), strict=True))
    mean_factor = sum(w * _treatment_factor(scenario, value) for value, w in at_acuity)
    long_share = sum(w * bands.long_share.value[value] for value, w in at_acuity)
    short = bands.short_factor.value
    long = (1 - (1 - long_share) * short) / long_share if long_share > RAREST_LONG_SHARE else 1.0
    return (short * mean_factor, long * mean_factor)


def _treatment_factor(scenario: Scenario, value: str) -> float:
    return 1.0 if scenario.treatment_factor is None else scenario.treatment_factor.value[value]


class Laws(NamedTuple):
    """The times of the types, as rows of laws (see ``laws.LawTable``).

    Attributes:
        stays: [1 + S, Y, 4] of the care in each stage, the emergency department first.
        patience: [Y, 4].
        cleaning: [P, 4] of each pool.
        residuals: [S, Y, 4] what is left of the stays of those who are there at the start.
        mean_stays: [1 + S, Y] hours.
        quantiles: values of all empirical laws.
    """

    stays: Float64
    patience: Float64
    cleaning: Float64
    residuals: Float64
    mean_stays: Float64
    quantiles: Float64


def compile_laws(scenario: Scenario, types: Sequence[PatientType]) -> Laws:
    """Encode all laws of a scenario."""
    table = LawTable()
    stays = [[table.row(t.acuity.treatment.value, t.treatment_factor) for t in types]]
    residuals = []
    for stage in scenario.stages:
        by_value = {} if stage.stay_factor is None else stage.stay_factor.value
        factors = [by_value.get(t.mix_value, 1.0) for t in types]
        stays.append([table.row(stage.stay.value, factor) for factor in factors])
        left = residual_law(stage.stay.value)
        residuals.append([table.row(left, factor) for factor in factors])
    patience = [table.row(t.acuity.patience.value if t.acuity.patience else None) for t in types]
    cleaning = [table.row(p.turnaround.value if p.turnaround else None) for p in scenario.pools]
    quantiles = np.array(table.quantiles or [0.0])
    means = np.array([[law_mean(row, quantiles) for row in rows] for rows in stays])
    return Laws(
        stays=np.array(stays),
        patience=np.array(patience),
        cleaning=np.array(cleaning),
        residuals=np.array(residuals).reshape(len(residuals), len(types), LAW_COLUMNS),
        mean_stays=means,
        quantiles=quantiles,
    )
