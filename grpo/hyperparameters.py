"""The hyperparameters of GRPO: objective, method and PPO, each with its legal range."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationInfo, field_validator, model_validator

from grpo.objectives.baselines import BaselineKind
from grpo.objectives.methods import WEIGHTLESS, MethodName, MethodParameters
from grpo.schema import FrozenModel

MAX_DECISIONS = 2**20
"""Decisions of one iteration, all in memory: about 0.4 GiB in the urban hospital."""
MAX_HIDDEN_WEIGHTS = 2**22
"""Weights between hidden layers: 16 MiB in each of the about ten copies that a training keeps."""
MAX_FLOORS = 64
OTHERS = "*"
"""Label under which ``floors`` names every group that it does not name itself."""

RuleName = Literal["fcfs", "strict_acuity", "apq", "c_mu", "c_mu_theta", "gc_mu"]
Amount = Annotated[float, Field(ge=-1e12, le=1e12)]

READ_BY: dict[str, tuple[str, ...]] = {
    "cvar_alpha": ("cvar",),
    "dual_step": ("group_dro", "floor"),
    "fairness_alpha": ("alpha_fair",),
    "fairness_floor": ("alpha_fair",),
    "floors": ("floor",),
}
"""Methods that read a parameter; others refuse it."""

METHOD_DEFAULTS = {"cvar_alpha": 0.5, "dual_step": 0.05, "fairness_alpha": 1.0}
SPECIALIST_SHARE = 0.3


class Algorithm(FrozenModel):
    """Objective and hyperparameters of GRPO; names follow PPO's literature."""

    method: MethodName = Field(
        "softmin",
        description="How the groups' performance becomes weights; see docs/algorithm.md.",
    )
    group_robustness_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        validate_default=True,
        description="w in (1 - w) * mean + w * robust; 0 is plain PPO. Methods mean, alpha_fair "
        "and floor take none: left out, it is 0.",
    )
    group_target: Literal["standardised", "raw"] = Field(
        "standardised",
        description="Per patient at the pooled acuity mix, or per patient as they come. "
        "Read where groups are patients.",
    )
    group_baseline: BaselineKind = Field(
        "raw",
        validate_default=True,
        description="What a group's performance is measured against: nothing; the range from a "
        "reference (hospital: FCFS, else random actions) to its own specialist; or the specialist.",
    )
    specialist_share: float | None = Field(
        None,
        gt=0,
        le=0.9,
        validate_default=True,
        description="Share of the budget that trains the groups' specialists, all together; "
        "0.3 where group_baseline is not raw.",
    )
    temperature: float = Field(
        0.02,
        gt=0,
        le=10,
        description="tau of the soft minimum, in units of S. For every method, performance is "
        "averaged over iterations until its error is half of tau * S.",
    )
    final_temperature: float | None = Field(
        None,
        gt=0,
        le=10,
        description="Where temperature goes to by the end, geometrically; null keeps it. A high "
        "start lets weights settle where the fair optimum is a random policy.",
    )
    cvar_alpha: float | None = Field(
        None,
        gt=0,
        le=1,
        validate_default=True,
        description="Mass of the worst groups that cvar looks at; 0.5 by default.",
    )
    dual_step: float | None = Field(
        None,
        gt=0,
        le=10,
        validate_default=True,
        description="Step eta of the weights of group_dro and floor; 0.05 by default.",
    )
    fairness_alpha: float | None = Field(
        None,
        ge=0,
        le=100,
        validate_default=True,
        description="alpha of alpha_fair: 1 is Nash welfare, the default.",
    )
    fairness_floor: Amount | None = Field(
        None,
        validate_default=True,
        description="Performance that counts as nothing under alpha_fair, which needs it.",
    )
    floors: dict[str, Amount] | None = Field(
        None,
        max_length=MAX_FLOORS,
        validate_default=True,
        description="Least performance by group label, '*' for all groups not named; method floor "
        "needs it. In units of group_baseline.",
        examples=[{"*": -8.0}],
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
    final_ent_coef: float | None = Field(
        None, ge=0, le=10, description="Where ent_coef falls to by the end; null keeps it."
    )
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
    siblings: int = Field(
        1,
        ge=1,
        le=64,
        validate_default=True,
        description="Environments that begin each iteration in one state and live through the same "
        "future, as each other's baseline (hospital only); a divisor of num_envs, 1 for none.",
    )
    privileged_critic: StrictBool = Field(
        False,
        description="Whether the critic sees more than the policy (hospital only): care in "
        "progress, and when its units come free. The policy never does; serving needs none of it.",
    )
    minibatch_size: int = Field(256, ge=2, le=MAX_DECISIONS, validate_default=True)
    update_epochs: int = Field(4, ge=1, le=100)
    hidden_sizes: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (64, 64), min_length=1, max_length=4
    )
    start_rule: RuleName | None = Field(
        None, description="Dispatch rule whose index the policy starts from (hospital only)."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_weight(cls, data: Any) -> Any:
        """Give methods that take no w the weight 0 where none was given."""
        takes_none = isinstance(data, dict) and data.get("method") in WEIGHTLESS
        return {"group_robustness_weight": 0.0, **data} if takes_none else data

    @field_validator("group_robustness_weight")
    @classmethod
    def _fits_method(cls, weight: float, info: ValidationInfo) -> float:
        method = info.data.get("method")
        if method in WEIGHTLESS and weight != 0:
            raise ValueError(
                f"method {method!r} takes no group_robustness_weight: give 0, or method 'softmin'"
            )
        return weight

    @field_validator(*READ_BY)
    @classmethod
    def _is_read(cls, value: Any, info: ValidationInfo) -> Any:
        """Fill what the method reads; refuse what it does not, and what it needs and lacks."""
        name, method = str(info.field_name), info.data.get("method")
        if method is None:
            return value
        if method not in READ_BY[name]:
            if value is not None:
                raise ValueError(f"method {method!r} does not read it: leave it out")
            return None
        value = METHOD_DEFAULTS.get(name) if value is None else value
        if value is None or value == {}:
            raise ValueError(f"method {method!r} needs it")
        return value

    @field_validator("group_baseline")
    @classmethod
    def _has_groups(cls, baseline: BaselineKind, info: ValidationInfo) -> BaselineKind:
        if info.data.get("method") == "mean" and baseline != "raw":
            raise ValueError("method 'mean' looks at no group: give 'raw', or another method")
        return baseline

    @field_validator("specialist_share")
    @classmethod
    def _has_specialists(cls, share: float | None, info: ValidationInfo) -> float | None:
        baseline = info.data.get("group_baseline")
        if baseline == "raw":
            if share is not None:
                raise ValueError("group_baseline 'raw' trains no specialists: leave it out")
            return None
        return SPECIALIST_SHARE if share is None else share

    @field_validator("num_steps")
    @classmethod
    def _fits_memory(cls, num_steps: int, info: ValidationInfo) -> int:
        if (decisions := info.data.get("num_envs", 0) * num_steps) > MAX_DECISIONS:
            raise ValueError(f"num_envs * num_steps = {decisions} exceeds {MAX_DECISIONS}")
        return num_steps

    @field_validator("siblings")
    @classmethod
    def _makes_families(cls, siblings: int, info: ValidationInfo) -> int:
        num_envs = info.data.get("num_envs")
        if num_envs and num_envs % siblings:
            raise ValueError(f"num_envs = {num_envs} is no multiple of {siblings} siblings")
        return siblings

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

    @property
    def method_parameters(self) -> MethodParameters:
        """What the method reads besides w."""
        given = {
            "temperature": self.temperature,
            "final_temperature": self.final_temperature,
            "cvar_alpha": self.cvar_alpha,
            "dual_step": self.dual_step,
            "fairness_alpha": self.fairness_alpha,
            "fairness_floor": self.fairness_floor,
        }
        return MethodParameters(**{name: v for name, v in given.items() if v is not None})
