"""The laws of times that a scenario may name, each with its unit in the field's name."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from grpo.environments.hospital.model.facts import Hours, Positive
from grpo.schema import FrozenModel, field_error

MAX_QUANTILES = 1025


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
    sigma: float = Field(ge=1e-6, le=5)


class Gamma(FrozenModel):
    """Gamma time given by its mean and coefficient of variation; its shape is 1 / cv^2."""

    kind: Literal["gamma"] = "gamma"
    mean_hours: Hours
    cv: float = Field(ge=0.01, le=10)


class Weibull(FrozenModel):
    """Weibull time given by its mean and coefficient of variation; cv 1 is exponential."""

    kind: Literal["weibull"] = "weibull"
    mean_hours: Hours
    cv: float = Field(ge=0.01, le=10)


class Constant(FrozenModel):
    """The same time for everybody."""

    kind: Literal["constant"] = "constant"
    hours: Hours


class Empirical(FrozenModel):
    """A table of quantiles at evenly spaced levels from 0 to 1, straight lines in between."""

    kind: Literal["empirical"] = "empirical"
    quantile_hours: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] = Field(
        min_length=2, max_length=MAX_QUANTILES
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for n, (lower, upper) in enumerate(pairwise(self.quantile_hours)):
            if upper < lower:
                raise field_error("quantiles must not decrease", "quantile_hours", n + 1)
        if self.quantile_hours[-1] <= 0:
            raise field_error("the largest quantile must be above 0", "quantile_hours")
        return self


Law = Annotated[
    Exponential | Lognormal | LognormalOfLogs | Gamma | Weibull | Constant | Empirical,
    Field(discriminator="kind"),
]
