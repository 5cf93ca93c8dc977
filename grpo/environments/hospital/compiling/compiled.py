"""A scenario turned into arrays: see ``CompiledScenario`` for what they are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.capacity_calendar import arrival_rates, make_calendar
from grpo.environments.hospital.compiling.care_classes import (
    BANDS,
    CareClasses,
    compile_routes,
    make_classes,
)
from grpo.environments.hospital.compiling.compiled_scenario import STAGE, CompiledScenario
from grpo.environments.hospital.compiling.initial_stages import initial_loads
from grpo.environments.hospital.compiling.patient_types import (
    Laws,
    PatientType,
    compile_laws,
    enumerate_types,
    mean_rates,
    share_by_source,
)
from grpo.environments.hospital.model.scenario_model import Acuity, Scenario

__all__ = ["BANDS", "STAGE", "CompiledScenario", "compile_scenario"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def compile_scenario(
    scenario: Scenario, *, group_aware: bool = False, hold: bool = True
) -> CompiledScenario:
    """Turn a scenario into arrays.

    Args:
        scenario: a validated scenario.
        group_aware: let classes tell the values of the scenario's ``mix_by`` attribute apart.
        hold: whether keeping capacity free on purpose is an allowed action.
    """
    types = enumerate_types(scenario)
    shares = share_by_source(scenario, types)
    rates = mean_rates(scenario, shares)
    routes = compile_routes(scenario, types)
    classes = make_classes(scenario, types, routes, group_aware=group_aware)
    laws = compile_laws(scenario, types)
    initial = initial_loads(scenario, rates, routes, laws.mean_stays)
    level = np.array([t.acuity.level for t in types], dtype=np.int64)
    cost_rates = np.array([t.acuity.cost_per_hour.value for t in types])
    beyond = cost_rates * scenario.costs.factor_beyond_target.value
    return CompiledScenario(
        scenario=scenario,
        group_aware=group_aware,
        hold=hold,
        type_rates=rates,
        type_acuity=level,
        type_band=np.array([t.band for t in types], dtype=np.int64),
        type_class=classes.by_recorded[np.arange(len(types)), level - 1],
        more_urgent=len(types) // len(scenario.acuities),
        source_shares=shares,
        attribute_values=_attribute_values(scenario, types),
        attribute_labels={attribute.name: attribute.values for attribute in scenario.attributes},
        classes=classes,
        class_mean_stay=_mean_stays(classes, laws, rates, level),
        class_cost_rates=np.array([_cost_rate(scenario, *key[:2]) for key in classes.keys]),
        class_target_hours=np.array([_class_target(scenario, *key[:2]) for key in classes.keys]),
        capacity=np.array([pool.capacity.value for pool in scenario.pools], dtype=np.int64),
        calendar=make_calendar(scenario),
        waiting_room=scenario.waiting_room.value,
        hourly_rates=arrival_rates(scenario),
        laws=laws,
        routes=routes,
        initial=initial,
        recorded=_recorded(scenario, types),
        cost_rates=cost_rates,
        factor_beyond_target=scenario.costs.factor_beyond_target.value,
        target_hours=np.array([_target_hours(t.acuity) for t in types]),
        leaving_costs=beyond * scenario.costs.leaving_hours.value,
        diversion_costs=beyond * scenario.costs.diversion_hours.value,
        deterioration_costs=beyond * _deterioration_hours(scenario),
        deterioration_rates=_deterioration_rates(scenario, types),
        review_hours=scenario.review_minutes.value / 60,
    )


def _attribute_values(scenario: Scenario, types: list[PatientType]) -> dict[str, Int64]:
    return {
        attribute.name: np.array([t.values[a] for t in types], dtype=np.int64)
        for a, attribute in enumerate(scenario.attributes)
    }


def _target_hours(acuity: Acuity) -> float:
    return math.inf if acuity.target_minutes is None else acuity.target_minutes.value / 60


def _class_target(scenario: Scenario, stage: int, level: int) -> float:
    """Target of waiting for a stage, infinity where there is none."""
    return math.inf if stage > 0 else _target_hours(scenario.acuities[level - 1])


def _deterioration_hours(scenario: Scenario) -> float:
    hours = scenario.costs.deterioration_hours
    return 0.0 if hours is None else hours.value


def _cost_rate(scenario: Scenario, stage: int, level: int) -> float:
    """Cost per hour of waiting for a stage."""
    if stage > 0:
        return scenario.stages[stage - 1].waiting_cost_per_hour.value
    return scenario.acuities[level - 1].cost_per_hour.value


def _deterioration_rates(scenario: Scenario, types: list[PatientType]) -> Float64:
    factors = scenario.deterioration_factor
    rates = [t.acuity.deterioration_per_hour for t in types]
    return np.array(
        [
            0.0
            if rate is None
            else rate.value * (1.0 if factors is None else factors.value[t.mix_value])
            for rate, t in zip(rates, types, strict=True)
        ]
    )


def _recorded(scenario: Scenario, types: list[PatientType]) -> Float64:
    """Return [Y, R] chances of the recorded acuities."""
    table = scenario.triage_error
    rows = np.eye(len(scenario.acuities))[[t.acuity.level - 1 for t in types]]
    if table is not None:
        rows = np.array([table.value[t.mix_value][t.acuity.level - 1] for t in types])
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), dtype=np.float64)


def _mean_stays(classes: CareClasses, laws: Laws, rates: Float64, level: Int64) -> Float64:
    """Return [K] mean stays over the types of each class, by arrival rate."""
    weights = rates + 1e-12 * max(rates.sum(), 1.0)
    means = np.zeros(len(classes.keys))
    own = classes.by_recorded[np.arange(len(level)), level - 1]
    for k, (stage, *_) in enumerate(classes.keys):
        members = own == k if stage == 0 else classes.by_stage[:, stage - 1] == k
        means[k] = weights[members] @ laws.mean_stays[stage, members] / weights[members].sum()
    return means
