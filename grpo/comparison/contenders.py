"""Who is compared, and how each of them is simulated on the same patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.config import HospitalEnvironment, TrainConfig
from grpo.environments.hospital.compiling.capacity_calendar import is_weekly
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.environments.hospital.physics.rule_table import IndexRule
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.rules.rule_specs import RuleSpec
from grpo.environments.hospital.scenario import compile_scenario
from grpo.environments.hospital.simulate import Chooser, Courses, PatientLog, simulate
from grpo.errors import InputError
from grpo.models.policy import Policy
from grpo.seeding import make_generator

MAX_PATIENTS = 20_000_000
"""Judged patients of one contender, about 100 bytes each."""
PATIENTS_AT_ONCE = 300_000
"""A part of a simulation: well below a second, so that progress shows and Ctrl-C is heard."""


@dataclass(frozen=True)
class Design:
    """How a comparison is carried out.

    Attributes:
        replications: independent runs of each contender, >= 2.
        seed: of the patients, the same for all contenders.
        warmup_hours: simulated before the judged time, >= 0.
        horizon_hours: judged time, > 0.
    """

    replications: int
    seed: int
    warmup_hours: float
    horizon_hours: float


@dataclass(frozen=True, eq=False)
class Contender:
    """A rule or a policy, with the scenario as it sees it.

    Attributes:
        label: unlike any other's in a comparison.
        compiled: the scenario.
        decider: an index rule or a policy.
        spec: the rule as declared, None for a policy.
    """

    label: str
    compiled: CompiledScenario
    decider: IndexRule | Policy
    spec: RuleSpec | None = None

    def charged_by(self, scenario: Scenario) -> Contender:
        """Return the same decider in the same hospital under other costs."""
        compiled = compile_scenario(
            scenario, group_aware=self.compiled.group_aware, hold=self.compiled.hold
        )
        return replace(self, compiled=compiled)


def make_contenders(
    scenario: Scenario, rules: Sequence[RuleSpec], policies: Mapping[str, Policy]
) -> list[Contender]:
    """Prepare rules, in order, and then policies.

    Args:
        scenario: the hospital.
        rules: as declared.
        policies: by label; each was trained on this scenario.

    Raises:
        InputError: nobody to compare, two of one label, a rule that does not fit the scenario, or
            a policy of another one.
    """
    contenders = []
    for spec in rules:
        compiled = compile_scenario(scenario, group_aware=spec.group_aware)
        contenders.append(Contender(spec.label, compiled, make_rule(spec, compiled), spec))
    for label, policy in policies.items():
        contenders.append(Contender(label, _compile_for(policy, label, scenario), policy))
    labels = [contender.label for contender in contenders]
    for place, label in enumerate(labels):
        if label in labels[:place]:
            raise InputError.single(f"/rules/{place}", "is there twice", given=label)
    if not contenders:
        raise InputError.single("/rules", "name one rule at least, or a policy")
    return contenders


def _compile_for(policy: Policy, label: str, scenario: Scenario) -> CompiledScenario:
    """Compile the scenario as a policy was trained to see it."""
    manifest = policy.manifest
    environment = TrainConfig.parse(manifest.config).environment
    if not isinstance(environment, HospitalEnvironment):
        raise InputError.single(f"/policies/{label}", "decides for no hospital")
    compiled = compile_scenario(
        scenario, group_aware=environment.group_aware, hold=environment.hold
    )
    sizes = (manifest.observation_size, manifest.num_actions)
    if sizes != (compiled.observation_size, compiled.num_actions) or (
        manifest.feature_names and manifest.feature_names != compiled.feature_names
    ):
        raise InputError.single(
            f"/policies/{label}",
            "was trained on a scenario with other classes or pools",
            given=environment.scenario_name,
            allowed=scenario.name,
        )
    return compiled


def check_size(compiled: CompiledScenario, design: Design) -> None:
    """Refuse what would not fit into memory.

    Raises:
        InputError: at /replications.
    """
    expected = compiled.type_rates.sum() * design.horizon_hours
    if expected * design.replications > MAX_PATIENTS:
        raise InputError.single(
            "/replications",
            f"{design.replications} x {design.horizon_hours:g} hours hold about "
            f"{expected * design.replications:,.0f} patients",
            allowed=f"at most {MAX_PATIENTS:,}: {int(MAX_PATIENTS / expected)} replications",
        )


def run_contender(
    contender: Contender,
    design: Design,
    on_part: Callable[[int], None] | None = None,
    *,
    closed_hours: float = 0.0,
) -> PatientLog:
    """Simulate one contender; every contender of a design meets the same patients.

    Args:
        contender: who decides.
        design: what to simulate.
        on_part: told after each part how many replications it had.
        closed_hours: nobody is started for so long at the beginning of the warm-up.
    """
    hours = design.warmup_hours + design.horizon_hours
    patients = max(contender.compiled.type_rates.sum() * hours, 1.0)
    at_once = int(np.clip(PATIENTS_AT_ONCE // patients, 1, design.replications))
    logs = []
    for first in range(0, design.replications, at_once):
        count = min(at_once, design.replications - first)
        log = simulate(
            contender.compiled,
            _make_chooser(contender.decider, design.seed, first),
            episodes=count,
            seed=design.seed,
            warmup_hours=design.warmup_hours,
            horizon_hours=design.horizon_hours,
            first_episode=first,
            closed_hours=closed_hours,
        )
        logs.append(replace(log, episode=log.episode + first))
        if on_part is not None:
            on_part(count)
    return _join(logs)


def _make_chooser(decider: IndexRule | Policy, seed: int, first: int) -> IndexRule | Chooser:
    """Let a policy decide as it is served, its draws seeded by part."""
    if isinstance(decider, IndexRule):
        return decider
    generator = make_generator(seed, f"serving from {first}")

    def choose(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        return decider.act(observations, masks, generator)

    return choose


def _join(logs: Sequence[PatientLog]) -> PatientLog:
    """Put the parts of a simulation together."""
    if len(logs) == 1:
        return logs[0]
    courses = [log.courses for log in logs if log.courses is not None]
    return replace(
        logs[0],
        **_concatenate(logs),
        episodes=sum(log.episodes for log in logs),
        courses=Courses(**_concatenate(courses)) if courses else None,
    )


def _concatenate(records: Sequence[PatientLog] | Sequence[Courses]) -> dict[str, Any]:
    """Concatenate every column that holds an entry per patient."""
    return {
        field.name: np.concatenate([getattr(record, field.name) for record in records])
        for field in fields(records[0])
        if isinstance(getattr(records[0], field.name), np.ndarray)
    }


def default_hours(scenario: Scenario) -> tuple[float, float]:
    """Return warm-up and judged hours: 3 and 30 days, with wards 14 and 60.

    Wards begin with as many patients as they expect, but their patients stay for days, so that
    what a rule does to them shows slowly.
    """
    days = (14, 60) if scenario.stages else (3, 30)
    return 24.0 * days[0], 24.0 * days[1]


def half_of(scenario: Scenario, horizon_hours: float) -> float:
    """Return the hours of each half of the judged time, in whole weeks or days where it can.

    The last day is left out where there is room, since its waits are cut off by the end.
    """
    usable = horizon_hours - 24.0 if horizon_hours >= 72.0 else horizon_hours
    for period in (168.0, 24.0) if is_weekly(scenario) else (24.0,):
        if usable >= 2 * period:
            return math.floor(usable / 2 / period) * period
    return horizon_hours / 2
