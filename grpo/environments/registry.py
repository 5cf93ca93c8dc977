"""The allow-list of environments, and the check of a job against what an environment declares.

Static data: nothing here imports an environment, torch, numba or scipy.
"""

from __future__ import annotations

from grpo.config import GymnasiumEnvironment, HospitalEnvironment, TrainConfig
from grpo.environments.catalogue import (
    GYMNASIUM_ENVIRONMENTS,
    EnvironmentDescription,
    Option,
    find_gymnasium,
)
from grpo.environments.foreign_groups import check_foreign_groups
from grpo.environments.hospital.privileged_features import name_privileged
from grpo.environments.hospital.scenario import (
    CompiledScenario,
    compile_environment,
    compile_scenario,
    list_scenarios,
    load_scenario,
)
from grpo.errors import InputError, Issue
from grpo.grouping.heads import build_heads
from grpo.grouping.labels import make_labeller
from grpo.grouping.specs import AttributeGroups, find_when, locate_leaves, merge_attributes
from grpo.hyperparameters import OTHERS

__all__ = [
    "EnvironmentDescription",
    "Option",
    "check_config",
    "describe_hospital",
    "find_gymnasium",
    "list_environments",
]

HOSPITAL_ID = "grpo/Hospital-v0"
HOSPITAL_GROUPINGS = ("attribute", "product")
MAX_CLASSES = 128
MAX_SLOTS = 5_000_000
MAX_JUDGED_PATIENTS = 3_000_000
"""Judging keeps about 400 bytes for each, over all rules it compares with: 1.2 GiB at most."""

MAX_SIMULATED_HOURS = 2_000_000
MAX_OBSERVED = 100_000_000
"""Numbers that one iteration observes: 0.8 GiB, as they are and normalised."""


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
        HOSPITAL_GROUPINGS,
        scenario,
    )


def check_config(config: TrainConfig) -> None:
    """Check a job against what its environment declares.

    Raises:
        InputError: for an unknown scenario or environment, a scenario that is too large, a group
            spec of the wrong kind, an attribute, feature or option that does not exist, a group
            that nobody belongs to, a start rule where there is nothing to dispatch, a floor for
            no group, or specialists of state groups. Each names its field.
    """
    environment = config.environment
    if isinstance(environment, HospitalEnvironment):
        _check_hospital(config, environment)
    else:
        _check_gymnasium(config, environment)


def _check_hospital(config: TrainConfig, environment: HospitalEnvironment) -> None:
    compiled = compile_environment(environment)
    _check_scenario(config, environment)
    for pointer, leaf in locate_leaves(config.grouping):
        if not isinstance(leaf, AttributeGroups):
            raise InputError.single(
                f"{pointer}/kind",
                "does not fit an environment of kind 'hospital'",
                given=leaf.kind,
                allowed=", ".join(HOSPITAL_GROUPINGS),
            )
        for n, name in enumerate(leaf.attributes):
            if name not in compiled.attribute_labels:
                raise InputError.single(
                    f"{pointer}/attributes/{n}",
                    "the scenario declares no such attribute",
                    given=name,
                    allowed=", ".join(compiled.attribute_labels),
                )
    _check_size(config, compiled)
    _check_patient_groups(config, compiled)


def _check_patient_groups(config: TrainConfig, compiled: CompiledScenario) -> None:
    """Refuse groups that nobody belongs to, and too many of them."""
    attributes, judged = merge_attributes(config.grouping), config.evaluation
    if attributes is None:
        return
    try:
        heads = build_heads(
            compiled,
            attributes,
            config.algorithm.group_target,
            evaluation_hours=judged.episodes * judged.horizon_hours,
        )
    except InputError as error:
        if isinstance(config.grouping, AttributeGroups):
            raise
        moved = [Issue("/grouping/of", i.message, i.given, i.allowed) for i in error.issues]
        raise InputError(moved) from error
    _check_floors(config, heads.labels)


def _check_floors(config: TrainConfig, labels: tuple[str, ...]) -> None:
    """Refuse a floor for a group that does not exist."""
    for label in config.algorithm.floors or {}:
        if label != OTHERS and label not in labels:
            raise InputError.single(
                f"/algorithm/floors/{label}",
                "no group has this label",
                given=label,
                allowed=", ".join([*labels, OTHERS]),
            )


def _check_scenario(config: TrainConfig, environment: HospitalEnvironment) -> None:
    """Refuse an inline scenario under a built-in's name, and a rule by cost without cost."""
    scenario = environment.scenario
    if isinstance(scenario, str):
        return
    if scenario.name in list_scenarios():
        raise InputError.single(
            "/environment/scenario/name",
            "a built-in scenario has this name",
            given=scenario.name,
            allowed="a name of its own",
        )
    free = [acuity.level for acuity in scenario.acuities if acuity.cost_per_hour.value == 0]
    if config.algorithm.start_rule in ("c_mu", "c_mu_theta", "gc_mu") and free:
        raise InputError.single(
            "/algorithm/start_rule",
            f"ranks by cost, but waiting costs nothing at acuity {free[0]}",
            given=config.algorithm.start_rule,
            allowed="fcfs, strict_acuity, apq, null, or costs above 0",
        )


def _check_size(config: TrainConfig, compiled: CompiledScenario) -> None:
    """Refuse what would need too much memory: classes, places for patients, judged patients."""
    if compiled.num_classes > MAX_CLASSES:
        raise InputError.single(
            "/environment/scenario",
            f"acuities and stay bands make {compiled.num_classes} classes of patients"
            + (", told apart by group" if compiled.group_aware else ""),
            allowed=f"at most {MAX_CLASSES}",
        )
    copies = max(config.algorithm.num_envs, config.evaluation.episodes)
    places = compiled.num_slots
    if copies * places > MAX_SLOTS:
        raise InputError.single(
            "/environment/scenario",
            f"{copies} hospitals at once with {places} places for patients each",
            allowed=f"at most {MAX_SLOTS} places in all",
        )
    _check_duration(config, compiled)
    algorithm = config.algorithm
    size = compiled.observation_size
    if algorithm.privileged_critic:
        size += len(name_privileged(compiled))
    observed = algorithm.num_envs * algorithm.num_steps * size
    if observed > MAX_OBSERVED:
        raise InputError.single(
            "/algorithm/num_steps",
            f"an iteration would hold {observed:.3g} observed numbers",
            given=algorithm.num_steps,
            allowed=f"num_envs * num_steps * {size} of at most {MAX_OBSERVED}",
        )


def _check_duration(config: TrainConfig, compiled: CompiledScenario) -> None:
    """Refuse a judgement of more patients or more hours than fit memory and patience."""
    judged = config.evaluation
    patients = compiled.type_rates.sum() * judged.episodes * judged.horizon_hours
    hours = judged.episodes * (judged.warmup_hours + judged.horizon_hours)
    for amount, limit, what in (
        (patients, MAX_JUDGED_PATIENTS, "patients would be judged"),
        (hours, MAX_SIMULATED_HOURS, "hours would be simulated"),
    ):
        if amount > limit:
            raise InputError.single(
                "/evaluation/episodes",
                f"about {amount:.3g} {what}",
                given=judged.episodes,
                allowed=f"at most {limit}: fewer episodes, or fewer hours of each",
            )


def _check_gymnasium(config: TrainConfig, environment: GymnasiumEnvironment) -> None:
    check_foreign_groups(config, find_gymnasium(environment.id))
    _check_floors(config, make_labeller(config.grouping).names)
    if config.algorithm.group_baseline != "raw" and find_when(config.grouping) == "step":
        raise InputError.single(
            "/algorithm/group_baseline",
            "a group of states has no return of its own that a specialist could be trained for",
            given=config.algorithm.group_baseline,
            allowed="raw, or groups with when: reset",
        )
    if config.algorithm.start_rule is not None:
        raise InputError.single(
            "/algorithm/start_rule",
            "dispatch rules exist for hospitals only",
            given=config.algorithm.start_rule,
            allowed="null",
        )
    if config.algorithm.siblings > 1:
        raise InputError.single(
            "/algorithm/siblings",
            "only hospitals can be put into one state",
            given=config.algorithm.siblings,
            allowed="1",
        )
    if config.algorithm.privileged_critic:
        raise InputError.single(
            "/algorithm/privileged_critic",
            "only hospitals show a critic more than the policy sees",
            given=True,
            allowed="false",
        )
    if config.algorithm.group_target != "raw":
        raise InputError.single(
            "/algorithm/group_target",
            "only patients can be standardised",
            given=config.algorithm.group_target,
            allowed="raw",
        )
