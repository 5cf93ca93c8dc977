"""Labels of states: thresholds, lengths, variants, products of them, or a Python function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from numbers import Integral
from typing import Protocol

import numpy as np

from grpo.errors import InputError
from grpo.grouping.specs import (
    MAX_GROUPS,
    GroupSpec,
    NormGroups,
    ThresholdGroups,
    VariantGroups,
    list_leaves,
)
from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Float64

GroupFunction = Callable[[Float32, int], int]


class Labeller(Protocol):
    """Says which group states belong to.

    Attributes:
        is_declared: labels follow from the spec, the state and the copy alone, so that all
            labellers of a spec agree.
    """

    is_declared: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups by index; may grow, never shrinks nor changes order."""
        ...

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:
        """Return group indices [B] of states [B, O].

        Args:
            observations: [B, O] the states.
            episodes: [B] numbers of their episodes, from 0.
            copies: [B] which copy of the environment each is in; copy i is of variant i modulo
                the number of variants.
        """
        ...


class OneGroup:
    """Everybody belongs to one group."""

    names = ("all",)
    is_declared = True

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:  # noqa: ARG002
        """Return zeros [B]."""
        return np.zeros(len(observations), dtype=np.int64)


class ThresholdLabels:
    """One feature cut at edges: label i holds edges[i-1] <= x < edges[i]."""

    is_declared = True

    def __init__(self, spec: ThresholdGroups) -> None:
        """Take the declared edges."""
        self.names = tuple(spec.labels)
        self._feature = spec.feature
        self._edges = np.array(spec.edges)

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:  # noqa: ARG002
        """Return group indices [B]."""
        return _cut(observations[:, self._feature].astype(np.float64), self._edges)


class NormLabels:
    """Euclidean length of the state cut at declared edges."""

    is_declared = True

    def __init__(self, spec: NormGroups) -> None:
        """Take the declared edges."""
        self.names = tuple(spec.labels)
        self._edges = np.array(spec.edges)

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:  # noqa: ARG002
        """Return group indices [B]."""
        return _cut(_magnitudes(observations), self._edges)


class VariantLabels:
    """The variant of the environment, one factor of all combinations of variants.

    Args:
        names: labels of this factor's variants.
        stride: number of combinations of the factors after it.
    """

    is_declared = True

    def __init__(self, names: tuple[str, ...], stride: int = 1) -> None:
        self.names = names
        self._stride = stride

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:  # noqa: ARG002
        """Return group indices [B]."""
        return np.asarray(copies // self._stride % len(self.names), dtype=np.int64)


class ProductLabels:
    """Every combination of the groups of several labellers, the last one varying fastest."""

    def __init__(self, members: Sequence[Labeller]) -> None:
        """Join the names, which must be known from the start."""
        self._members = tuple(members)
        self.names = tuple(map("+".join, product(*(member.names for member in members))))
        self.is_declared = all(member.is_declared for member in members)

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:
        """Return group indices [B]."""
        labels = np.zeros(len(observations), dtype=np.int64)
        for member in self._members:
            labels *= len(member.names)
            labels += member.label(observations, episodes, copies)
        return labels


def make_labeller(spec: GroupSpec) -> Labeller:
    """Return the labeller of a spec of episode or state groups.

    Raises:
        InputError: at /grouping/kind, for attributes, which are no property of a state.
    """
    leaves = list_leaves(spec)
    members: list[Labeller] = []
    for n, leaf in enumerate(leaves):
        if isinstance(leaf, ThresholdGroups):
            members.append(ThresholdLabels(leaf))
        elif isinstance(leaf, NormGroups):
            members.append(NormLabels(leaf))
        elif isinstance(leaf, VariantGroups):
            later = [other for other in leaves[n + 1 :] if isinstance(other, VariantGroups)]
            names = tuple(variant.label for variant in leaf.variants)
            members.append(VariantLabels(names, math.prod(len(o.variants) for o in later)))
        else:
            raise InputError.single(
                "/grouping/kind",
                "a state has no attributes",
                given=leaf.kind,
                allowed="threshold, norm, variant, product",
            )
    return members[0] if len(members) == 1 else ProductLabels(members)


class MagnitudeLabels:
    """Euclidean length of the state, cut at the terciles of sampled states."""

    names = ("low magnitude", "middle magnitude", "high magnitude")
    is_declared = False

    def __init__(self, sample: Float32) -> None:
        """Measure the terciles of sampled states [B, O]."""
        self._edges = np.quantile(_magnitudes(sample), [1 / 3, 2 / 3])

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:  # noqa: ARG002
        """Return group indices [B]: 0 below the first tercile, 2 from the second on."""
        return _cut(_magnitudes(observations), self._edges)


def _cut(values: Float64, edges: Float64) -> Int64:
    """Return group indices [B] of values [B]: i where edges[i-1] <= value < edges[i]."""
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _magnitudes(observations: Float32) -> Float64:
    """Return lengths [B] of states [B, O]."""
    return np.asarray(np.linalg.norm(observations.astype(np.float64), axis=1))


class FunctionLabels:
    """Labels of a Python function ``f(state, episode) -> int``, learned as they appear.

    The function is called with one state [O] float32 and the number of its episode from 0. Its
    labels must be integers in 0..63; in reports they go by their number.
    """

    is_declared = False

    def __init__(self, function: GroupFunction) -> None:
        """Know no label yet."""
        self._function = function
        self._index: dict[int, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Labels in the order of their first appearance."""
        return tuple(map(str, self._index))

    def label(self, observations: Float32, episodes: Int64, copies: Int64) -> Int64:  # noqa: ARG002
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
