"""What a hospital scenario may say: the schema of ``scenarios/*.json``, checked on construction.

Every number that describes a hospital is a ``Fact``: a value with its basis (sourced, computed or
assumed) and the words that back it. Units stand in the field names.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from grpo.environments.hospital.model.facts import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    PRINTABLE,
    SHARE_TOLERANCE,
    Fact,
    Multiple,
    Name,
    Positive,
    Shares,
)
from grpo.environments.hospital.model.laws_model import (
    Constant,
    Empirical,
    Exponential,
    Gamma,
    Law,
    Lognormal,
    LognormalOfLogs,
    Weibull,
)
from grpo.environments.hospital.model.scenario_checks import FIRST_STAGE, MAX_TYPES, check_scenario
from grpo.environments.hospital.model.scenario_parts import (
    Acuity,
    AlternativeCosts,
    Arrivals,
    Attribute,
    CareOption,
    Costs,
    HarmCurve,
    Pool,
    Route,
    Stage,
    StayBands,
)
from grpo.environments.hospital.model.surge_model import CapacityStep, Surge
from grpo.errors import InputError
from grpo.schema import FrozenModel

__all__ = [
    "FIRST_STAGE",
    "HOURS_PER_DAY",
    "HOURS_PER_WEEK",
    "MAX_TYPES",
    "SHARE_TOLERANCE",
    "Acuity",
    "AlternativeCosts",
    "Arrivals",
    "Attribute",
    "CapacityStep",
    "CareOption",
    "Constant",
    "Costs",
    "Empirical",
    "Exponential",
    "Fact",
    "Gamma",
    "HarmCurve",
    "Law",
    "Lognormal",
    "LognormalOfLogs",
    "Name",
    "Pool",
    "Positive",
    "Route",
    "Scenario",
    "Stage",
    "StayBands",
    "Surge",
    "Weibull",
]


class Scenario(FrozenModel):
    """One hospital: who comes, what care takes, how much there is of everything, what delay costs.

    Tables by attribute (``acuity_share``, ``treatment_factor``, ``long_share``, ``probability`` of
    a route, ...) are indexed by the values of ``mix_by``; other attributes are independent of
    everything.

    Attributes:
        schema_version: of this form.
        name: what jobs call it.
        title: for people, one line.
        description: for people.
        pools: resources.
        waiting_room: places for those who wait for care in the emergency department; who finds
            them full, and cannot start at once, is diverted.
        arrivals: when patients come.
        attributes: what is known of them.
        mix_by: the attribute that tables are indexed by.
        acuity_share: by value of ``mix_by``, shares of the acuities.
        acuities: levels of urgency, the most urgent first.
        treatment_factor: by value of ``mix_by``, multiplies the treatment.
        stay_bands: a forecast of the stay at triage.
        stages: care after the emergency department.
        routes: who goes there.
        surges: events.
        deterioration_factor: by value of ``mix_by``, multiplies the hazard of deterioration.
        triage_error: by value of ``mix_by``, a row per true acuity: chances of the recorded one.
        harm: added probability of death of those who wait long for a bed of another stage.
        costs: what delay costs.
        alternative_costs: other opinions on it.
        review_minutes: how long a HOLD lasts at most.
    """

    schema_version: Literal[1] = 1
    name: Name
    title: str = Field(min_length=1, max_length=200, pattern=PRINTABLE)
    description: str = Field(min_length=1, max_length=4000, pattern=PRINTABLE)
    pools: tuple[Pool, ...] = Field(min_length=1, max_length=16)
    waiting_room: Fact[Annotated[int, Field(ge=0, le=100_000)]]
    arrivals: Arrivals
    attributes: tuple[Attribute, ...] = Field(min_length=1, max_length=8)
    mix_by: Name
    acuity_share: Fact[dict[Name, Shares]]
    acuities: tuple[Acuity, ...] = Field(min_length=1, max_length=16)
    treatment_factor: Fact[dict[Name, Positive]] | None = None
    stay_bands: StayBands | None = None
    stages: tuple[Stage, ...] = Field((), max_length=8)
    routes: tuple[Route, ...] = Field((), max_length=64)
    surges: tuple[Surge, ...] = Field((), max_length=8)
    deterioration_factor: Fact[dict[Name, Multiple]] | None = None
    triage_error: Fact[dict[Name, tuple[Shares, ...]]] | None = None
    harm: Fact[HarmCurve] | None = None
    costs: Costs
    alternative_costs: tuple[AlternativeCosts, ...] = Field((), max_length=8)
    review_minutes: Fact[Annotated[float, Field(ge=1, le=10_080)]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_scenario(self)
        return self

    def attribute(self, name: str) -> Attribute:
        """Return the declared attribute of that name; KeyError where there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        raise KeyError(name)

    def with_costs(self, name: str) -> Scenario:
        """Return the same hospital under one of its ``alternative_costs``.

        Raises:
            InputError: at /costs, where no set has that name.
        """
        for alternative in self.alternative_costs:
            if alternative.name == name:
                return _replace_costs(self, alternative)
        names = ", ".join(costs.name for costs in self.alternative_costs)
        raise InputError.single("/costs", "no such set of costs", given=name, allowed=names)


def _replace_costs(scenario: Scenario, alternative: AlternativeCosts) -> Scenario:
    acuities, stages = scenario.acuities, scenario.stages
    if (rates := alternative.cost_per_hour) is not None:
        acuities = tuple(
            acuity.model_copy(
                update={"cost_per_hour": rates.model_copy(update={"value": rates.value[n]})}
            )
            for n, acuity in enumerate(acuities)
        )
    if (waits := alternative.waiting_cost_per_hour) is not None:
        stages = tuple(
            stage.model_copy(
                update={
                    "waiting_cost_per_hour": waits.model_copy(
                        update={"value": waits.value[stage.name]}
                    )
                }
            )
            if stage.name in waits.value
            else stage
            for stage in stages
        )
    costs = {"acuities": acuities, "stages": stages, "costs": alternative.costs}
    return scenario.model_copy(update=costs)
