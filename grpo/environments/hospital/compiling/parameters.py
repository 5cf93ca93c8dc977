"""A compiled scenario laid out for the kernels: what they read and never change."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.compiling.laws import LAW_COLUMNS
from grpo.errors import ShapeError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Entries of Parameters.settings.
REVIEW_HOURS, DISCOUNT_RATE, WAITING_ROOM, HOLD, DEATH_COST = 0, 1, 2, 3, 4
NUM_SETTINGS = 5
# Columns of Parameters.types.
RATE, TARGET, EXTRA_RATE, LEAVING_COST, DIVERSION_COST = 0, 1, 2, 3, 4
WORSENING_RATE, WORSENING_COST = 5, 6
NUM_TYPE_COLUMNS = 7
# Columns of Parameters.surges.
SURGE_FIRST, SURGE_EVERY, SURGE_HOURS, SURGE_RATE = 0, 1, 2, 3
# Columns of Parameters.steps and .tracks, see capacity_calendar.
STEP_HOUR, STEP_POOL, STEP_UNITS = 0, 1, 2
TRACK_FIRST, TRACK_END, TRACK_START, TRACK_PERIOD = 0, 1, 2, 3
# Columns of Parameters.stages.
STAGE_COST, TRANSFERS = 0, 1
# Columns of Parameters.class_table.
CLASS_STAGE, CLASS_ACUITY = 0, 1


class Parameters(NamedTuple):
    """What does not change, in few arrays, since each one costs compilation time.

    Attributes:
        settings: [5] REVIEW_HOURS, DISCOUNT_RATE, WAITING_ROOM, HOLD, DEATH_COST.
        arrival_rates: [24] or [168] usual arrivals per hour by hour of day or week.
        surges: [J, 4] first hour, period, duration, arrivals per hour.
        aliases: [1 + J + S, Y, 2] threshold and other type of every column (Walker's method),
            for usual arrivals, each surge, and those who are in each later stage at the start.
        initial: [S] mean number of patients in each later stage at the start.
        types: [Y, 7] costs and rates of every type.
        classes: [Y, 1 + R + S] class if the acuity is recorded right; if it is recorded as level r
            (column r); at each later stage s (column R + s).
        recorded: [Y, R] cumulative chances of the recorded acuity; [0, R] without triage error.
        laws: [(1 + S) Y + Y + P + S Y, 4] stays by stage and type, patience, cleaning,
            what is left of the first patients' stays.
        quantiles: values that empirical laws read.
        routes: [(1 + S) Y, S] cumulative chances of the next stage; [0, 0] without stages.
        stages: [1 + S, 2] cost per hour of boarding for it, 1 if leaving from it is a transfer.
        harm: [2, M] hours since arrival, added probability of death; [2, 0] for none.
        class_table: [K, 2] stage and acuity.
        first_activity: [K + 1] activities of class k are first[k] .. first[k + 1] - 1.
        activity_class: [A].
        activity_costs: [A] lump per start.
        needs: [A, P] units.
        capacity: [P] units in the scenario.
        steps: [M, 3] changes of capacity.
        tracks: [W, 4] when they recur.
        head_weights: [Y, H] weight of each type in each head.
    """

    settings: Float64
    arrival_rates: Float64
    surges: Float64
    aliases: Float64
    initial: Float64
    types: Float64
    classes: Int64
    recorded: Float64
    laws: Float64
    quantiles: Float64
    routes: Float64
    stages: Float64
    harm: Float64
    class_table: Int64
    first_activity: Int64
    activity_class: Int64
    activity_costs: Float64
    needs: Int64
    capacity: Int64
    steps: Float64
    tracks: Float64
    head_weights: Float64


def make_parameters(
    compiled: CompiledScenario, head_weights: Float64, *, discount_rate: float
) -> Parameters:
    """Lay a compiled scenario out for the kernels.

    Args:
        compiled: the scenario.
        head_weights: [H, Y] weight of each patient type in each head, H >= 0.
        discount_rate: beta per hour, >= 0.

    Raises:
        ShapeError: head_weights has other axes.
    """
    if head_weights.ndim != 2 or head_weights.shape[1] != compiled.num_types:
        raise ShapeError(
            f"head_weights must be [H, {compiled.num_types}], not {head_weights.shape}"
        )
    scenario, classes = compiled.scenario, compiled.classes
    stages = [(s.waiting_cost_per_hour.value, s.outcome == "transferred") for s in scenario.stages]
    curve = None if scenario.harm is None else scenario.harm.value
    harm = ((), ()) if curve is None else (curve.hours, curve.added_probability)
    bounds = np.cumsum(compiled.recorded, axis=1)
    # Every array is a fresh, writable, C-contiguous copy: one array type, hence one compilation.
    return Parameters(
        settings=_settings(compiled, discount_rate),
        arrival_rates=_floats(compiled.hourly_rates),
        surges=_floats([_surge_row(compiled, j) for j in range(len(scenario.surges))], 4),
        aliases=_floats(
            [alias_table(shares) for shares in (*compiled.source_shares, *compiled.initial)]
        ),
        initial=_floats(compiled.initial.sum(axis=1)),
        types=_type_table(compiled),
        classes=_integers(
            np.hstack([compiled.type_class[:, None], classes.by_recorded, classes.by_stage])
        ),
        recorded=_floats(bounds if scenario.triage_error else bounds[:0]),
        laws=_law_table(compiled),
        quantiles=_floats(compiled.laws.quantiles),
        routes=_route_table(compiled),
        stages=_floats([(0.0, 0.0), *stages]),
        harm=_floats(harm),
        class_table=_integers([key[:2] for key in classes.keys]),
        first_activity=_integers(classes.first_activity),
        activity_class=_integers(classes.activity_class),
        activity_costs=_floats(classes.activity_costs),
        needs=_integers(classes.activity_needs),
        capacity=_integers(compiled.capacity),
        steps=_floats(compiled.calendar.steps),
        tracks=_floats(compiled.calendar.tracks),
        head_weights=_floats(head_weights.T),
    )


def alias_table(shares: Float64) -> Float64:
    """Return [Y, 2] thresholds and aliases: column int(Y u), itself if frac(Y u) < threshold.

    Source: Walker, An efficient method for generating discrete random variables, 1977.
    """
    size = len(shares)
    scaled = shares / max(shares.sum(), 1e-300) * size
    table = np.column_stack([np.ones(size), np.arange(size, dtype=np.float64)])
    small = [y for y in range(size) if scaled[y] < 1]
    large = [y for y in range(size) if scaled[y] >= 1]
    while small and large:
        less, more = small.pop(), large[-1]
        table[less] = scaled[less], more
        scaled[more] -= 1 - scaled[less]
        if scaled[more] < 1:
            small.append(large.pop())
    # What is left is 1 but for rounding; a type without arrivals must never be drawn.
    likeliest = int(shares.argmax())
    for y in (*small, *large):
        if shares[y] == 0:
            table[y] = 0.0, likeliest
    return table


def _settings(compiled: CompiledScenario, discount_rate: float) -> Float64:
    settings = np.zeros(NUM_SETTINGS)
    settings[REVIEW_HOURS] = compiled.review_hours
    settings[DISCOUNT_RATE] = discount_rate
    settings[WAITING_ROOM] = compiled.waiting_room
    settings[HOLD] = compiled.hold
    death = compiled.scenario.costs.cost_per_death
    settings[DEATH_COST] = 0.0 if death is None else death.value
    return settings


def _surge_row(compiled: CompiledScenario, j: int) -> tuple[float, float, float, float]:
    surge = compiled.scenario.surges[j]
    every = math.inf if surge.every_hours is None else surge.every_hours.value
    hours = surge.duration_hours.value
    return (surge.first_hour.value, every, hours, surge.patients.value / hours)


def _type_table(compiled: CompiledScenario) -> Float64:
    """Fill Parameters.types."""
    table = np.zeros((compiled.num_types, NUM_TYPE_COLUMNS))
    table[:, RATE] = compiled.cost_rates
    table[:, TARGET] = compiled.target_hours
    table[:, EXTRA_RATE] = compiled.cost_rates * (compiled.factor_beyond_target - 1)
    table[:, LEAVING_COST] = compiled.leaving_costs
    table[:, DIVERSION_COST] = compiled.diversion_costs
    table[:, WORSENING_RATE] = compiled.deterioration_rates
    table[:, WORSENING_COST] = compiled.deterioration_costs
    return table


def _law_table(compiled: CompiledScenario) -> Float64:
    """Stack all laws; see Parameters.laws."""
    laws = compiled.laws
    stays, residuals = (table.reshape(-1, LAW_COLUMNS) for table in (laws.stays, laws.residuals))
    return _floats(np.vstack([stays, laws.patience, laws.cleaning, residuals]))


def _route_table(compiled: CompiledScenario) -> Float64:
    routes = compiled.routes
    if not compiled.scenario.stages:
        return np.zeros((0, 0))
    # Rounding must not let a sum of 1 leave anybody behind.
    bounds = np.cumsum(routes, axis=2)
    bounds[bounds > 1 - 1e-9] = 1.0
    return _floats(bounds.reshape(-1, routes.shape[2]))


def _floats(values: object, columns: int | None = None) -> Float64:
    array = np.array(values, dtype=np.float64, order="C")
    return array if columns is None else array.reshape(-1, columns)


def _integers(values: object) -> Int64:
    return np.array(values, dtype=np.int64, order="C")
