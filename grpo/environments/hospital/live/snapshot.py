"""What is known of a hospital at one instant, told alike by the simulator and by a request."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from grpo.environments.hospital.compiling.compiled import BANDS, CompiledScenario
from grpo.environments.hospital.compiling.laws import LAW_NONE
from grpo.environments.hospital.model.scenario_checks import FIRST_STAGE
from grpo.environments.hospital.physics.state import (
    ACTIVITY,
    ARRIVED_AT,
    FREE,
    HEAD,
    NEXT,
    NOW,
    SERIAL,
)
from grpo.errors import InputError, Issue, shorten

if TYPE_CHECKING:
    from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment

HOURS_PER_DAY = 24.0
HOURS_PER_WEEK = 168.0


@dataclass(frozen=True)
class WaitingPatient:
    """Somebody who waits.

    Attributes:
        id: the caller's name for the patient; breaks ties.
        class_index: class of the compiled scenario.
        wait_hours: time since arrival, or since the last stage's care ended, >= 0.
        held: [P] units that come free when he starts, because he boards on them; empty for none.
    """

    id: str
    class_index: int
    wait_hours: float
    held: tuple[int, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A hospital at one instant.

    Attributes:
        hour_of_day: in [0, 24).
        free: [P] free units by pool of the compiled scenario; below 0 by as many as are in use
            beyond the capacity, while a shift that ended still runs.
        capacity: [P] units there are now.
        patients: everybody waiting, in any order.
        day_of_week: 0 is Monday; 0 also where days do not differ.
    """

    hour_of_day: float
    free: tuple[int, ...]
    capacity: tuple[int, ...]
    patients: tuple[WaitingPatient, ...]
    day_of_week: int = 0


@dataclass(frozen=True)
class PatientFacts:
    """What a live request says of a waiting patient.

    Attributes:
        id: the caller's name for the patient.
        acuity: level, 1 is the most urgent.
        wait_hours: time since arrival, or since the last stage's care ended, >= 0.
        stay_band: short or long; None where the scenario has no bands, and after the first stage.
        attributes: e.g. ``{"age_group": "elderly"}``; read only by group-aware policies.
        stage: what the patient waits for.
        held: units by pool that come free when the patient starts, because he boards on them.
    """

    id: str
    acuity: int
    wait_hours: float
    stay_band: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    stage: str = FIRST_STAGE
    held: Mapping[str, int] = field(default_factory=dict)


def seed_of(snapshot: Snapshot) -> int:
    """Return a seed for drawing actions that depends on what the policy may see, and on ids.

    The same waiting room gives the same seed, whatever the order of its patients and whatever
    else a request says of them. Times count in whole seconds, so that units do not matter.
    """
    patients = sorted((p.id, p.class_index, round(3600 * p.wait_hours)) for p in snapshot.patients)
    clock = round(3600 * (HOURS_PER_DAY * snapshot.day_of_week + snapshot.hour_of_day))
    seen = (clock, tuple(map(int, snapshot.free)), tuple(map(int, snapshot.capacity)), patients)
    return int.from_bytes(hashlib.sha256(repr(seen).encode()).digest()[:8], "big")


def find_class(compiled: CompiledScenario, patient: PatientFacts, pointer: str = "") -> int:
    """Return the class of a patient; what the policy may not see is not looked at.

    Args:
        compiled: the scenario.
        patient: what is known of the patient.
        pointer: JSON pointer of the patient, put before the field's name in errors.

    Raises:
        InputError: for an unknown acuity or band, or, group-aware, an attribute value that is
            missing or unknown (it is never guessed).
    """
    stage = _find_stage(compiled, patient.stage, f"{pointer}/stage")
    levels = [acuity.level for acuity in compiled.scenario.acuities]
    if patient.acuity not in levels:
        raise InputError.single(
            f"{pointer}/acuity",
            "no such acuity in the scenario",
            given=patient.acuity,
            allowed=f"{levels[0]} to {levels[-1]}",
        )
    band, value = 0, -1
    if compiled.scenario.stay_bands is not None and stage == 0:
        band = _find_band(patient.stay_band, f"{pointer}/stay_band")
    if compiled.group_aware:
        value = _find_group(compiled, patient.attributes, f"{pointer}/attributes")
    key = (stage, patient.acuity, band, value)
    if key not in compiled.class_index:
        raise InputError.single(
            f"{pointer}/acuity",
            f"no such patient ever waits for {patient.stage} in the scenario",
            given=patient.acuity,
        )
    return compiled.class_index[key]


def _find_stage(compiled: CompiledScenario, name: str, pointer: str) -> int:
    if name not in compiled.stage_names:
        raise InputError.single(
            pointer,
            "the scenario has no such stage",
            given=name,
            allowed=", ".join(compiled.stage_names),
        )
    return compiled.stage_names.index(name)


def _find_band(name: str | None, pointer: str) -> int:
    if name not in BANDS:
        raise InputError.single(
            pointer, "the predicted stay is needed", given=name, allowed=", ".join(BANDS)
        )
    return BANDS.index(name)


def _find_group(compiled: CompiledScenario, attributes: Mapping[str, str], pointer: str) -> int:
    name = compiled.scenario.mix_by
    given, labels = attributes.get(name), compiled.attribute_labels[name]
    if given not in labels:
        raise InputError.single(
            f"{pointer}/{name}",
            "a group-aware policy needs this attribute",
            given=given,
            allowed=", ".join(labels),
        )
    return labels.index(given)


def held_units(
    compiled: CompiledScenario, units: Mapping[str, int], pointer: str
) -> tuple[int, ...]:
    """Return [P] units that a boarding patient gives back at once; what is cleaned comes later.

    Raises:
        InputError: at the pool below ``pointer``, for one that is not declared or below 0 units.
    """
    for name, number in units.items():
        if name not in compiled.pool_names or number < 0:
            raise InputError.single(
                f"{pointer}/{name}",
                "must be units of a pool of the scenario",
                given=number,
                allowed=", ".join(compiled.pool_names),
            )
    at_once = compiled.laws.cleaning[:, 0] == LAW_NONE
    return tuple(
        int(units.get(name, 0)) if free else 0
        for name, free in zip(compiled.pool_names, at_once, strict=True)
    )


def make_snapshot(
    compiled: CompiledScenario,
    *,
    hour_of_day: float,
    pools: Mapping[str, tuple[int, int]],
    patients: Sequence[PatientFacts],
    day_of_week: int = 0,
) -> Snapshot:
    """Check what a live request says and turn it into a snapshot.

    Args:
        compiled: the scenario that the policy was trained on.
        hour_of_day: local time, in [0, 24).
        pools: by pool name, (free, capacity) units; every pool of the scenario.
        patients: everybody waiting; ids differ.
        day_of_week: 0 is Monday; not looked at where days do not differ.

    Raises:
        InputError: naming every field that is wrong, with pointers below /hour_of_day, /pools
            and /patients.
    """
    issues = _find_pool_issues(compiled, hour_of_day, pools)
    waiting: list[WaitingPatient] = []
    seen: set[str] = set()
    for n, patient in enumerate(patients):
        pointer = f"/patients/{n}"
        if patient.id in seen:
            issues.append(Issue(f"{pointer}/id", "stands there twice", shorten(patient.id)))
        seen.add(patient.id)
        if not (math.isfinite(patient.wait_hours) and patient.wait_hours >= 0):
            issues.append(
                Issue(f"{pointer}/wait_hours", "out of range", shorten(patient.wait_hours), ">= 0")
            )
        try:
            k = find_class(compiled, patient, pointer)
            held = held_units(compiled, patient.held, f"{pointer}/held") if patient.held else ()
        except InputError as error:
            issues.extend(error.issues)
        else:
            waiting.append(WaitingPatient(patient.id, k, patient.wait_hours, held))
    if issues:
        raise InputError(issues)
    names = compiled.pool_names
    return Snapshot(
        hour_of_day=hour_of_day,
        free=tuple(pools[name][0] for name in names),
        capacity=tuple(pools[name][1] for name in names),
        patients=tuple(waiting),
        day_of_week=day_of_week if compiled.weekly else 0,
    )


def _find_pool_issues(
    compiled: CompiledScenario, hour_of_day: float, pools: Mapping[str, tuple[int, int]]
) -> list[Issue]:
    """List what is wrong with the time and the pools."""
    issues = []
    if not 0 <= hour_of_day < HOURS_PER_DAY:
        issues.append(Issue("/hour_of_day", "out of range", shorten(hour_of_day), "[0, 24)"))
    names = compiled.pool_names
    if set(pools) != set(names):
        issues.append(
            Issue("/pools", "must name every pool once", shorten(sorted(pools)), ", ".join(names))
        )
    for name, (free, capacity) in pools.items():
        if not 0 <= free <= capacity:
            issues.append(
                Issue(f"/pools/{name}/free", "out of range", shorten(free), f"0 to {capacity}")
            )
    return issues


def snapshot_of(environment: HospitalVectorEnvironment, i: int) -> Snapshot:
    """Return the present state of hospital ``i`` of a batch, as a live request would tell it.

    Patients are called ``patient-<serial>`` by order of arrival.
    """
    state, compiled = environment.state, environment.compiled
    now = float(state.clock[i, NOW])
    num_pools = len(compiled.capacity)
    at_once = compiled.laws.cleaning[:, 0] == LAW_NONE
    patients = []
    for k in range(compiled.num_classes):
        slot = int(state.queues[i, k, HEAD])
        while slot >= 0:
            wait = now - float(state.times[i, slot, ARRIVED_AT])
            serial = int(state.keys[i, slot, SERIAL].astype(np.int64))
            activity = int(state.links[i, slot, ACTIVITY])
            held: tuple[int, ...] = ()
            if activity >= 0:
                held = tuple(int(n) for n in compiled.activity_needs[activity] * at_once)
            patients.append(WaitingPatient(f"patient-{serial:08d}", k, wait, held))
            slot = int(state.links[i, slot, NEXT])
    units = state.counts[i, FREE:]
    return Snapshot(
        hour_of_day=now % HOURS_PER_DAY,
        free=tuple(int(n) for n in units[:num_pools]),
        capacity=tuple(int(n) for n in units[num_pools:]),
        patients=tuple(patients),
        day_of_week=int(now % HOURS_PER_WEEK // HOURS_PER_DAY) if compiled.weekly else 0,
    )
