"""The allow-list of environments, and the check of a job against what an environment declares.

Static data: nothing here imports an environment, torch, numba or scipy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grpo.config import GymnasiumEnvironment, HospitalEnvironment, TrainConfig
from grpo.environments.hospital.scenario import compile_scenario, list_scenarios, load_scenario
from grpo.errors import InputError
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups, ThresholdGroups

HOSPITAL_ID = "grpo/Hospital-v0"


@dataclass(frozen=True)
class EnvironmentDescription:
    """What a client may know of an environment before it trains.

    Attributes:
        id: Gymnasium id.
        kind: which kind of ``environment`` a job gives for it.
        title: what it is, in a few words.
        observation_size: number of features.
        num_actions: number of discrete actions.
        grouping: the kind of group spec that fits.
        scenario: the hospital's scenario, None elsewhere.
    """

    id: str
    kind: Literal["hospital", "gymnasium"]
    title: str
    observation_size: int
    num_actions: int
    grouping: Literal["attribute", "threshold"]
    scenario: str | None = None


GYMNASIUM_ENVIRONMENTS = (
    EnvironmentDescription(
        "CartPole-v1", "gymnasium", "Balance a pole on a cart", 4, 2, "threshold"
    ),
    EnvironmentDescription(
        "MountainCar-v0", "gymnasium", "Drive an underpowered car uphill", 2, 3, "threshold"
    ),
    EnvironmentDescription(
        "Acrobot-v1", "gymnasium", "Swing a two-link robot up", 6, 3, "threshold"
    ),
)


def list_environments() -> tuple[EnvironmentDescription, ...]:
    """Return every environment that a job may name, hospitals by scenario first."""
    return (*(describe_hospital(name) for name in list_scenarios()), *GYMNASIUM_ENVIRONMENTS)


def describe_hospital(
    scenario: str, *, group_aware: bool = False, hold: bool = True
) -> EnvironmentDescription:
    """Describe the hospital on a built-in scenario.

    Raises:
        InputError: at /environment/scenario, where no scenario has that name.
    """
    compiled = compile_scenario(load_scenario(scenario), group_aware=group_aware, hold=hold)
    return EnvironmentDescription(
        HOSPITAL_ID,
        "hospital",
        compiled.scenario.title,
        compiled.observation_size,
        compiled.num_actions,
        "attribute",
        scenario,
    )


def find_gymnasium(environment_id: str) -> EnvironmentDescription:
    """Return the description of an allowed Gymnasium id.

    Raises:
        InputError: at /environment/id, for an id that is not on the list.
    """
    for description in GYMNASIUM_ENVIRONMENTS:
        if description.id == environment_id:
            return description
    raise InputError.single(
        "/environment/id",
        "not an environment of this service",
        given=environment_id,
        allowed=", ".join(description.id for description in GYMNASIUM_ENVIRONMENTS),
    )


def check_config(config: TrainConfig) -> None:
    """Check a job against what its environment declares.

    Raises:
        InputError: for an unknown scenario or environment, a group spec of the wrong kind, an
            attribute or feature that does not exist, a group that nobody belongs to, or a start
            rule where there is nothing to dispatch. Each names its field.
    """
    environment = config.environment
    if isinstance(environment, HospitalEnvironment):
        _check_hospital(config, environment)
    else:
        _check_gymnasium(config, environment)


def _check_hospital(config: TrainConfig, environment: HospitalEnvironment) -> None:
    scenario = load_scenario(environment.scenario)
    if not isinstance(config.grouping, AttributeGroups):
        raise _wrong_kind(config, "hospital", "attribute")
    compiled = compile_scenario(
        scenario, group_aware=environment.group_aware, hold=environment.hold
    )
    evaluation = config.evaluation
    build_heads(
        compiled,
        config.grouping,
        config.algorithm.group_target,
        evaluation_hours=evaluation.episodes * evaluation.horizon_hours,
    )


def _check_gymnasium(config: TrainConfig, environment: GymnasiumEnvironment) -> None:
    description = find_gymnasium(environment.id)
    if not isinstance(config.grouping, ThresholdGroups):
        raise _wrong_kind(config, "gymnasium", "threshold")
    if config.grouping.feature >= description.observation_size:
        raise InputError.single(
            "/grouping/feature",
            f"{environment.id} has {description.observation_size} features",
            given=config.grouping.feature,
            allowed=f"0 to {description.observation_size - 1}",
        )
    if config.algorithm.start_rule is not None:
        raise InputError.single(
            "/algorithm/start_rule",
            "dispatch rules exist for hospitals only",
            given=config.algorithm.start_rule,
            allowed="null",
        )
    if config.algorithm.group_target != "raw":
        raise InputError.single(
            "/algorithm/group_target",
            "only patients can be standardised",
            given=config.algorithm.group_target,
            allowed="raw",
        )


def _wrong_kind(config: TrainConfig, environment: str, allowed: str) -> InputError:
    return InputError.single(
        "/grouping/kind",
        f"does not fit an environment of kind {environment!r}",
        given=config.grouping.kind,
        allowed=allowed,
    )
