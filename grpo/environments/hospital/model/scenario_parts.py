"""The parts of a scenario: pools, arrivals, patients, care, stages and costs."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from grpo.environments.hospital.model.facts import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    LARGEST_RATE_PER_DAY,
    Amount,
    Fact,
    Name,
    Positive,
    Share,
    Shares,
    Units,
    require_distinct,
    require_sum_one,
)
from grpo.environments.hospital.model.laws_model import Law
from grpo.schema import FrozenModel, field_error

DAYS_PER_WEEK = 7
Hour = Annotated[float, Field(ge=0, le=1e6)]


class Pool(FrozenModel):
    """A kind of resource that is taken in whole units, e.g. staffed spaces.

    Attributes:
        name: what needs call it.
        capacity: units there are at most, surges left out.
        plan: units staffed by hour of the day (24) or by hour of the week (168, Monday first). A
            shift that ends lets running care finish: its units close as they come free.
        turnaround: cleaning; a unit that care gives back is free again only after it.
    """

    name: Name
    capacity: Fact[Annotated[int, Field(ge=1, le=10_000)]]
    plan: Fact[tuple[Units, ...]] | None = None
    turnaround: Fact[Law] | None = None

    @model_validator(mode="after")
    def _planned(self) -> Self:
        if self.plan is None:
            return self
        hours = self.plan.value
        if len(hours) not in (HOURS_PER_DAY, HOURS_PER_WEEK):
            raise field_error(
                f"a plan has {HOURS_PER_DAY} entries (hours of the day) or {HOURS_PER_WEEK} "
                f"(hours of the week), not {len(hours)}",
                *("plan", "value"),
            )
        for hour, units in enumerate(hours):
            if units > self.capacity.value:
                raise field_error(
                    f"plans {units} units of {self.name}, which has {self.capacity.value}",
                    *("plan", "value", hour),
                )
        return self


class Arrivals(FrozenModel):
    """A Poisson stream with a rate that is constant within each hour of the day.

    Attributes:
        visits_per_day: mean over the week.
        hourly_share: share of a day's arrivals by hour of the day.
        weekday_factor: by day, Monday first; only their ratios count, the mean is made 1.
    """

    visits_per_day: Fact[Annotated[float, Field(ge=0.01, le=LARGEST_RATE_PER_DAY)]]
    hourly_share: Fact[
        Annotated[tuple[Share, ...], Field(min_length=HOURS_PER_DAY, max_length=HOURS_PER_DAY)]
    ]
    weekday_factor: (
        Fact[
            Annotated[
                tuple[Positive, ...], Field(min_length=DAYS_PER_WEEK, max_length=DAYS_PER_WEEK)
            ]
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _whole_day(self) -> Self:
        require_sum_one("hourly_share", self.hourly_share.value, "hourly_share", "value")
        return self


class Attribute(FrozenModel):
    """Something known of a patient that groups can be made of.

    A ``protected`` attribute is never an input of a policy unless the job is group-aware.
    """

    name: Name
    values: tuple[Name, ...] = Field(min_length=1, max_length=32)
    share: Fact[Shares]
    protected: StrictBool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_distinct(f"values of {self.name}", self.values, "values")
        if len(self.share.value) != len(self.values):
            raise field_error(
                f"{self.name} needs one share for each of {list(self.values)}", "share", "value"
            )
        require_sum_one(f"share of {self.name}", self.share.value, "share", "value")
        return self


class CareOption(FrozenModel):
    """A set of units that care can be given on, e.g. the own ward, or a hallway at a cost.

    Attributes:
        name: what the action is called.
        needs: units by pool, taken all together or not at all.
        cost_per_start: lump, in relative units; none costs nothing.
    """

    name: Name
    needs: Fact[dict[Name, Units]]
    cost_per_start: Fact[Amount] | None = None


class Acuity(FrozenModel):
    """One level of urgency: what it costs to wait, what care takes, how long patience lasts.

    Attributes:
        level: 1 is the most urgent.
        cost_per_hour: of waiting up to the target, in relative units.
        target_minutes: time to the start of care; none for no target.
        needs: units of the first choice of care, by pool.
        treatment: law of the care.
        patience: law of the time after which a waiting patient leaves; none waits without limit.
        options: further choices of care, in order of preference.
        deterioration_per_hour: hazard of moving to the next more urgent acuity while waiting.
    """

    level: int = Field(ge=1, le=16, description="1 is the most urgent.")
    cost_per_hour: Fact[Amount]
    target_minutes: Fact[Amount] | None = None
    needs: Fact[dict[Name, Units]]
    treatment: Fact[Law]
    patience: Fact[Law] | None = Field(None, description="None waits without limit.")
    options: tuple[CareOption, ...] = Field((), max_length=7)
    deterioration_per_hour: Fact[Annotated[float, Field(ge=0, le=100)]] | None = None


class StayBands(FrozenModel):
    """A forecast at triage: short or long, alike for all patients of one acuity and band.

    At acuity k let M be the mean treatment of everybody (all ages). Short patients have mean
    ``short_factor * M``; long ones have the mean that keeps M. So the bands, and not the
    attribute, carry the difference in stay.
    """

    long_share: Fact[dict[Name, Share]]
    short_factor: Fact[Annotated[float, Field(ge=1e-3, lt=1)]]


class Stage(FrozenModel):
    """Care after the emergency department: a ward, an ICU, or a transfer with its own crew.

    A patient whose care ended keeps his units until the next stage can start: he boards.

    Attributes:
        name: unlike any other stage and unlike ``ed``.
        options: sets of units it can be given on, the own ward first.
        stay: law of the stay.
        stay_factor: by value of ``mix_by``, multiplies the stay.
        waiting_cost_per_hour: cost of boarding for this stage, in relative units.
        outcome: what a patient who goes nowhere from here counts as.
    """

    name: Name
    options: tuple[CareOption, ...] = Field(min_length=1, max_length=8)
    stay: Fact[Law]
    stay_factor: Fact[dict[Name, Positive]] | None = None
    waiting_cost_per_hour: Fact[Amount]
    outcome: Literal["discharged", "transferred"] = "discharged"


class Route(FrozenModel):
    """Who goes on from one stage to another; what no route takes leaves the hospital.

    Attributes:
        origin: ``ed`` or a stage.
        destination: a stage.
        probability: by value of ``mix_by``, one entry per acuity.
    """

    origin: Name
    destination: Name
    probability: Fact[dict[Name, Shares]]


class HarmCurve(FrozenModel):
    """Added probability of death by the hours from arrival to a bed, straight lines in between.

    Nothing is added before the first point; after the last the curve stays level.
    """

    hours: tuple[Hour, ...] = Field(min_length=1, max_length=32)
    added_probability: tuple[Share, ...] = Field(min_length=1, max_length=32)

    @model_validator(mode="after")
    def _curve(self) -> Self:
        if len(self.hours) != len(self.added_probability):
            raise field_error("needs one entry for each of hours", "added_probability")
        for n, (earlier, later) in enumerate(pairwise(self.hours)):
            if later <= earlier:
                raise field_error("hours must increase", "hours", n + 1)
        return self


class Costs(FrozenModel):
    """The cost model, in relative units, one set for all groups.

    Leaving, diversion and deterioration cost as much as so many hours of waiting beyond the
    target. An expected death costs nothing unless ``cost_per_death`` says so: hours of waiting
    stand for the harm of waiting, and harm must not be counted twice.
    """

    factor_beyond_target: Fact[Annotated[float, Field(ge=1, le=1000)]]
    leaving_hours: Fact[Amount]
    diversion_hours: Fact[Amount]
    deterioration_hours: Fact[Amount] | None = None
    cost_per_death: Fact[Amount] | None = None


class AlternativeCosts(FrozenModel):
    """Another set of costs under which a comparison is repeated.

    Attributes:
        name: unlike any other set's.
        cost_per_hour: by acuity; none keeps the scenario's.
        waiting_cost_per_hour: by name of the stage, for boarding; those left out stay.
        costs: lumps and factor.
    """

    name: Name
    cost_per_hour: Fact[tuple[Amount, ...]] | None = None
    waiting_cost_per_hour: Fact[dict[Name, Amount]] | None = None
    costs: Costs
