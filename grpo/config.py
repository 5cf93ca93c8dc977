"""What a training job is: one frozen model, used by the library, the service and the workers.

Defaults that depend on the kind of environment stand in ``PRESETS`` and are filled in before
validation, so that every ``TrainConfig`` is complete and a manifest records each value.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    StrictBool,
    StringConstraints,
    Tag,
    model_validator,
)

from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.errors import SCENARIO_TAGS
from grpo.grouping.specs import GroupSpec
from grpo.hyperparameters import Algorithm, RuleName
from grpo.schema import FrozenModel

MAX_TIMESTEPS = 1_000_000_000
MAX_SECONDS = 30 * 24 * 3600.0

__all__ = [
    "PRESETS",
    "Algorithm",
    "Budget",
    "Environment",
    "Evaluation",
    "GymnasiumEnvironment",
    "HospitalEnvironment",
    "RuleName",
    "TrainConfig",
]

BY_NAME, INLINE = SCENARIO_TAGS


def _scenario_tag(value: Any) -> str | None:
    """Tell a scenario's name from a whole scenario."""
    if isinstance(value, str):
        return BY_NAME
    return INLINE if isinstance(value, dict | Scenario) else None


ScenarioName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}(@[1-9][0-9]{0,8})?$")
]
ScenarioChoice = Annotated[
    Annotated[ScenarioName, Tag(BY_NAME)] | Annotated[Scenario, Tag(INLINE)],
    Discriminator(
        _scenario_tag,
        custom_error_type="scenario",
        custom_error_message="Give the name of a scenario, or a whole scenario as an object",
    ),
]


class HospitalEnvironment(FrozenModel):
    """The hospital simulator on one scenario."""

    kind: Literal["hospital"] = "hospital"
    scenario: ScenarioChoice = Field(
        "rural_hospital",
        description="Name of a scenario listed by GET /scenarios (one of your own also as "
        "name@version), or a whole scenario.",
    )
    group_aware: StrictBool = Field(
        False,
        description="Let the policy see protected attributes. Off by default; it may be unlawful.",
    )
    hold: StrictBool = Field(
        True, description="Whether the policy may keep capacity free on purpose."
    )
    choose_options: StrictBool = Field(
        False,
        description="Whether the policy may start a patient on a later set of units (short-staffed "
        "care, an overflow bed) while an earlier one is free; dispatch rules never do.",
    )
    half_life_hours: float = Field(
        24.0,
        gt=0,
        le=10_000,
        description="Half-life of the training discount; costs are reported undiscounted.",
    )

    @property
    def scenario_name(self) -> str:
        """Name of the scenario, also where it is given inline."""
        return self.scenario if isinstance(self.scenario, str) else self.scenario.name


class GymnasiumEnvironment(FrozenModel):
    """A Gymnasium environment with a Box observation and Discrete actions."""

    kind: Literal["gymnasium"] = "gymnasium"
    id: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9]{0,63}-v[0-9]{1,3}$",
        description="A registered id; one with a module part is refused and never imported.",
        examples=["CartPole-v1"],
    )


Environment = Annotated[HospitalEnvironment | GymnasiumEnvironment, Field(discriminator="kind")]


class Budget(FrozenModel):
    """How long to train."""

    total_timesteps: int = Field(
        2_000_000,
        ge=1,
        le=MAX_TIMESTEPS,
        description="Decisions over all environments; rounded up to whole iterations.",
    )
    max_seconds: float | None = Field(
        None,
        gt=0,
        le=MAX_SECONDS,
        description=(
            "Training ends with the first iteration past so many seconds. The clock then decides "
            "where it ends, so such a job promises no digest."
        ),
    )


class Evaluation(FrozenModel):
    """How the finished policy is judged. Episodes here are independent replications."""

    episodes: int = Field(64, ge=2, le=10_000)
    seed: int = Field(
        20_001, ge=0, lt=2**63, description="Same seed, same patients: reports of two jobs pair."
    )
    warmup_hours: float = Field(72.0, ge=0, le=10_000)
    horizon_hours: float = Field(
        336.0, gt=0, le=100_000, description="Judged time after the warm-up."
    )


PRESETS: dict[str, dict[str, Any]] = {
    "gymnasium": {
        "group_target": "raw",
        "num_envs": 64,
        "num_steps": 32,
        "minibatch_size": 512,
    },
    "hospital": {
        "num_envs": 256,
        "num_steps": 128,
        "minibatch_size": 4096,
        "learning_rate": 1e-3,
        "trace_hours": 6.0,
        "ent_coef": 0.0,
        "start_rule": "c_mu",
        "siblings": 4,
    },
}


class TrainConfig(FrozenModel):
    """A whole training job."""

    environment: Environment
    grouping: GroupSpec
    algorithm: Algorithm
    budget: Budget = Budget()
    seed: int = Field(1, ge=0, lt=2**63)
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="before")
    @classmethod
    def _fill_presets(cls, data: Any) -> Any:
        """Fill the hyperparameters that were left out with those of the environment's kind.

        Of siblings, as many as make whole families of the environments that were asked for.
        """
        if not isinstance(data, dict):
            return data
        environment, algorithm = data.get("environment"), data.get("algorithm", {})
        if isinstance(environment, dict):
            kind = environment.get("kind")
        else:
            kind = getattr(environment, "kind", None)
        if not isinstance(algorithm, dict) or not isinstance(kind, str):
            return data
        filled = {**PRESETS.get(kind, {}), **algorithm}
        num_envs = filled.get("num_envs")
        if "siblings" not in algorithm and isinstance(num_envs, int):
            filled["siblings"] = math.gcd(num_envs, filled.get("siblings", 1))
        return {**data, "algorithm": filled}
