"""The observation and the mask: one definition, for the simulator and for live requests."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.physics.kernel import inlined, kernel

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

HOURS_PER_DAY = 24.0
HOURS_PER_WEEK = 168.0
LOG1P = np.log1p(np.arange(256, dtype=np.float64))


@inlined
def sine_of_turns(turns: float) -> float:
    """Return sin(2 pi turns), turns >= 0, by its series; the error is below 1e-9."""
    x = turns - math.floor(turns + 0.5)
    if x > 0.25:
        x = 0.5 - x
    elif x < -0.25:
        x = -0.5 - x
    x *= 2.0 * math.pi
    y = x * x
    series = 1.0 - y / 156.0
    series = 1.0 - y / 110.0 * series
    series = 1.0 - y / 72.0 * series
    series = 1.0 - y / 42.0 * series
    series = 1.0 - y / 20.0 * series
    return x * (1.0 - y / 6.0 * series)


@kernel
def write_features(
    lengths: Int64,
    head_waits: Float64,
    free: Int64,
    capacity: Int64,
    reference: Int64,
    hour: float,
    observations: Float32,
    row: int,
) -> None:
    """Write one observation.

    Order: by class log1p(patients waiting), by class log1p(longest wait in hours), by class 1 if
    somebody waits; by pool free / capacity, by pool capacity / reference; sine and cosine of the
    hour of the day; where the observation has two more columns, those of the hour of the week.
    Classes share one unit of time, so that waits compare across classes. In a shift that closes
    fewer than 0 units are free; that counts as 0.

    Args:
        lengths: [K] patients waiting.
        head_waits: [K] hours that the longest-waiting patient has waited, read where there is one.
        free: [P] free units.
        capacity: [P] units now.
        reference: [P] units in the scenario.
        hour: hour of the week in [0, 168), 0 is a Monday's midnight.
        observations: [N, O] float32, of which ``row`` is written.
        row: row to write.
    """
    num_classes, num_pools = lengths.shape[0], free.shape[0]
    for k in range(num_classes):
        waiting = lengths[k]
        if waiting > 0:
            many = waiting >= LOG1P.shape[0]
            observations[row, k] = math.log1p(waiting) if many else LOG1P[waiting]
            observations[row, num_classes + k] = math.log1p(head_waits[k])
            observations[row, 2 * num_classes + k] = 1.0
        else:
            observations[row, k] = 0.0
            observations[row, num_classes + k] = 0.0
            observations[row, 2 * num_classes + k] = 0.0
    first = 3 * num_classes
    for p in range(num_pools):
        some = capacity[p] > 0 and free[p] > 0
        observations[row, first + p] = free[p] / capacity[p] if some else 0.0
        observations[row, first + num_pools + p] = max(capacity[p], 0) / reference[p]
    last = first + 2 * num_pools
    turns = (hour % HOURS_PER_DAY) / HOURS_PER_DAY
    observations[row, last] = sine_of_turns(turns)
    observations[row, last + 1] = sine_of_turns(turns + 0.25)
    if observations.shape[1] > last + 2:
        turns = hour / HOURS_PER_WEEK
        observations[row, last + 2] = sine_of_turns(turns)
        observations[row, last + 3] = sine_of_turns(turns + 0.25)


@kernel
def write_mask(
    lengths: Int64,
    free: Int64,
    needs: Int64,
    activity_class: Int64,
    hold: bool,
    masks: Bool,
    row: int,
) -> None:
    """Write which actions are allowed: an activity with somebody waiting whose needs all fit, HOLD.

    HOLD is also allowed where nothing else is, so that at least one action always is.

    Args:
        lengths: [K] patients waiting.
        free: [P] free units.
        needs: [A, P] units that each activity takes.
        activity_class: [A] class of each activity.
        hold: whether HOLD is allowed where something else is.
        masks: [N, A + 1], of which ``row`` is written.
        row: row to write.
    """
    num_activities = needs.shape[0]
    some = False
    for a in range(num_activities):
        allowed = lengths[activity_class[a]] > 0
        if allowed:
            for p in range(free.shape[0]):
                if needs[a, p] > 0 and free[p] < needs[a, p]:
                    allowed = False
        masks[row, a] = allowed
        some = some or allowed
    masks[row, num_activities] = hold or not some
