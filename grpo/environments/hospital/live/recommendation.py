"""What a recommendation consists of: plain values, ready for a response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stop = Literal["hold", "nobody_waits", "nothing_fits", "max_assignments"]


@dataclass(frozen=True)
class Assignment:
    """A patient to start now.

    Attributes:
        patient_id: who.
        class_label: the patient's class.
        rank: 1 is started first.
        probability: the policy's probability of this action at its turn.
        wait_hours: how long the patient has waited.
        needs: units taken, by pool.
        action_label: the class, and which of its sets of units where it is not the first.
    """

    patient_id: str
    class_label: str
    rank: int
    probability: float
    wait_hours: float
    needs: dict[str, int]
    action_label: str


@dataclass(frozen=True)
class RankedPatient:
    """A patient's place in the order in which the policy would start everybody.

    Attributes:
        patient_id: who.
        class_label: the patient's class.
        rank: 1 is first.
        score: the policy's probability of this choice at its turn, HOLD left out.
        wait_hours: how long the patient has waited.
        target_hours: the target at that acuity, None where there is none.
        feasible: whether the needs fit what is free in the snapshot.
        assigned: whether the patient is among the assignments.
    """

    patient_id: str
    class_label: str
    rank: int
    score: float
    wait_hours: float
    target_hours: float | None
    feasible: bool
    assigned: bool


@dataclass(frozen=True)
class Hold:
    """Free capacity that the policy would rather keep.

    Attributes:
        free: free units by pool that are kept.
        reason: why, in words.
        probability: the policy's probability of holding.
        review_after_seconds: ask again after this time at the latest.
    """

    free: dict[str, int]
    reason: str
    probability: float
    review_after_seconds: int


@dataclass(frozen=True)
class Recommendation:
    """The answer to a snapshot.

    Attributes:
        assignments: patients to start now, in order.
        ranking: everybody waiting, in the order in which the policy would start them if capacity
            came free one by one and holding were not allowed.
        hold: set when the policy stopped in order to keep capacity.
        stop: why there are no more assignments.
        actions: the actions taken in turn, as the simulator would take them; ends with HOLD
            where ``stop`` is hold.
        probabilities: by action label, the policy's probabilities of the first choice.
    """

    assignments: tuple[Assignment, ...]
    ranking: tuple[RankedPatient, ...]
    hold: Hold | None
    stop: Stop
    actions: tuple[int, ...]
    probabilities: dict[str, float]
