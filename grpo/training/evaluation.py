"""Judge a finished policy: on the same patients as the rules, or by its episodes' returns."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from grpo.config import Evaluation, GymnasiumEnvironment, HospitalEnvironment, TrainConfig
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.rules.dispatch_rules import IndexRule, make_rule
from grpo.environments.hospital.scenario import compile_environment
from grpo.environments.hospital.simulate import Chooser, Outcome, PatientLog, simulate
from grpo.errors import InputError
from grpo.fairness.assessment import assess_episodes, assess_patients
from grpo.fairness.by_group import Patients
from grpo.fairness.intersections import Cells, make_cells
from grpo.fairness.intervals import CONFIDENCE
from grpo.fairness.report import ArmName, FairnessReport, MetricName, Provenance
from grpo.grouping.heads import Heads, build_heads
from grpo.grouping.labels import make_labeller
from grpo.grouping.specs import merge_attributes
from grpo.models.policy import Policy
from grpo.seeding import make_generator
from grpo.training.episodes import play_episodes

RULE_LABELS: dict[ArmName, str] = {"fcfs": "FCFS", "strict_acuity": "strict acuity"}


def evaluate_policy(config: TrainConfig, policy: Policy) -> FairnessReport:
    """Judge a policy as its job's ``evaluation`` says and report outcomes by group.

    In the hospital the policy, FCFS, strict acuity and the starting rule (where it is another)
    face the same patients. Elsewhere the policy's episodes are grouped.

    Args:
        config: the training job.
        policy: what it produced.

    Raises:
        InputError: the grouping does not fit the environment.
        SimulationError: the simulation would have lost a record.
    """
    if isinstance(config.environment, HospitalEnvironment):
        return _evaluate_hospital(config, config.environment, policy)
    return _evaluate_gymnasium(config, config.environment, policy)


def _make_provenance(config: TrainConfig, policy: Policy, environment: str) -> Provenance:
    """Collect the circumstances that a report carries."""
    standardised = config.algorithm.group_target == "standardised"
    judged_by: MetricName = "standardised_cost" if standardised else "cost_per_patient"
    if isinstance(config.environment, GymnasiumEnvironment):
        judged_by = "mean_return"
    return Provenance(
        library_version=version("grpo"),
        environment=environment,
        group_by=config.grouping.model_dump(mode="json"),
        group_target=config.algorithm.group_target,
        group_robustness_weight=config.algorithm.group_robustness_weight,
        method=config.algorithm.method,
        group_baseline=config.algorithm.group_baseline,
        judged_by=judged_by,
        training_seed=config.seed,
        evaluation_seed=config.evaluation.seed,
        episodes=config.evaluation.episodes,
        served=policy.manifest.served,
        confidence=CONFIDENCE,
        resamples=0,
    )


def _evaluate_hospital(
    config: TrainConfig, environment: HospitalEnvironment, policy: Policy
) -> FairnessReport:
    """Simulate every arm on the same patients and judge them."""
    attributes = merge_attributes(config.grouping)
    if attributes is None:
        raise InputError.single(
            "/grouping/kind", "patients are grouped by their attributes",
            given=config.grouping.kind, allowed="attribute",
        )  # fmt: skip
    compiled = compile_environment(environment)
    judged = config.evaluation
    heads = build_heads(
        compiled,
        attributes,
        "standardised",
        evaluation_hours=judged.episodes * judged.horizon_hours,
    )
    labels: dict[ArmName, str] = {"policy": "trained policy", **RULE_LABELS}
    rules: dict[ArmName, IndexRule] = {name: make_rule(name, compiled) for name in RULE_LABELS}
    start = config.algorithm.start_rule
    if start is not None and start not in RULE_LABELS:
        labels["start_rule"] = f"starting rule {start.replace('_', '-')}"
        rules["start_rule"] = make_rule(start, compiled)
    choosers: dict[ArmName, IndexRule | Chooser] = {"policy": _make_chooser(policy, judged.seed)}
    arms = {
        name: patients_of(_simulate(compiled, chooser, judged), compiled, heads)
        for name, chooser in (choosers | rules).items()
    }
    provenance = _make_provenance(config, policy, environment.scenario_name).model_copy(
        update={
            "warmup_hours": judged.warmup_hours,
            "horizon_hours": judged.horizon_hours,
            "merged_acuities": heads.merged_acuities,
            "acuity_mix": tuple(map(float, arms["policy"].mix)),
        }
    )
    return assess_patients(arms, labels, provenance)


def _simulate(
    compiled: CompiledScenario, chooser: IndexRule | Chooser, judged: Evaluation
) -> PatientLog:
    return simulate(
        compiled,
        chooser,
        episodes=judged.episodes,
        seed=judged.seed,
        warmup_hours=judged.warmup_hours,
        horizon_hours=judged.horizon_hours,
    )


def _make_chooser(policy: Policy, seed: int) -> Chooser:
    """Let the policy decide as it is served, its draws seeded."""
    generator = make_generator(seed, "serving")

    def choose(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        return policy.act(observations, masks, generator)

    return choose


def _evaluate_gymnasium(
    config: TrainConfig, environment: GymnasiumEnvironment, policy: Policy
) -> FairnessReport:
    """Play episodes and judge their returns by group."""
    labels = make_labeller(config.grouping).names
    played = play_episodes(
        environment.id,
        policy,
        config.grouping,
        episodes=config.evaluation.episodes,
        seed=config.evaluation.seed,
    )
    provenance = _make_provenance(config, policy, environment.id)
    return assess_episodes(played.returns, played.membership, labels, provenance)


def patients_of(log: PatientLog, compiled: CompiledScenario, heads: Heads) -> Patients:
    """Turn a simulator's log into records with group, acuity cell and target, row for row.

    Args:
        log: who arrived in the judged time.
        compiled: the scenario, for acuities, targets and the pooled acuity mix.
        heads: groups of the types, and the acuities that are standardised as one.
    """
    cell_of_type = np.full(compiled.num_types, -1, np.int64)
    for cell, acuities in enumerate(heads.merged_acuities):
        cell_of_type[np.isin(compiled.type_acuity, acuities)] = cell
    expected = np.bincount(
        cell_of_type, weights=compiled.type_rates, minlength=len(heads.merged_acuities)
    )
    diverted = log.outcome == Outcome.DIVERTED
    cells = _cross_attributes(log, compiled)
    acuity = compiled.type_acuity[log.type]
    patients = Patients(
        episodes=log.episodes,
        group_labels=heads.labels,
        mix=expected / expected.sum(),
        episode=log.episode,
        group=heads.type_group[log.type],
        cell=cell_of_type[log.type],
        cost=log.cost,
        wait_hours=np.where(diverted, 0.0, log.wait_hours),
        target_hours=compiled.target_hours[log.type],
        seen=np.isin(log.outcome, (Outcome.SERVED, Outcome.TRANSFERRED)),
        left=log.outcome == Outcome.LEFT,
        diverted=diverted,
        arrival_hours=log.arrival_hours,
        acuity=acuity,
        subgroup=None if cells is None else cells.cell,
        subgroup_labels=() if cells is None else cells.labels,
        unjudged=() if cells is None else (*cells.merged, *cells.withheld),
    )
    if log.courses is None:
        return patients
    scenario, courses = compiled.scenario, log.courses
    return replace(
        patients,
        # Nobody is triaged who is turned away.
        recorded_acuity=None
        if scenario.triage_error is None
        else np.where(diverted, acuity, courses.recorded_acuity),
        boarding_hours=courses.boarding_hours if scenario.stages else None,
        expected_deaths=None if scenario.harm is None else courses.harm,
    )


def _cross_attributes(log: PatientLog, compiled: CompiledScenario) -> Cells | None:
    """Cross the scenario's protected attributes; None where it declares fewer than two."""
    protected = [a.name for a in compiled.scenario.attributes if a.protected]
    if len(protected) < 2:
        return None
    values, labels = compiled.attribute_values, compiled.attribute_labels
    return make_cells({name: (values[name][log.type], labels[name]) for name in protected})
