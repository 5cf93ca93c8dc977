"""Events: arrivals beyond the usual ones, and capacity that answers them in steps."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from grpo.environments.hospital.model.facts import (
    HOURS_PER_DAY,
    LARGEST_RATE_PER_DAY,
    Amount,
    Fact,
    Hours,
    Name,
    Shares,
)
from grpo.schema import FrozenModel, field_error


class CapacityStep(FrozenModel):
    """Units that come (or, if negative, go) some time after a surge began, for some hours."""

    pool: Name
    after_minutes: Fact[Amount]
    hours: Fact[Hours]
    units: Fact[Annotated[int, Field(ge=-10_000, le=10_000)]]


class Surge(FrozenModel):
    """An event: extra arrivals with another mix, and capacity that is changed in steps.

    Attributes:
        name: unlike any other surge.
        first_hour: when it begins; hour 0 is a Monday's midnight.
        every_hours: when it begins again; none for once only.
        duration_hours: how long its patients come, evenly.
        patients: expected number, beyond the usual arrivals.
        mix_share: share of each value of ``mix_by`` among them, in its order.
        acuity_share: by value of ``mix_by``, their shares by acuity.
        capacity_steps: changes of capacity.
    """

    name: Name
    first_hour: Fact[Annotated[float, Field(ge=0, le=1e6)]]
    every_hours: Fact[Hours] | None = None
    duration_hours: Fact[Annotated[float, Field(ge=0.1, le=10_000)]]
    patients: Fact[Annotated[float, Field(ge=0, le=LARGEST_RATE_PER_DAY)]]
    mix_share: Fact[Shares]
    acuity_share: Fact[dict[Name, Shares]]
    capacity_steps: tuple[CapacityStep, ...] = Field((), max_length=64)

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        rate = self.patients.value / self.duration_hours.value * HOURS_PER_DAY
        if rate > LARGEST_RATE_PER_DAY:
            raise field_error(
                f"{rate:.6g} patients per day is more than {LARGEST_RATE_PER_DAY:.6g}",
                *("patients", "value"),
            )
        if self.every_hours is None:
            return self
        every = self.every_hours.value
        if every < max(self.duration_hours.value, 1.0):
            raise field_error(
                "a surge must end, and an hour pass, before it comes again", "every_hours", "value"
            )
        for n, step in enumerate(self.capacity_steps):
            end = step.after_minutes.value / 60 + step.hours.value
            if end > every:
                raise field_error(
                    f"the step ends {end:.6g} h after a surge that comes every {every:.6g} h",
                    *("capacity_steps", n, "hours", "value"),
                )
        return self
