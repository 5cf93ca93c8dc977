"""The observation and the mask: one definition, for the simulator and for live requests."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.kernel import kernel

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


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
    hour of the day. Classes share one unit of time, so that waits compare across classes.

    Args:
        lengths: [K] patients waiting.
        head_waits: [K] hours that the longest-waiting patient has waited, read where there is one.
        free: [P] free units.
        capacity: [P] units now.
        reference: [P] units in the scenario.
        hour: hour of the day in [0, 24).
        observations: [N, O] float32, of which ``row`` is written.
        row: row to write.
    """
    num_classes, num_pools = lengths.shape[0], free.shape[0]
    for k in range(num_classes):
        present = lengths[k] > 0
        observations[row, k] = math.log1p(lengths[k]) if present else 0.0
        observations[row, num_classes + k] = math.log1p(head_waits[k]) if present else 0.0
        observations[row, 2 * num_classes + k] = 1.0 if present else 0.0
    first = 3 * num_classes
    for p in range(num_pools):
        observations[row, first + p] = free[p] / capacity[p] if capacity[p] > 0 else 0.0
        observations[row, first + num_pools + p] = capacity[p] / reference[p]
    angle = 2.0 * math.pi * hour / 24.0
    observations[row, first + 2 * num_pools] = math.sin(angle)
    observations[row, first + 2 * num_pools + 1] = math.cos(angle)


@kernel
def write_mask(
    lengths: Int64, free: Int64, needs: Int64, hold: bool, masks: Bool, row: int
) -> None:
    """Write which actions are allowed: a class with somebody waiting whose needs all fit, and HOLD.

    HOLD is also allowed where nothing else is, so that at least one action always is.
    """
    num_classes = lengths.shape[0]
    some = False
    for k in range(num_classes):
        allowed = lengths[k] > 0
        if allowed:
            for p in range(free.shape[0]):
                if needs[k, p] > free[p]:
                    allowed = False
        masks[row, k] = allowed
        some = some or allowed
    masks[row, num_classes] = hold or not some
