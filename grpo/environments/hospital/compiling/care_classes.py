"""Classes (what a policy may tell apart) and activities (a class on one of its sets of units)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.patient_types import PatientType
from grpo.environments.hospital.model.facts import Fact
from grpo.environments.hospital.model.scenario_checks import FIRST_STAGE
from grpo.environments.hospital.model.scenario_model import CareOption, Scenario
from grpo.errors import InputError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

BANDS = ("short", "long")
MOST_CLASSES = 256
"""The kernels note by one bit of four words where somebody waits."""
ClassKey = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class CareClasses:
    """K classes in order of (stage, acuity, band, attribute value), and their A activities.

    Attributes:
        keys: [K] stage (0 is the emergency department), level, band, value or -1 where blind.
        labels: [K] such as ``ed.3.short`` or ``ward.2``.
        by_recorded: [Y, R] class in the emergency department by recorded acuity.
        by_stage: [Y, S] class at each later stage, -1 where the type never comes.
        first_activity: [K + 1] activities of class k are first[k] .. first[k + 1] - 1, in order
            of preference.
        activity_class: [A].
        activity_needs: [A, P] units.
        activity_costs: [A] lump per start.
        activity_labels: [A] the class's label, with the option's name after the first.
    """

    keys: list[ClassKey]
    labels: tuple[str, ...]
    by_recorded: Int64
    by_stage: Int64
    first_activity: Int64
    activity_class: Int64
    activity_needs: Int64
    activity_costs: Float64
    activity_labels: tuple[str, ...]


def make_classes(
    scenario: Scenario, types: Sequence[PatientType], routes: Float64, *, group_aware: bool
) -> CareClasses:
    """Find the classes and activities of a scenario.

    Args:
        scenario: a validated scenario.
        types: its types.
        routes: [1 + S, Y, S] chances of going on, see ``compile_routes``.
        group_aware: whether classes tell the values of ``mix_by`` apart.

    Raises:
        InputError: there are more than ``MOST_CLASSES``.
    """
    values = scenario.attribute(scenario.mix_by).values
    seen = [values.index(t.mix_value) if group_aware else -1 for t in types]
    levels = range(1, len(scenario.acuities) + 1)
    recorded = [[(0, r, t.band, v) for r in levels] for t, v in zip(types, seen, strict=True)]
    reached = _reached(routes)
    later: list[list[ClassKey | None]] = [
        [(s + 1, t.acuity.level, 0, v) if reached[y, s] else None for s in range(routes.shape[2])]
        for y, (t, v) in enumerate(zip(types, seen, strict=True))
    ]
    known = {key for row in recorded for key in row}
    keys = sorted(known | {key for row in later for key in row if key is not None})
    if len(keys) > MOST_CLASSES:
        raise InputError.single(
            "/acuities",
            f"acuities, stay bands, groups told apart and stages make {len(keys)} classes",
            allowed=f"at most {MOST_CLASSES}",
        )
    index = {key: k for k, key in enumerate(keys)}
    labels = tuple(_label(scenario, key) for key in keys)
    options = [_options(scenario, key) for key in keys]
    pools = [pool.name for pool in scenario.pools]
    flat = [
        (k, n, option) for k, of_class in enumerate(options) for n, option in enumerate(of_class)
    ]
    return CareClasses(
        keys=keys,
        labels=labels,
        by_recorded=np.array([[index[key] for key in row] for row in recorded], dtype=np.int64),
        by_stage=np.array(
            [[-1 if key is None else index[key] for key in row] for row in later], dtype=np.int64
        ).reshape(len(types), routes.shape[2]),
        first_activity=np.cumsum([0, *map(len, options)], dtype=np.int64),
        activity_class=np.array([k for k, _, _ in flat], dtype=np.int64),
        activity_needs=np.array(
            [[option.needs.value.get(pool, 0) for pool in pools] for _, _, option in flat],
            dtype=np.int64,
        ),
        activity_costs=np.array(
            [option.cost_per_start.value if option.cost_per_start else 0.0 for _, _, option in flat]
        ),
        activity_labels=tuple(
            labels[k] if n == 0 else f"{labels[k]}:{option.name}" for k, n, option in flat
        ),
    )


def compile_routes(scenario: Scenario, types: Sequence[PatientType]) -> Float64:
    """Return [1 + S, Y, S] chances that a patient of a type goes from a stage to a later one."""
    names = [FIRST_STAGE, *(stage.name for stage in scenario.stages)]
    chances = np.zeros((len(names), len(types), len(names) - 1))
    for route in scenario.routes:
        table = route.probability.value
        origin, destination = names.index(route.origin), names.index(route.destination) - 1
        chances[origin, :, destination] = [table[t.mix_value][t.acuity.level - 1] for t in types]
    return chances


def _reached(routes: Float64) -> NDArray[np.bool_]:
    """Return [Y, S] whether a type can come to each stage."""
    reached = routes[0] > 0
    for _ in range(routes.shape[2]):
        for s in range(routes.shape[2]):
            reached = reached | (reached[:, s : s + 1] & (routes[s + 1] > 0))
    return np.asarray(reached, dtype=np.bool_)


def _options(scenario: Scenario, key: ClassKey) -> tuple[CareOption, ...]:
    """List what the care of a class can be given on."""
    stage, level, _, _ = key
    if stage > 0:
        return scenario.stages[stage - 1].options
    acuity = scenario.acuities[level - 1]
    needs = Fact[dict[str, int]](value=dict(acuity.needs.value), basis="assumed", source="own")
    return (CareOption(name="own", needs=needs), *acuity.options)


def _label(scenario: Scenario, key: ClassKey) -> str:
    stage, level, band, value = key
    parts = [FIRST_STAGE if stage == 0 else scenario.stages[stage - 1].name, str(level)]
    if scenario.stay_bands is not None and stage == 0:
        parts.append(BANDS[band])
    if value >= 0:
        parts.append(scenario.attribute(scenario.mix_by).values[value])
    return ".".join(parts)


def bound_in_care(classes: CareClasses, peak: Int64) -> int:
    """No more patients than this can hold units at once, whatever their mix.

    Args:
        classes: with the needs of every activity.
        peak: [P] most units that there ever are.
    """
    total = 0.0
    stages = np.array([key[0] for key in classes.keys])[classes.activity_class]
    for stage in np.unique(stages):
        least = classes.activity_needs[stages == stage].min(axis=0)
        bounds = [int(peak[p] // least[p]) for p in range(len(peak)) if least[p] > 0]
        total += min(bounds) if bounds else math.inf
    return int(min(total, peak.sum()))
