"""Who is started past whom: overtaking between groups that no urgency explains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.errors import ShapeError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

SIMULTANEOUS_HOURS = 1e-9


class Overtaking(NamedTuple):
    """Who overtook and who was overtaken.

    Attributes:
        jumped: [P] whether the patient's start overtook somebody; false for who was never started.
        overtaken: [P] whether somebody's start overtook the patient.
    """

    jumped: Bool
    overtaken: Bool


def find_overtaking(
    episode: Int64,
    group: Int64,
    acuity: Int64,
    arrival_hours: Float64,
    wait_hours: Float64,
    seen: Bool,
) -> Overtaking:
    """Find the starts that passed over a patient of another group who had the better claim.

    The start of j overtakes i when i came strictly earlier, was still waiting at that moment, is
    at least as urgent and belongs to another group:
    ``a_i < a_j, a_i + w_i > a_j + w_j, k_i <= k_j, g_i != g_j``, in one episode. Starts of one
    instant overtake nobody. It is counted whatever the reason, also where the place that became
    free did not suit i: small needs slipping past large ones is overtaking too.

    FCFS on one pool has none; neither has strict acuity that is first come, first served inside.

    Args:
        episode: [P] int, episodes are independent.
        group: [P] int.
        acuity: [P] int, 1 is the most urgent.
        arrival_hours: [P] finite, on the episode's clock.
        wait_hours: [P] >= 0, until seen, until leaving or until the record ends.
        seen: [P] whether care began.

    Raises:
        ShapeError: the columns differ in length.

    Source: Larson, Operations Research 35, 1987, pp. 897-899 (slips and skips in queues).
    """
    columns = (episode, group, acuity, arrival_hours, wait_hours, seen)
    if len({column.shape for column in columns}) != 1 or episode.ndim != 1:
        raise ShapeError(f"expected six columns [P], got {[column.shape for column in columns]}")
    jumped, overtaken = np.zeros(episode.size, np.bool_), np.zeros(episode.size, np.bool_)
    if episode.size == 0:
        return Overtaking(jumped, overtaken)
    # One clock on which a later episode lies wholly after an earlier one.
    arrival = arrival_hours - arrival_hours.min()
    day = float((arrival + wait_hours).max()) + 1.0
    arrival = arrival + day * (episode - episode.min())
    until = arrival + wait_hours
    for own in np.unique(group):
        for level in np.unique(acuity):
            mine = np.flatnonzero((group == own) & (acuity == level))
            claims = np.flatnonzero((group != own) & (acuity <= level))
            starts = mine[seen[mine]]
            jumped[starts] = _passes_earlier(arrival, until, starts, claims)
            rivals = np.flatnonzero((group != own) & (acuity >= level) & seen)
            overtaken[mine] = _is_passed_by_later(arrival, until, mine, rivals)
    return Overtaking(jumped, overtaken)


def _passes_earlier(arrival: Float64, until: Float64, starts: Int64, claims: Int64) -> Bool:
    """Say which starts left somebody waiting who had come earlier.

    The latest end of waiting among all who came earlier decides. Earlier episodes end before this
    one begins, so they never decide.
    """
    order = claims[np.argsort(arrival[claims], kind="stable")]
    latest = np.maximum.accumulate(np.append(-np.inf, until[order]))
    earlier = np.searchsorted(arrival[order], arrival[starts], side="left")
    return np.asarray(latest[earlier] > until[starts] + SIMULTANEOUS_HOURS)


def _is_passed_by_later(arrival: Float64, until: Float64, mine: Int64, rivals: Int64) -> Bool:
    """Say who was still waiting when somebody who had come later was started."""
    order = rivals[np.argsort(arrival[rivals], kind="stable")]
    soonest = np.minimum.accumulate(np.append(until[order], np.inf)[::-1])[::-1]
    later = np.searchsorted(arrival[order], arrival[mine], side="right")
    return np.asarray(soonest[later] < until[mine] - SIMULTANEOUS_HOURS)
