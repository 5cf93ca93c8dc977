"""What a training job is: one frozen model, used by the library, the service and the workers.

Defaults that depend on the kind of environment stand in ``PRESETS`` and are filled in before
validation, so that every ``TrainConfig`` is complete and a manifest records each value.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    StrictBool,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from grpo.environments.hospital.scenario_model import Scenario
from grpo.errors import SCENARIO_TAGS
from grpo.grouping.specs import GroupSpec
from grpo.schema import FrozenModel

MAX_TIMESTEPS = 1_000_000_000
MAX_SECONDS = 30 * 24 * 3600.0
MAX_DECISIONS = 2**20
"""Decisions of one iteration, all in memory: about 0.4 GiB in the urban hospital."""
MAX_HIDDEN_WEIGHTS = 2**22
"""Weights between hidden layers: 16 MiB in each of the about ten copies that a training keeps."""

RuleName = Literal["fcfs", "strict_acuity", "apq", "c_mu", "gc_mu"]


BY_NAME, INLINE = SCENARIO_TAGS


def _scenario_tag(value: Any) -> str | None:
    """Tell a scenario's name from a whole scenario."""
    if isinstance(value, str):
        return BY_NAME
    return INLINE if isinstance(value, dict | Scenario) else None


ScenarioName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
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
        description="Name of a scenario listed by GET /scenarios, or a whole scenario.",
    )
    group_aware: StrictBool = Field(
        False,
        description="Let the policy see protected attributes. Off by default; it may be unlawful.",
    )
    hold: StrictBool = Field(
        True, description="Whether the policy may keep capacity free on purpose."
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


class Algorithm(FrozenModel):
    """Objective and hyperparameters of GRPO; names follow PPO's literature."""

    method: Literal["softmin", "mean"] = "softmin"
    group_robustness_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        validate_default=True,
        description="w in (1 - w) * mean + w * worst group; 0 is plain PPO.",
    )
    group_target: Literal["standardised", "raw"] = Field(
        "standardised",
        description="Per patient at the pooled acuity mix, or per patient as they come. "
        "Read where groups are patients.",
    )
    temperature: float = Field(
        0.02, gt=0, le=10, description="tau of the soft minimum, in units of S."
    )
    learning_rate: float = Field(1e-3, gt=0, le=1)
    anneal_learning_rate: StrictBool = True
    gamma: float = Field(
        0.99, ge=0, le=1, description="Discount per step; hospitals use half_life_hours."
    )
    gae_lambda: float = Field(
        0.95, ge=0, le=1, description="Trace per step; hospitals use trace_hours."
    )
    trace_hours: float = Field(12.0, gt=0, le=1000)
    clip_coef: float = Field(0.2, gt=0, le=1)
    vf_coef: float = Field(0.5, ge=0, le=100)
    ent_coef: float = Field(0.01, ge=0, le=10)
    max_grad_norm: float = Field(0.5, gt=0, le=1000)
    target_kl: float | None = Field(0.02, gt=0, le=10)
    num_envs: int = Field(16, ge=1, le=16_384)
    num_steps: int = Field(
        128,
        ge=2,
        le=8_192,
        validate_default=True,
        description=f"num_envs * num_steps is at most {MAX_DECISIONS}.",
    )
    minibatch_size: int = Field(256, ge=2, le=MAX_DECISIONS, validate_default=True)
    update_epochs: int = Field(4, ge=1, le=100)
    hidden_sizes: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (64, 64), min_length=1, max_length=4
    )
    start_rule: RuleName | None = Field(
        None, description="Dispatch rule whose index the policy starts from (hospital only)."
    )

    @field_validator("group_robustness_weight")
    @classmethod
    def _fits_method(cls, weight: float, info: ValidationInfo) -> float:
        if info.data.get("method") == "mean" and weight != 0:
            raise ValueError(
                "method 'mean' takes no group_robustness_weight: give 0, or method 'softmin'"
            )
        return weight

    @field_validator("num_steps")
    @classmethod
    def _fits_memory(cls, num_steps: int, info: ValidationInfo) -> int:
        if (decisions := info.data.get("num_envs", 0) * num_steps) > MAX_DECISIONS:
            raise ValueError(f"num_envs * num_steps = {decisions} exceeds {MAX_DECISIONS}")
        return num_steps

    @field_validator("minibatch_size")
    @classmethod
    def _fits_iteration(cls, minibatch_size: int, info: ValidationInfo) -> int:
        num_envs, num_steps = info.data.get("num_envs"), info.data.get("num_steps")
        if num_envs and num_steps and minibatch_size > num_envs * num_steps:
            raise ValueError(
                f"minibatch_size {minibatch_size} exceeds num_envs * num_steps = "
                f"{num_envs * num_steps}"
            )
        return minibatch_size

    @field_validator("hidden_sizes")
    @classmethod
    def _few_weights(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if (weights := sum(a * b for a, b in pairwise(sizes))) > MAX_HIDDEN_WEIGHTS:
            raise ValueError(f"{weights} weights between layers exceed {MAX_HIDDEN_WEIGHTS}")
        return sizes


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
    "gymnasium": {"group_target": "raw"},
    "hospital": {
        "num_envs": 256,
        "num_steps": 128,
        "minibatch_size": 4096,
        "learning_rate": 1e-3,
        "trace_hours": 3.0,
        "ent_coef": 0.0,
        "start_rule": "c_mu",
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
        """Fill the hyperparameters that were left out with those of the environment's kind."""
        if not isinstance(data, dict):
            return data
        environment, algorithm = data.get("environment"), data.get("algorithm", {})
        if isinstance(environment, dict):
            kind = environment.get("kind")
        else:
            kind = getattr(environment, "kind", None)
        if not isinstance(algorithm, dict) or not isinstance(kind, str):
            return data
        return {**data, "algorithm": {**PRESETS.get(kind, {}), **algorithm}}
