"""Changes of capacity: shifts that begin and end, and what surges bring."""

from __future__ import annotations

import math

from grpo.environments.hospital.compiling.parameters import (
    STEP_HOUR,
    STEP_POOL,
    STEP_UNITS,
    TRACK_END,
    TRACK_FIRST,
    TRACK_PERIOD,
    TRACK_START,
)
from grpo.environments.hospital.physics.kernel import internal
from grpo.environments.hospital.physics.state import FREE, NEXT_STEP, NOW, Float64, Int64

# Columns of State.tracks.
STEP, ROUND = 0, 1


@internal
def find_next_step(steps: Float64, tracks: Float64, places: Int64, i: int, w: int) -> float:
    """Return when the next change of track ``w`` is due; infinity after its last round."""
    row, period = places[i, w, STEP], tracks[w, TRACK_PERIOD]
    begins = tracks[w, TRACK_START]
    if row >= tracks[w, TRACK_END]:
        return math.inf
    if places[i, w, ROUND] > 0:
        begins += places[i, w, ROUND] * period
    return float(begins + steps[row, STEP_HOUR])


@internal
def change_capacity(
    steps: Float64, tracks: Float64, places: Int64, clock: Float64, counts: Int64, i: int
) -> None:
    """Make every change that is due by now, and set when the next one is.

    Units go from what is free: below 0 they are units in use that close as care ends.

    Args:
        steps: Parameters.steps.
        tracks: Parameters.tracks.
        places: State.tracks.
        clock: State.clock.
        counts: State.counts.
        i: which hospital.
    """
    num_pools = (counts.shape[1] - FREE) // 2
    following = math.inf
    for w in range(tracks.shape[0]):
        at = find_next_step(steps, tracks, places, i, w)
        while at <= clock[i, NOW]:
            row = places[i, w, STEP]
            p, units = int(steps[row, STEP_POOL]), int(steps[row, STEP_UNITS])
            counts[i, FREE + p] += units
            counts[i, FREE + num_pools + p] += units
            places[i, w, STEP] = row + 1
            if row + 1 >= tracks[w, TRACK_END] and tracks[w, TRACK_PERIOD] < math.inf:
                places[i, w, STEP] = int(tracks[w, TRACK_FIRST])
                places[i, w, ROUND] += 1
            at = find_next_step(steps, tracks, places, i, w)
        following = min(following, at)
    clock[i, NEXT_STEP] = following
