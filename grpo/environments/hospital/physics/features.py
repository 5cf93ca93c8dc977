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
    series = 1.0 - y * (1.0 / 156.0)
    series = 1.0 - y * (1.0 / 110.0) * series
    series = 1.0 - y * (1.0 / 72.0) * series
    series = 1.0 - y * (1.0 / 42.0) * series
    series = 1.0 - y * (1.0 / 20.0) * series
    return x * (1.0 - y * (1.0 / 6.0) * series)


@inlined
def hour_of_week(hours: float) -> float:
    """Return hours, >= 0, from a Monday's midnight as an hour of the week in [0, 168); exact."""
    hour = hours - HOURS_PER_WEEK * math.floor(hours * (1.0 / HOURS_PER_WEEK))
    # The product may be rounded over a whole number.
    if hour < 0.0:
        hour += HOURS_PER_WEEK
    elif hour >= HOURS_PER_WEEK:
        hour -= HOURS_PER_WEEK
    return hour


@inlined
def write_class(
    observations: Float32, row: int, num_classes: int, k: int, waiting: int, hours: float
) -> None:
    """Write the features of class ``k``, in which somebody waits, the first for so many hours."""
    many = waiting >= LOG1P.shape[0]
    observations[row, k] = math.log1p(waiting) if many else LOG1P[waiting]
    observations[row, num_classes + k] = math.log1p(hours)
    observations[row, 2 * num_classes + k] = 1.0


@inlined
def write_pool(
    observations: Float32, row: int, column: int, num_pools: int, free: int, now: int, usual: int
) -> None:
    """Write the features of a pool in ``column`` and ``num_pools`` columns behind it."""
    some = now > 0 and free > 0
    observations[row, column] = free / now if some else 0.0
    observations[row, column + num_pools] = max(now, 0) / usual


@inlined
def write_time(observations: Float32, row: int, column: int, hour: float) -> None:
    """Write the features of the hour of the week from ``column`` on."""
    turns = hour * (1.0 / HOURS_PER_DAY)
    observations[row, column] = sine_of_turns(turns)
    observations[row, column + 1] = sine_of_turns(turns + 0.25)
    if observations.shape[1] > column + 2:
        turns = hour * (1.0 / HOURS_PER_WEEK)
        observations[row, column + 2] = sine_of_turns(turns)
        observations[row, column + 3] = sine_of_turns(turns + 0.25)


@inlined
def activity_fits(counts: Int64, first: int, needs: Int64, i: int, a: int) -> bool:
    """Whether all units that an activity takes are free at once.

    Args:
        counts: [N, .] with the free units by pool from column ``first`` on.
        first: see there.
        needs: [A, P] units that each activity takes.
        i: row of counts.
        a: which activity.
    """
    for p in range(needs.shape[1]):
        need = needs[a, p]
        # Free units are below 0 while a shift that ended still runs: who needs none may start.
        if need > 0 and need > counts[i, first + p]:
            return False
    return True


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
    fewer than 0 units are free; that counts as 0. ``observing.observe`` writes the same, from the
    same parts, out of a simulated hospital.

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
    for k in range(3 * num_classes):
        observations[row, k] = 0.0
    for k in range(num_classes):
        if lengths[k] > 0:
            write_class(observations, row, num_classes, k, lengths[k], head_waits[k])
    first = 3 * num_classes
    for p in range(num_pools):
        write_pool(observations, row, first + p, num_pools, free[p], capacity[p], reference[p])
    write_time(observations, row, first + 2 * num_pools, hour)


@kernel
def write_mask(
    lengths: Int64,
    free: Int64,
    needs: Int64,
    first_activity: Int64,
    hold: bool,
    masks: Bool,
    row: int,
) -> None:
    """Write which actions are allowed: an activity with somebody waiting whose needs all fit, HOLD.

    HOLD is also allowed where nothing else is, so that at least one action always is.
    ``observing.observe`` writes the same out of a simulated hospital.

    Args:
        lengths: [K] patients waiting.
        free: [1, P] free units.
        needs: [A, P] units that each activity takes.
        first_activity: [K + 1] activities of class k are first[k] .. first[k + 1] - 1.
        hold: whether HOLD is allowed where something else is.
        masks: [N, A + 1], of which ``row`` is written.
        row: row to write.
    """
    some = False
    for a in range(needs.shape[0]):
        masks[row, a] = False
    for k in range(lengths.shape[0]):
        if lengths[k] > 0:
            for a in range(first_activity[k], first_activity[k + 1]):
                allowed = activity_fits(free, 0, needs, 0, a)
                masks[row, a] = allowed
                some = some or allowed
    masks[row, needs.shape[0]] = hold or not some
