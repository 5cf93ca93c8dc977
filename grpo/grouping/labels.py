"""Labels of single states: thresholds, a Python function, or the magnitude of the state."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Protocol

import numpy as np

from grpo.errors import InputError
from grpo.grouping.specs import MAX_GROUPS, ThresholdGroups
from grpo.models.parameters import Float32, Int64

GroupFunction = Callable[[Float32, int], int]


class Labeller(Protocol):
    """Says which group states belong to."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups by index; may grow, never shrinks nor changes order."""
        ...

    def label(self, observations: Float32, episodes: Int64) -> Int64:
        """Return group indices [B] of states [B, O] in episodes numbered [B] from 0."""
        ...


class OneGroup:
    """Everybody belongs to one group."""

    names = ("all",)

    def label(self, observations: Float32, episodes: Int64) -> Int64:  # noqa: ARG002
        """Return zeros [B]."""
        return np.zeros(len(observations), dtype=np.int64)


class ThresholdLabels:
    """One feature cut at edges: label i holds edges[i-1] <= x < edges[i]."""

    def __init__(self, spec: ThresholdGroups) -> None:
        """Take the declared edges."""
        self.names = tuple(spec.labels)
        self._feature = spec.feature
        self._edges = np.array(spec.edges)

    def label(self, observations: Float32, episodes: Int64) -> Int64:  # noqa: ARG002
        """Return group indices [B]."""
        values = observations[:, self._feature].astype(np.float64)
        return np.searchsorted(self._edges, values, side="right").astype(np.int64)


class MagnitudeLabels:
    """Euclidean length of the state, cut at the terciles of sampled states."""

    names = ("low magnitude", "middle magnitude", "high magnitude")

    def __init__(self, sample: Float32) -> None:
        """Measure the terciles of sampled states [B, O]."""
        self._edges = np.quantile(_magnitudes(sample), [1 / 3, 2 / 3])

    def label(self, observations: Float32, episodes: Int64) -> Int64:  # noqa: ARG002
        """Return group indices [B]: 0 below the first tercile, 2 from the second on."""
        return np.searchsorted(self._edges, _magnitudes(observations), side="right").astype(
            np.int64
        )


def _magnitudes(observations: Float32) -> np.ndarray:
    """Return lengths [B] of states [B, O]."""
    return np.asarray(np.linalg.norm(observations.astype(np.float64), axis=1))


class FunctionLabels:
    """Labels of a Python function ``f(state, episode) -> int``, learned as they appear.

    The function is called with one state [O] float32 and the number of its episode from 0. Its
    labels must be integers in 0..63; in reports they go by their number.
    """

    def __init__(self, function: GroupFunction) -> None:
        """Know no label yet."""
        self._function = function
        self._index: dict[int, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Labels in the order of their first appearance."""
        return tuple(map(str, self._index))

    def label(self, observations: Float32, episodes: Int64) -> Int64:
        """Return group indices [B].

        Raises:
            InputError: the function returned anything but an integer in 0..63.
        """
        labels = np.empty(len(observations), dtype=np.int64)
        for i, (state, episode) in enumerate(zip(observations, episodes.tolist(), strict=True)):
            labels[i] = self._index_of(self._function(state.copy(), episode))
        return labels

    def _index_of(self, label: int) -> int:
        """Return the index of a label, a new one where it appears for the first time."""
        is_integer = isinstance(label, Integral) and not isinstance(label, bool)
        if not is_integer or not 0 <= int(label) < MAX_GROUPS:
            raise InputError.single(
                "/group_assignment_fn",
                "returned something that is no group",
                given=label,
                allowed=f"an integer in 0..{MAX_GROUPS - 1}",
            )
        return self._index.setdefault(int(label), len(self._index))
