"""What a hospital scenario may say: the schema of ``scenarios/*.json``, checked on construction.

Every number that describes a hospital is a ``Fact``: a value with its basis (sourced, computed or
assumed) and the words that back it. Units stand in the field names.
"""

from __future__ import annotations

import math
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import Field, StrictBool, StringConstraints, model_validator

from grpo.schema import FrozenModel

T = TypeVar("T")

Basis = Literal["sourced", "computed", "assumed"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Hours = Annotated[float, Field(gt=0, le=1e6)]
Amount = Annotated[float, Field(ge=0, le=1e6)]
SHARE_TOLERANCE = 1e-3
HOURS_PER_DAY = 24
MAX_TYPES = 1024


class Fact(FrozenModel, Generic[T]):
    """A value that says where it comes from.

    Attributes:
        value: the value itself, in the unit that the field's name gives.
        basis: sourced (published), computed (from published values), or assumed.
        source: publication, computation, or the reason for the assumption.
    """

    value: T
    basis: Basis
    source: str = Field(min_length=1, max_length=1000)


class Exponential(FrozenModel):
    """Memoryless time; its hazard is 1 / mean."""

    kind: Literal["exponential"] = "exponential"
    mean_hours: Hours


class Lognormal(FrozenModel):
    """Lognormal time given by its mean (not its median) and coefficient of variation."""

    kind: Literal["lognormal"] = "lognormal"
    mean_hours: Hours
    cv: Positive


class LognormalOfLogs(FrozenModel):
    """Lognormal time given by mean and standard deviation of its logarithm (hours)."""

    kind: Literal["lognormal_of_logs"] = "lognormal_of_logs"
    mu: float = Field(ge=-10, le=10)
    sigma: float = Field(gt=0, le=5)


class Constant(FrozenModel):
    """The same time for everybody."""

    kind: Literal["constant"] = "constant"
    hours: Hours


Law = Annotated[Exponential | Lognormal | LognormalOfLogs | Constant, Field(discriminator="kind")]


class Pool(FrozenModel):
    """A kind of resource that is taken in whole units, e.g. staffed spaces."""

    name: Name
    capacity: Fact[Annotated[int, Field(ge=1, le=10_000)]]


class Arrivals(FrozenModel):
    """A Poisson stream with a rate that is constant within each hour of the day."""

    visits_per_day: Fact[Annotated[float, Field(ge=0.01, le=100_000)]]
    hourly_share: Fact[
        Annotated[tuple[Share, ...], Field(min_length=HOURS_PER_DAY, max_length=HOURS_PER_DAY)]
    ]

    @model_validator(mode="after")
    def _whole_day(self) -> Self:
        _require_sum_one("hourly_share", self.hourly_share.value)
        return self


class Attribute(FrozenModel):
    """Something known of a patient that groups can be made of.

    A ``protected`` attribute is never an input of a policy unless the job is group-aware.
    """

    name: Name
    values: tuple[Name, ...] = Field(min_length=1, max_length=32)
    share: Fact[tuple[Share, ...]]
    protected: StrictBool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"values of {self.name} must differ from each other")
        if len(self.share.value) != len(self.values):
            raise ValueError(f"{self.name} needs one share for each of {list(self.values)}")
        _require_sum_one(f"share of {self.name}", self.share.value)
        return self


class Acuity(FrozenModel):
    """One level of urgency: what it costs to wait, what care takes, how long patience lasts."""

    level: int = Field(ge=1, le=16, description="1 is the most urgent.")
    cost_per_hour: Fact[Amount]
    target_minutes: Fact[Amount] | None = None
    needs: Fact[dict[Name, Annotated[int, Field(ge=0, le=10_000)]]]
    treatment: Fact[Law]
    patience: Fact[Law] | None = Field(None, description="None waits without limit.")


class StayBands(FrozenModel):
    """A forecast at triage: short or long, alike for all patients of one acuity and band.

    At acuity k let M be the mean treatment of everybody (all ages). Short patients have mean
    ``short_factor * M``; long ones have the mean that keeps M. So the bands, and not the
    attribute, carry the difference in stay.
    """

    long_share: Fact[dict[Name, Share]]
    short_factor: Fact[Annotated[float, Field(gt=0, lt=1)]]


class Boarding(FrozenModel):
    """Admitted patients keep space and nurse after treatment until a ward takes them."""

    admission_probability: Fact[dict[Name, tuple[Share, ...]]]
    stay: Fact[Law]


class Costs(FrozenModel):
    """The cost model, in relative units, one set for all groups.

    Leaving and diversion cost as much as so many hours of waiting beyond the target.
    """

    factor_beyond_target: Fact[Annotated[float, Field(ge=1, le=1000)]]
    leaving_hours: Fact[Amount]
    diversion_hours: Fact[Amount]


class Scenario(FrozenModel):
    """One hospital: who comes, what care takes, how much there is of everything, what delay costs.

    Tables by attribute (``acuity_share``, ``treatment_factor``, ``long_share``,
    ``admission_probability``) are indexed by the values of ``mix_by``; other attributes are
    independent of everything.
    """

    schema_version: Literal[1] = 1
    name: Name
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(min_length=1, max_length=4000)
    pools: tuple[Pool, ...] = Field(min_length=1, max_length=16)
    waiting_room: Fact[Annotated[int, Field(ge=0, le=100_000)]]
    arrivals: Arrivals
    attributes: tuple[Attribute, ...] = Field(min_length=1, max_length=8)
    mix_by: Name
    acuity_share: Fact[dict[Name, tuple[Share, ...]]]
    acuities: tuple[Acuity, ...] = Field(min_length=1, max_length=16)
    treatment_factor: Fact[dict[Name, Positive]] | None = None
    stay_bands: StayBands | None = None
    boarding: Boarding | None = None
    costs: Costs
    review_minutes: Fact[Annotated[float, Field(ge=1, le=10_080)]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_pools_and_needs()
        names = [attribute.name for attribute in self.attributes]
        if len(set(names)) != len(names):
            raise ValueError("attribute names must differ from each other")
        if self.mix_by not in names:
            raise ValueError(f"mix_by must be one of the attributes {names}, not {self.mix_by!r}")
        self._check_size()
        values = self.attribute(self.mix_by).values
        _require_keys("acuity_share", self.acuity_share.value, values)
        for value, shares in self.acuity_share.value.items():
            self._require_per_acuity(f"acuity_share of {value}", shares)
            _require_sum_one(f"acuity_share of {value}", shares)
        if self.treatment_factor is not None:
            _require_keys("treatment_factor", self.treatment_factor.value, values)
        if self.stay_bands is not None:
            _require_keys("long_share", self.stay_bands.long_share.value, values)
        if self.boarding is not None:
            table = self.boarding.admission_probability.value
            _require_keys("admission_probability", table, values)
            for value, chances in table.items():
                self._require_per_acuity(f"admission_probability of {value}", chances)
        return self

    def _check_size(self) -> None:
        bands = 1 if self.stay_bands is None else 2
        values = math.prod(len(attribute.values) for attribute in self.attributes)
        if (types := len(self.acuities) * bands * values) > MAX_TYPES:
            raise ValueError(
                f"acuities, stay bands and attributes make {types} types of patients, "
                f"more than {MAX_TYPES}"
            )

    def _check_pools_and_needs(self) -> None:
        capacities = {pool.name: pool.capacity.value for pool in self.pools}
        if len(capacities) != len(self.pools):
            raise ValueError("pool names must differ from each other")
        for position, acuity in enumerate(self.acuities, start=1):
            if acuity.level != position:
                raise ValueError("acuity levels must be 1, 2, 3, ... in this order")
            needs = acuity.needs.value
            if unknown := sorted(set(needs) - set(capacities)):
                raise ValueError(f"acuity {position} needs undeclared pools {unknown}")
            if not any(needs.values()):
                raise ValueError(f"acuity {position} must need at least one unit of some pool")
            for pool, units in needs.items():
                if units > capacities[pool]:
                    raise ValueError(
                        f"acuity {position} needs {units} of {pool}, which has {capacities[pool]}"
                    )

    def _require_per_acuity(self, what: str, values: tuple[float, ...]) -> None:
        if len(values) != len(self.acuities):
            raise ValueError(f"{what} must have {len(self.acuities)} entries, one per acuity")

    def attribute(self, name: str) -> Attribute:
        """Return the declared attribute of that name; KeyError where there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        raise KeyError(name)


def _require_sum_one(what: str, shares: tuple[float, ...]) -> None:
    """Refuse shares that do not add up to 1 (rounded tables may miss it by 0.001)."""
    if abs(sum(shares) - 1) > SHARE_TOLERANCE:
        raise ValueError(f"{what} must add up to 1, not {sum(shares):.6g}")


def _require_keys(what: str, table: dict[str, T], expected: tuple[str, ...]) -> None:
    """Refuse a table whose keys are not exactly the expected values."""
    if set(table) != set(expected):
        raise ValueError(f"{what} needs exactly the keys {list(expected)}, not {sorted(table)}")
