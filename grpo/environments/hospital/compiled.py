"""A scenario turned into arrays: what the kernels, the heads, the rules and the policy read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.patient_types import PatientType, compile_laws, enumerate_types
from grpo.environments.hospital.scenario_model import Acuity, Scenario

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

BANDS = ("short", "long")
STAGE = "ed"


@dataclass(frozen=True, eq=False)
class CompiledScenario:
    """Arrays of one scenario; ``Y`` patient types, ``K`` classes, ``P`` pools, ``O`` features.

    A type is (acuity, stay band, attribute values): what decides a patient's laws. A class is what
    a policy may tell apart: (stage, acuity, stay band), with the attribute ``mix_by`` only where
    ``group_aware``. Actions 0..K-1 start the longest-waiting patient of a class, action K holds.

    Attributes:
        scenario: what was compiled.
        group_aware: whether classes tell the values of ``mix_by`` apart.
        hold: whether HOLD is an allowed action.
        type_rates: [Y] expected arrivals per hour, mean over the day.
        type_acuity: [Y] level, 1 is the most urgent.
        type_band: [Y] 0 short, 1 long; 0 where the scenario has no bands.
        type_class: [Y] class index.
        attribute_values: by attribute name, [Y] index into ``attribute_labels``.
        attribute_labels: by attribute name, its values in order.
        class_labels: [K] such as ``ed.3.short``.
        class_acuity: [K] level.
        class_band: [K] 0 short, 1 long.
        class_attribute: [K] value index of ``mix_by``, -1 where group-blind.
        class_mean_stay: [K] hours that care keeps its resources, boarding included.
        needs: [K, P] units taken together by one patient.
        capacity: [P] units.
        waiting_room: places for waiting patients.
        hourly_rates: [24] arrivals per hour by hour of the day.
        stay_laws: [Y, 3] (law, parameter, parameter) of the treatment.
        admission_probability: [Y].
        boarding_law: [3].
        patience_laws: [Y, 3].
        cost_rates: [Y] per hour of waiting up to the target.
        factor_beyond_target: multiplies the rate beyond the target.
        target_hours: [Y], infinity where there is none.
        leaving_costs: [Y] lump on leaving unseen.
        diversion_costs: [Y] lump on being diverted.
        review_hours: longest time a HOLD lasts.
    """

    scenario: Scenario
    group_aware: bool
    hold: bool
    type_rates: Float64
    type_acuity: Int64
    type_band: Int64
    type_class: Int64
    attribute_values: dict[str, Int64]
    attribute_labels: dict[str, tuple[str, ...]]
    class_labels: tuple[str, ...]
    class_acuity: Int64
    class_band: Int64
    class_attribute: Int64
    class_mean_stay: Float64
    needs: Int64
    capacity: Int64
    waiting_room: int
    hourly_rates: Float64
    stay_laws: Float64
    admission_probability: Float64
    boarding_law: Float64
    patience_laws: Float64
    cost_rates: Float64
    factor_beyond_target: float
    target_hours: Float64
    leaving_costs: Float64
    diversion_costs: Float64
    review_hours: float

    @property
    def num_types(self) -> int:
        """Number of patient types, Y."""
        return len(self.type_rates)

    @property
    def num_classes(self) -> int:
        """Number of patient classes, K."""
        return len(self.class_labels)

    @property
    def num_actions(self) -> int:
        """K starts and HOLD; HOLD is counted, and masked, even where it is not allowed."""
        return self.num_classes + 1

    @property
    def hold_action(self) -> int:
        """Index of HOLD, the last action."""
        return self.num_classes

    @property
    def observation_size(self) -> int:
        """Number of features, O."""
        return len(self.feature_names)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the observation, [O]."""
        return (
            *(f"{label}.log1p_count" for label in self.class_labels),
            *(f"{label}.log1p_head_wait_hours" for label in self.class_labels),
            *(f"{label}.present" for label in self.class_labels),
            *(f"{pool}.free_share" for pool in self.pool_names),
            *(f"{pool}.capacity_share" for pool in self.pool_names),
            "sin_hour_of_day",
            "cos_hour_of_day",
        )

    @property
    def pool_names(self) -> tuple[str, ...]:
        """Names of the pools, [P]."""
        return tuple(pool.name for pool in self.scenario.pools)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """Names of the actions: the class labels, then ``hold``."""
        return (*self.class_labels, "hold")

    @cached_property
    def class_index(self) -> dict[tuple[int, int, int], int]:
        """Class by (acuity, band, attribute value), the value -1 where group-blind."""
        keys = zip(self.class_acuity, self.class_band, self.class_attribute, strict=True)
        return {(int(a), int(b), int(v)): k for k, (a, b, v) in enumerate(keys)}

    @property
    def wait_features(self) -> Int64:
        """[K] index of each class's log1p(head wait in hours) in the observation."""
        return np.arange(self.num_classes, dtype=np.int64) + self.num_classes

    @property
    def class_cost_rates(self) -> Float64:
        """[K] cost per hour of waiting up to the target."""
        return self._per_class(self.cost_rates)

    @property
    def class_target_hours(self) -> Float64:
        """[K] target, infinity where there is none."""
        return self._per_class(self.target_hours)

    @property
    def max_in_care(self) -> int:
        """No more patients than this can be in care at once, whatever their mix."""
        bounds = [
            int(self.capacity[p] // self.needs[:, p].min())
            for p in range(len(self.capacity))
            if self.needs[:, p].min() > 0
        ]
        return min(bounds) if bounds else int(self.capacity.sum())

    def _per_class(self, per_type: Float64) -> Float64:
        """Read a value that depends on the acuity alone."""
        values = np.empty(self.num_classes)
        values[self.type_class] = per_type
        return values


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
    type_keys = [_class_key(scenario, t, group_aware=group_aware) for t in types]
    class_keys = sorted(set(type_keys))
    index = {key: k for k, key in enumerate(class_keys)}
    type_class = np.array([index[key] for key in type_keys], dtype=np.int64)
    rates = np.array([t.rate for t in types])
    labels = tuple(_class_label(scenario, key) for key in class_keys)
    laws = compile_laws(scenario, types)
    levels, bands, values = np.array(class_keys, dtype=np.int64).T
    costs = scenario.costs
    cost_rates = np.array([t.acuity.cost_per_hour.value for t in types])
    beyond = cost_rates * costs.factor_beyond_target.value
    return CompiledScenario(
        scenario=scenario,
        group_aware=group_aware,
        hold=hold,
        type_rates=rates,
        type_acuity=np.array([t.acuity.level for t in types], dtype=np.int64),
        type_band=np.array([t.band for t in types], dtype=np.int64),
        type_class=type_class,
        attribute_values=_attribute_values(scenario, types),
        attribute_labels={attribute.name: attribute.values for attribute in scenario.attributes},
        class_labels=labels,
        class_acuity=levels,
        class_band=bands,
        class_attribute=values,
        class_mean_stay=_class_means(laws.mean_stays, rates, type_class, len(labels)),
        needs=_needs_of(scenario, levels),
        capacity=np.array([pool.capacity.value for pool in scenario.pools], dtype=np.int64),
        waiting_room=scenario.waiting_room.value,
        hourly_rates=_hourly_rates(scenario),
        stay_laws=laws.stays,
        admission_probability=laws.admission,
        boarding_law=laws.boarding,
        patience_laws=laws.patience,
        cost_rates=cost_rates,
        factor_beyond_target=costs.factor_beyond_target.value,
        target_hours=np.array([_target_hours(t.acuity) for t in types]),
        leaving_costs=beyond * costs.leaving_hours.value,
        diversion_costs=beyond * costs.diversion_hours.value,
        review_hours=scenario.review_minutes.value / 60,
    )


def _attribute_values(scenario: Scenario, types: list[PatientType]) -> dict[str, Int64]:
    return {
        attribute.name: np.array([t.values[a] for t in types], dtype=np.int64)
        for a, attribute in enumerate(scenario.attributes)
    }


def _hourly_rates(scenario: Scenario) -> Float64:
    shares = np.array(scenario.arrivals.hourly_share.value, dtype=np.float64)
    return np.asarray(scenario.arrivals.visits_per_day.value * shares / shares.sum())


def _needs_of(scenario: Scenario, levels: Int64) -> Int64:
    """Return [K, P] units that a patient of each class takes."""
    pools = [pool.name for pool in scenario.pools]
    needs = [scenario.acuities[level - 1].needs.value for level in levels]
    return np.array([[by_pool.get(pool, 0) for pool in pools] for by_pool in needs], dtype=np.int64)


def _target_hours(acuity: Acuity) -> float:
    return math.inf if acuity.target_minutes is None else acuity.target_minutes.value / 60


def _class_key(
    scenario: Scenario, patient: PatientType, *, group_aware: bool
) -> tuple[int, int, int]:
    """Sort key of a type's class: (acuity, band, attribute value or -1)."""
    mix = [attribute.name for attribute in scenario.attributes].index(scenario.mix_by)
    return (patient.acuity.level, patient.band, patient.values[mix] if group_aware else -1)


def _class_label(scenario: Scenario, key: tuple[int, int, int]) -> str:
    parts = [STAGE, str(key[0])]
    if scenario.stay_bands is not None:
        parts.append(BANDS[key[1]])
    if key[2] >= 0:
        parts.append(scenario.attribute(scenario.mix_by).values[key[2]])
    return ".".join(parts)


def _class_means(values: Float64, rates: Float64, type_class: Int64, num_classes: int) -> Float64:
    """Average over the types of each class by arrival rate; plainly where nobody arrives."""
    weights = rates + 1e-12 * max(rates.sum(), 1.0)
    totals = np.bincount(type_class, weights=weights, minlength=num_classes)
    sums = np.bincount(type_class, weights=weights * values, minlength=num_classes)
    return np.asarray(sums / totals, dtype=np.float64)
