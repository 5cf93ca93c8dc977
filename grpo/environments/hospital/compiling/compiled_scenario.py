"""A scenario turned into arrays: what the kernels, the heads, the rules and the policy read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.capacity_calendar import Calendar, cycle_hours, is_weekly
from grpo.environments.hospital.compiling.care_classes import CareClasses, bound_in_care
from grpo.environments.hospital.compiling.patient_types import Laws
from grpo.environments.hospital.model.scenario_checks import FIRST_STAGE, peak_units
from grpo.environments.hospital.model.scenario_model import Scenario

STAGE = FIRST_STAGE

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CompiledScenario:
    """Arrays of one scenario; ``Y`` types, ``K`` classes, ``A`` activities, ``P`` pools.

    A type is (acuity, stay band, attribute values): what decides a patient's laws. A class is what
    a policy may tell apart: (stage, acuity, stay band), with the attribute ``mix_by`` only where
    ``group_aware``; in the emergency department the acuity is the recorded one, later the true
    one. An activity starts the longest-waiting patient of a class on one of the class's sets of
    units; where no class has more than one, activities are classes. Actions are the activities
    and HOLD.

    Attributes:
        scenario: what was compiled.
        group_aware: whether classes tell the values of ``mix_by`` apart.
        hold: whether HOLD is an allowed action.
        type_rates: [Y] expected arrivals per hour in the long run, surges that return included.
        type_acuity: [Y] level, 1 is the most urgent.
        type_band: [Y] 0 short, 1 long; 0 where the scenario has no bands.
        type_class: [Y] class in the emergency department if the acuity is recorded right.
        more_urgent: how many rows before its own a type stands that is one acuity more urgent.
        source_shares: [1 + J, Y] shares of the types among usual arrivals and in each surge.
        attribute_values: by attribute name, [Y] index into ``attribute_labels``.
        attribute_labels: by attribute name, its values in order.
        classes: classes and activities.
        class_mean_stay: [K] hours that care keeps its resources.
        class_cost_rates: [K] cost per hour of waiting, up to the target.
        class_target_hours: [K] target, infinity where there is none.
        capacity: [P] units there are at most, surges left out.
        calendar: when capacity changes.
        waiting_room: places for patients who wait in the emergency department.
        hourly_rates: [24] arrivals per hour by hour of the day, or [168] of the week.
        laws: times of care, patience and cleaning.
        routes: [1 + S, Y, S] chances of going on to a later stage.
        initial: [S, Y] mean number of patients of a type in a later stage, in the long run.
        recorded: [Y, R] chances of the recorded acuities.
        cost_rates: [Y] per hour of waiting up to the target.
        factor_beyond_target: multiplies the rate beyond the target.
        target_hours: [Y], infinity where there is none.
        leaving_costs: [Y] lump on leaving unseen.
        diversion_costs: [Y] lump on being diverted.
        deterioration_costs: [Y] lump on becoming this type by getting worse.
        deterioration_rates: [Y] per hour of waiting.
        review_hours: longest time a HOLD lasts.
    """

    scenario: Scenario
    group_aware: bool
    hold: bool
    type_rates: Float64
    type_acuity: Int64
    type_band: Int64
    type_class: Int64
    more_urgent: int
    source_shares: Float64
    attribute_values: dict[str, Int64]
    attribute_labels: dict[str, tuple[str, ...]]
    classes: CareClasses
    class_mean_stay: Float64
    class_cost_rates: Float64
    class_target_hours: Float64
    capacity: Int64
    calendar: Calendar
    waiting_room: int
    hourly_rates: Float64
    laws: Laws
    routes: Float64
    initial: Float64
    recorded: Float64
    cost_rates: Float64
    factor_beyond_target: float
    target_hours: Float64
    leaving_costs: Float64
    diversion_costs: Float64
    deterioration_costs: Float64
    deterioration_rates: Float64
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
    def num_activities(self) -> int:
        """Number of ways to start somebody, A."""
        return len(self.classes.activity_class)

    @property
    def num_actions(self) -> int:
        """A starts and HOLD; HOLD is counted, and masked, even where it is not allowed."""
        return self.num_activities + 1

    @property
    def hold_action(self) -> int:
        """Index of HOLD, the last action."""
        return self.num_activities

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
            *(("sin_hour_of_week", "cos_hour_of_week") if self.weekly else ()),
        )

    @property
    def pool_names(self) -> tuple[str, ...]:
        """Names of the pools, [P]."""
        return tuple(pool.name for pool in self.scenario.pools)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, the emergency department first, [1 + S]."""
        return (FIRST_STAGE, *(stage.name for stage in self.scenario.stages))

    @property
    def class_labels(self) -> tuple[str, ...]:
        """[K] such as ``ed.3.short`` or ``ward.2``."""
        return self.classes.labels

    @property
    def action_labels(self) -> tuple[str, ...]:
        """Names of the actions: the activities' labels, then ``hold``."""
        return (*self.classes.activity_labels, "hold")

    @cached_property
    def class_stage(self) -> Int64:
        """[K] stage waited for, 0 is the emergency department."""
        return np.array([key[0] for key in self.classes.keys], dtype=np.int64)

    @cached_property
    def class_acuity(self) -> Int64:
        """[K] level."""
        return np.array([key[1] for key in self.classes.keys], dtype=np.int64)

    @cached_property
    def class_band(self) -> Int64:
        """[K] 0 short, 1 long."""
        return np.array([key[2] for key in self.classes.keys], dtype=np.int64)

    @cached_property
    def class_attribute(self) -> Int64:
        """[K] value index of ``mix_by``, -1 where group-blind."""
        return np.array([key[3] for key in self.classes.keys], dtype=np.int64)

    @cached_property
    def class_index(self) -> dict[tuple[int, int, int, int], int]:
        """Class by (stage, acuity, band, attribute value), the value -1 where group-blind."""
        return {key: k for k, key in enumerate(self.classes.keys)}

    @property
    def activity_class(self) -> Int64:
        """[A] class that an activity starts somebody of."""
        return self.classes.activity_class

    @property
    def activity_needs(self) -> Int64:
        """[A, P] units that an activity takes together."""
        return self.classes.activity_needs

    @property
    def needs(self) -> Int64:
        """[K, P] units that the first choice of care of each class takes."""
        return self.classes.activity_needs[self.classes.first_activity[:-1]]

    @cached_property
    def class_arrivals(self) -> Float64:
        """[K, Y] patients per hour of each type in each class, deterioration left out."""
        rates = np.zeros((self.num_classes, self.num_types))
        y = np.arange(self.num_types)
        for r in range(self.recorded.shape[1]):
            np.add.at(
                rates, (self.classes.by_recorded[:, r], y), self.type_rates * self.recorded[:, r]
            )
        with np.errstate(invalid="ignore"):
            visits = np.nan_to_num(self.initial / self.laws.mean_stays[1:])
        for s, by_type in enumerate(visits):
            comes = self.classes.by_stage[:, s] >= 0
            rates[self.classes.by_stage[comes, s], y[comes]] += by_type[comes]
        return rates

    @property
    def wait_features(self) -> Int64:
        """[K] index of each class's log1p(head wait in hours) in the observation."""
        return np.arange(self.num_classes, dtype=np.int64) + self.num_classes

    @property
    def weekly(self) -> bool:
        """Whether days of the week differ, so that the observation tells them apart."""
        return is_weekly(self.scenario)

    @property
    def cycle_hours(self) -> float:
        """A span in which everything that recurs does so at least once."""
        return cycle_hours(self.scenario)

    @property
    def keeps_courses(self) -> bool:
        """Whether more can happen to a patient than waiting and one stay."""
        return bool(
            self.scenario.stages
            or self.deterioration_rates.any()
            or self.scenario.triage_error is not None
        )

    @cached_property
    def peak_capacity(self) -> Int64:
        """[P] most units that plans and surges together could ever staff."""
        peaks = peak_units(self.scenario)
        return np.array([peaks[name] for name in self.pool_names], dtype=np.int64)

    @property
    def max_in_care(self) -> int:
        """No more patients than this can hold units at once, whatever their mix."""
        return bound_in_care(self.classes, self.peak_capacity)

    @property
    def num_slots(self) -> int:
        """Places for everybody who waits or holds units, and for units that are cleaned."""
        cleaned = self.peak_capacity[self.laws.cleaning[:, 0] > 0].sum()
        return int(self.waiting_room + self.max_in_care + cleaned)
