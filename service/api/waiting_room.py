"""From the body of a live request to the snapshot that the policy is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.live.snapshot import (
    PatientFacts,
    Snapshot,
    WaitingPatient,
    find_class,
    held_units,
)
from grpo.environments.hospital.model.scenario_checks import lowest_units, peak_units
from grpo.errors import InputError, Issue, shorten
from service.api.act_bodies import MAX_WAIT_MINUTES, Patient, SnapshotBody
from service.errors import InvalidRequestError

MAX_ISSUES = 50
# Where the library's word for a field differs from the body's.
FIELD_NAMES = {"stay_band": "predicted_stay_band", "attributes": "groups", "held": "holds"}


def to_snapshot(body: SnapshotBody, compiled: CompiledScenario, max_patients: int) -> Snapshot:
    """Check a decoded body against the scenario of the policy, and translate it.

    The hour of day and the weekday are those of ``time`` as written. Attributes that the policy
    may not see are not looked at.

    Args:
        body: as decoded; its own fields are in range.
        compiled: the scenario that the policy was trained on.
        max_patients: most patients that are accepted.

    Raises:
        InvalidRequestError: every wrong field is named, up to 50.
    """
    if len(body.patients) > max_patients:
        allowed = f"at most {max_patients} (GRPO_MAX_PATIENTS)"
        given = str(len(body.patients))
        raise InvalidRequestError.of([Issue("/patients", "too many patients", given, allowed)])
    issues = list(_check_pools(body, compiled))
    patients: list[WaitingPatient] = []
    seen: set[str] = set()
    for n, patient in enumerate(body.patients):
        if patient.id in seen:
            issues.append(Issue(f"/patients/{n}/id", "stands there twice", shorten(patient.id)))
        seen.add(patient.id)
        try:
            patients.append(_translate(patient, f"/patients/{n}", body.time, compiled))
        except InputError as error:
            issues += error.issues
    if issues:
        raise InvalidRequestError.of(issues[:MAX_ISSUES])
    units = {resource.pool: resource for resource in body.resources}
    return Snapshot(
        hour_of_day=hour_of_day(body.time),
        free=tuple(units[name].free for name in compiled.pool_names),
        capacity=tuple(units[name].capacity for name in compiled.pool_names),
        patients=tuple(patients),
        day_of_week=body.time.weekday() if compiled.weekly else 0,
    )


def hour_of_day(time: datetime) -> float:
    """Return the hour that the clock on the wall shows, in [0, 24)."""
    return time.hour + time.minute / 60 + (time.second + time.microsecond / 1e6) / 3600


def list_warnings(snapshot: Snapshot, compiled: CompiledScenario) -> list[str]:
    """Say where the request lies outside of what the policy was trained on."""
    least, most = lowest_units(compiled.scenario), peak_units(compiled.scenario)
    found = []
    for name, now in zip(compiled.pool_names, snapshot.capacity, strict=True):
        if not least[name] <= now <= most[name]:
            low, high = least[name], most[name]
            trained = f"{low}" if low == high else f"{low} to {high}"
            found.append(f"{name}: capacity {now}, but the policy was trained with {trained}")
    waiting = sum(compiled.class_stage[p.class_index] == 0 for p in snapshot.patients)
    if waiting > compiled.waiting_room:
        found.append(
            f"{waiting} patients wait, "
            f"but the policy was trained with at most {compiled.waiting_room}"
        )
    return found


def _check_pools(body: SnapshotBody, compiled: CompiledScenario) -> Iterator[Issue]:
    names = ", ".join(compiled.pool_names)
    seen: set[str] = set()
    for n, resource in enumerate(body.resources):
        pointer = f"/resources/{n}/pool"
        if resource.pool in seen:
            yield Issue(pointer, "stands there twice", shorten(resource.pool))
        elif resource.pool not in compiled.pool_names:
            yield Issue(pointer, "the scenario has no such pool", shorten(resource.pool), names)
        if resource.free > resource.capacity:
            yield Issue(
                f"/resources/{n}/free",
                "more is free than there is",
                str(resource.free),
                f"0 to {resource.capacity}",
            )
        seen.add(resource.pool)
    for name in compiled.pool_names:
        if name not in seen:
            yield Issue("/resources", f"the pool {name} is missing", "", names)


def _translate(
    patient: Patient, pointer: str, now: datetime, compiled: CompiledScenario
) -> WaitingPatient:
    """Translate one patient; InputError names what is wrong below ``pointer``."""
    wait_hours = _wait_hours(patient, pointer, now)
    facts = PatientFacts(
        patient.id,
        patient.acuity,
        wait_hours,
        patient.predicted_stay_band,
        patient.groups,
        patient.stage,
    )
    try:
        class_index = find_class(compiled, facts, pointer)
        held = held_units(compiled, patient.holds, f"{pointer}/held") if patient.holds else ()
    except InputError as error:
        raise InputError([_rename(issue, pointer) for issue in error.issues]) from error
    return WaitingPatient(patient.id, class_index, wait_hours, held)


def _wait_hours(patient: Patient, pointer: str, now: datetime) -> float:
    if patient.waiting_minutes is not None:
        return patient.waiting_minutes / 60
    assert patient.arrived is not None  # noqa: S101 - the model demands one of the two
    minutes = (now - patient.arrived).total_seconds() / 60
    if not 0 <= minutes <= MAX_WAIT_MINUTES:
        raise InputError.single(
            f"{pointer}/arrived",
            "lies after time" if minutes < 0 else "lies more than a year before time",
            given=patient.arrived.isoformat(),
            allowed=f"at most {now.isoformat()}",
        )
    return minutes / 60


def _rename(issue: Issue, pointer: str) -> Issue:
    """Name a field as the body does."""
    field, slash, rest = issue.pointer.removeprefix(f"{pointer}/").partition("/")
    name = f"{pointer}/{FIELD_NAMES.get(field, field)}{slash}{rest}"
    return Issue(name, issue.message, issue.given, issue.allowed)
