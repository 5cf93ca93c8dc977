"""From a snapshot and a policy to a recommendation: who goes next, who after, or why nobody."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.live.recommendation import (
    Assignment,
    Hold,
    RankedPatient,
    Recommendation,
    Stop,
)
from grpo.environments.hospital.live.snapshot import Snapshot, WaitingPatient
from grpo.environments.hospital.physics.features import HOURS_PER_DAY, write_features, write_mask

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class ServingPolicy(Protocol):
    """What a policy must be able to do here."""

    def probabilities(self, observations: Float32, masks: Bool) -> Float32:
        """Return [B, A] probabilities of the allowed actions, 0 for the others."""
        ...


class _Room:
    """A working copy of the snapshot: queues by class, free units, the policy's view."""

    def __init__(self, compiled: CompiledScenario, snapshot: Snapshot) -> None:
        num_classes = compiled.num_classes
        self.compiled = compiled
        self.queues: list[list[WaitingPatient]] = [[] for _ in range(num_classes)]
        for patient in sorted(snapshot.patients, key=lambda p: (-p.wait_hours, p.id)):
            self.queues[patient.class_index].append(patient)
        self.next_in = [0] * num_classes
        self.lengths = np.array([len(queue) for queue in self.queues], dtype=np.int64)
        self.head_waits = np.array(
            [queue[0].wait_hours if queue else 0.0 for queue in self.queues], dtype=np.float64
        )
        self.free = np.array(snapshot.free, dtype=np.int64)
        self.capacity = np.array(snapshot.capacity, dtype=np.int64)
        self.hour = HOURS_PER_DAY * snapshot.day_of_week + snapshot.hour_of_day
        self.observations = np.zeros((1, compiled.observation_size), dtype=np.float32)
        self.masks = np.zeros((1, compiled.num_actions), dtype=np.bool_)

    def observe(self) -> None:
        """Write the observation of what is left, with the simulator's own function."""
        write_features(
            self.lengths,
            self.head_waits,
            self.free,
            self.capacity,
            self.compiled.capacity,
            self.hour,
            self.observations,
            0,
        )

    def take(self, k: int) -> WaitingPatient:
        """Take the first patient of class ``k`` out of the room; units are not touched."""
        queue, position = self.queues[k], self.next_in[k]
        self.next_in[k] = position + 1
        self.lengths[k] -= 1
        following = position + 1
        self.head_waits[k] = queue[following].wait_hours if following < len(queue) else 0.0
        return queue[position]

    def start(self, activity: int) -> WaitingPatient:
        """Start an activity: its units are taken; those on which the patient boarded come free."""
        patient = self.take(int(self.compiled.activity_class[activity]))
        self.free -= self.compiled.activity_needs[activity]
        if patient.held:
            self.free += np.array(patient.held, dtype=np.int64)
        return patient

    def first(self, k: int) -> WaitingPatient:
        """Return the first patient of class ``k``, who is there."""
        return self.queues[k][self.next_in[k]]

    def best(self, probabilities: Float32) -> int:
        """Return the most probable action; ties go to the longest wait, then to the least id."""
        most = int(probabilities.argmax())
        ties = np.flatnonzero(probabilities == probabilities[most])
        if len(ties) == 1:
            return most
        of_class = self.compiled.activity_class
        starts = [int(a) for a in ties if a < len(of_class) and self.lengths[of_class[a]] > 0]
        if not starts:
            return most
        firsts = {a: self.first(int(of_class[a])) for a in starts}
        return min(starts, key=lambda a: (-firsts[a].wait_hours, firsts[a].id, a))


def recommend(
    policy: ServingPolicy,
    compiled: CompiledScenario,
    snapshot: Snapshot,
    *,
    max_assignments: int | None = None,
    rng: np.random.Generator | None = None,
) -> Recommendation:
    """Ask a policy whom to start, again and again, until it holds or nothing more fits.

    Each turn writes the observation of what is left, masks what does not fit, chooses, and takes
    the patient and all his needs out: the turns that the simulator takes from the same state.

    Args:
        policy: gives probabilities.
        compiled: the scenario that the policy was trained on.
        snapshot: the hospital now.
        max_assignments: stop after so many; None for no limit.
        rng: draws each action from the policy's probabilities, as validation and reports do; the
            same state of it gives the same answer. None takes the most probable action.
    """
    room = _Room(compiled, snapshot)
    assignments: list[Assignment] = []
    ranking: list[tuple[WaitingPatient, float]] = []
    actions: list[int] = []
    hold: Hold | None = None
    stop = _reason_to_stop(room, 0, max_assignments)
    probabilities = _ask(policy, room)
    first = _by_label(compiled, probabilities)
    while stop is None:
        action = room.best(probabilities) if rng is None else _draw(probabilities, rng)
        actions.append(action)
        if action == compiled.hold_action:
            stop, hold = "hold", _explain_hold(compiled, room, probabilities)
            break
        patient = room.start(action)
        chance = float(probabilities[action])
        ranking.append((patient, chance))
        assignments.append(_assign(compiled, patient, action, len(assignments) + 1, chance))
        stop = _reason_to_stop(room, len(assignments), max_assignments)
        if stop is None:
            probabilities = _ask(policy, room)
    ranking += _rank_rest(policy, room)
    return Recommendation(
        assignments=tuple(assignments),
        ranking=_describe(compiled, snapshot, ranking, len(assignments)),
        hold=hold,
        stop=stop,
        actions=tuple(actions),
        probabilities=first,
    )


def _by_label(compiled: CompiledScenario, probabilities: Float32) -> dict[str, float]:
    return dict(zip(compiled.action_labels, map(float, probabilities), strict=True))


def _reason_to_stop(room: _Room, assigned: int, limit: int | None) -> Stop | None:
    """Write the mask of what fits; say why to stop before asking, None to go on."""
    compiled = room.compiled
    needs, first = compiled.activity_needs, compiled.classes.first_activity
    write_mask(room.lengths, room.free[None, :], needs, first, compiled.hold, room.masks, 0)
    if not room.lengths.any():
        return "nobody_waits"
    if not room.masks[0, : compiled.hold_action].any():
        return "nothing_fits"
    if limit is not None and assigned >= limit:
        return "max_assignments"
    return None


def _ask(policy: ServingPolicy, room: _Room) -> Float32:
    """Return the policy's probabilities [A] under the mask that stands in the room."""
    room.observe()
    answer: Float32 = policy.probabilities(room.observations, room.masks)[0]
    return answer


def _draw(probabilities: Float32, rng: np.random.Generator) -> int:
    """Draw an action by inverting the distribution function; one of probability 0 never comes."""
    reached = probabilities.astype(np.float64).cumsum()
    return int(np.searchsorted(reached, rng.random() * reached[-1], side="right"))


def _rank_rest(policy: ServingPolicy, room: _Room) -> list[tuple[WaitingPatient, float]]:
    """Order everybody who is left as if room for any one of them came free; HOLD is masked.

    The policy is shown so many free units, because it never met a choice without any. Everybody
    is ranked on the first choice of his care.
    """
    ranked: list[tuple[WaitingPatient, float]] = []
    own = room.compiled.classes.first_activity[:-1]
    room.masks[:] = False
    free = room.free.copy()
    while (waiting := np.flatnonzero(room.lengths)).size:
        if waiting.size == 1:
            # One class is left: its patients follow each other with probability 1.
            k = int(waiting[0])
            ranked += [(room.take(k), 1.0) for _ in range(int(room.lengths[k]))]
            break
        room.masks[0, own] = room.lengths > 0
        room.free = np.maximum(free, room.compiled.needs[waiting].max(axis=0))
        probabilities = _ask(policy, room)
        activity = room.best(probabilities)
        patient = room.take(int(room.compiled.activity_class[activity]))
        ranked.append((patient, float(probabilities[activity])))
    return ranked


def _assign(
    compiled: CompiledScenario, patient: WaitingPatient, activity: int, rank: int, chance: float
) -> Assignment:
    needs = compiled.activity_needs[activity]
    return Assignment(
        patient_id=patient.id,
        class_label=compiled.class_labels[patient.class_index],
        rank=rank,
        probability=chance,
        wait_hours=patient.wait_hours,
        needs={
            name: int(units)
            for name, units in zip(compiled.pool_names, needs, strict=True)
            if units > 0
        },
        action_label=compiled.action_labels[activity],
    )


def _explain_hold(compiled: CompiledScenario, room: _Room, probabilities: Float32) -> Hold:
    """Say in words what holding was chosen over."""
    starts = np.where(room.masks[0, :-1], probabilities[:-1], -1.0)
    rival = int(starts.argmax())
    patient = room.first(int(compiled.activity_class[rival]))
    chance = float(probabilities[compiled.hold_action])
    free = {name: int(units) for name, units in zip(compiled.pool_names, room.free, strict=True)}
    kept = ", ".join(f"{units} of {name}" for name, units in free.items())
    minutes = round(60 * patient.wait_hours)
    return Hold(
        free=free,
        reason=(
            f"keeping {kept} free (probability {chance:.2f}) was chosen over starting "
            f"{compiled.action_labels[rival]}, waiting {minutes} min "
            f"(probability {float(probabilities[rival]):.2f})"
        ),
        probability=chance,
        review_after_seconds=round(3600 * compiled.review_hours),
    )


def _describe(
    compiled: CompiledScenario,
    snapshot: Snapshot,
    ranking: list[tuple[WaitingPatient, float]],
    num_assigned: int,
) -> tuple[RankedPatient, ...]:
    fits = np.zeros(compiled.num_classes, dtype=np.bool_)
    for needs, k in zip(compiled.activity_needs, compiled.activity_class, strict=True):
        fits[k] |= bool(np.all((needs == 0) | (needs <= np.array(snapshot.free))))
    targets = [None if hours == np.inf else float(hours) for hours in compiled.class_target_hours]
    return tuple(
        RankedPatient(
            patient_id=patient.id,
            class_label=compiled.class_labels[patient.class_index],
            rank=rank,
            score=score,
            wait_hours=patient.wait_hours,
            target_hours=targets[patient.class_index],
            feasible=bool(fits[patient.class_index]),
            assigned=rank <= num_assigned,
        )
        for rank, (patient, score) in enumerate(ranking, start=1)
    )
