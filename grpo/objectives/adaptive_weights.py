"""Methods whose weights are no function of present utilities and a fixed w alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grpo.objectives.group_weights import Float64, Measured, Weighing, softmax

LARGEST_RATIO = 20.0
"""Largest weight of a group under ``alpha_fair``, relative to that of the best group."""

LARGEST_MULTIPLIER = 20.0
"""Largest multiplier of a floor: what a unit of shortfall costs at most, in units of J_0."""

DAMPING = 20.0
"""Steps of a multiplier's memory that the present shortfall counts for."""


@dataclass(frozen=True)
class GroupDRO:
    """``q_g ← q_g exp(−η U_g / S)``, normalised: cumulative exponentiated-gradient weights.

    Optimises ``(1 − w) J_0 + w min U`` as a game against the weights. **Only the average over
    iterations converges**: the last iterate cycles around the optimum where that is a random
    policy (on the bandit T1, where .333 is exact, it swings between .01 and .32), since the weights
    remember when a group was badly off long after it is not. Offered because people look for it;
    prefer ``softmin``.

    Attributes:
        weight: w in [0, 1].
        step: η > 0.

    Source: Sagawa et al. 2020, Distributionally robust neural networks for group shifts, alg. 1.
    """

    weight: float
    step: float

    @property
    def uses_groups(self) -> bool:
        """Return whether w > 0."""
        return self.weight > 0

    def update(self, memory: Float64, measured: Measured) -> Float64:
        """Return log q [G] up to a constant, the largest 0."""
        utilities = measured.utilities
        logarithms = memory - self.step * (utilities - utilities.mean()) / measured.scale
        return np.asarray(logarithms - logarithms.max(), dtype=np.float64)

    def weigh(self, measured: Measured, memory: Float64) -> Weighing:  # noqa: ARG002
        """Return w and q [G] as remembered."""
        return Weighing(self.weight, softmax(memory) if len(memory) else np.zeros(0))

    def value(self, mean_return: float, utilities: Float64) -> float:
        """Return ``(1 − w) J_0 + w min U``."""
        if self.weight == 0 or len(utilities) == 0:
            return float(mean_return)
        return float((1 - self.weight) * mean_return + self.weight * np.min(utilities))


@dataclass(frozen=True)
class AlphaFair:
    """``q_g ∝ (U_g − floor)^−alpha``, at most 20 times that of the best group; takes no w.

    Optimises the alpha-fair welfare of the gains over a fixed floor: alpha 1 is Nash welfare
    (the product of gains), larger alpha goes towards the worst group, 0 is the unweighted mean of
    groups. Graded trade-offs, where the minimum jumps. Depends on the floor: adding a constant to
    all U changes q. Fails where groups are at or below the floor: there the ratio of 20 rules, and
    with all of them below it every group weighs alike.

    Attributes:
        alpha: >= 0.
        floor: the utility that counts as nothing, in units of U.

    Source: Mo and Walrand 2000, Fair end-to-end window-based congestion control, definition 2;
        the value is Atkinson's (1970, On the measurement of inequality) equally distributed
        equivalent, a monotone function of that welfare in units of U.
    """

    alpha: float
    floor: float
    uses_groups = True

    def update(self, memory: Float64, measured: Measured) -> Float64:  # noqa: ARG002
        """Return the memory as it is: the present decides."""
        return memory

    def weigh(self, measured: Measured, memory: Float64) -> Weighing:  # noqa: ARG002
        """Return w = 1 and q [G]: head 0 plays no part."""
        gains = np.maximum(measured.utilities - self.floor, 0.0)
        best = gains.max(initial=0.0)
        if best <= 0:
            count = len(gains)
            return Weighing(float(count > 0), np.full(count, 1.0 / max(count, 1)))
        least = best * LARGEST_RATIO ** (-1 / self.alpha) if self.alpha > 0 else best
        ratios = np.asarray((best / np.maximum(gains, least)) ** self.alpha, dtype=np.float64)
        return Weighing(1.0, ratios / ratios.sum())

    def value(self, mean_return: float, utilities: Float64) -> float:
        """Return the utility that, given to all groups alike, would be worth as much.

        With a group below the floor, which no gain elsewhere makes up for, it is that group's.
        """
        if len(utilities) == 0:
            return float(mean_return)
        gains = utilities - self.floor
        if gains.min() <= 0:
            return float(self.floor + gains.min())
        if self.alpha == 1:
            return float(self.floor + np.exp(np.log(gains).mean()))
        unit = gains.min() if self.alpha > 1 else gains.max()
        power = 1 - self.alpha
        return float(self.floor + unit * np.mean((gains / unit) ** power) ** (1 / power))


@dataclass(frozen=True)
class Floor:
    """``μ_g ← [μ_g + η (c_g − U_g) / S]_+``, capped: no group worse than c_g; takes no w.

    Maximises J_0 subject to ``U_g >= c_g`` by multipliers: the gradient is that of
    ``J_0 + Σ μ_g U_g``, scaled to coefficients that sum to 1. The present shortfall counts beside
    the remembered one, which lets multipliers come to rest instead of cycling. Fails where the
    floors cannot be met together: multipliers then stand at their cap of 20, the policy is
    the best for J_0 less 20 times the shortfalls, and what stayed unmet is reported.

    Utilities are given as slacks ``U_g − c_g``, infinite for a group without a floor.

    Attributes:
        step: η > 0.

    Source: Altman 1999, Constrained Markov decision processes, chapter 3; the damping is the
        proportional term of Stooke, Achiam and Abbeel 2020, Responsive safety in reinforcement
        learning by PID Lagrangian methods, algorithm 2.
    """

    step: float
    uses_groups = True

    def update(self, memory: Float64, measured: Measured) -> Float64:
        """Return the multipliers [G] after slacks [G] were measured."""
        return self._raise(memory, measured.utilities, self.step / measured.scale)

    def weigh(self, measured: Measured, memory: Float64) -> Weighing:
        """Return ``w = M / (1 + M)`` and ``q = μ / M``, M the sum of multipliers."""
        factor = DAMPING * self.step / measured.scale
        multipliers = self._raise(memory, measured.utilities, factor)
        total = float(multipliers.sum())
        if total == 0:
            return Weighing(0.0, np.zeros(len(multipliers)))
        return Weighing(total / (1 + total), multipliers / total)

    def value(self, mean_return: float, utilities: Float64) -> float:
        """Return J_0, less 20 times the sum of shortfalls: an exact penalty."""
        return float(mean_return - LARGEST_MULTIPLIER * np.maximum(-utilities, 0.0).sum())

    @staticmethod
    def _raise(multipliers: Float64, slacks: Float64, factor: float) -> Float64:
        return np.asarray(
            np.clip(multipliers - factor * slacks, 0.0, LARGEST_MULTIPLIER), dtype=np.float64
        )


@dataclass(frozen=True)
class OnlyGroup:
    """All weight on one group for good: what trains its specialist. Not offered by name.

    Attributes:
        index: of the group.

    Source: the linear case of the chain rule in docs/algorithm.md.
    """

    index: int
    uses_groups = True

    def update(self, memory: Float64, measured: Measured) -> Float64:  # noqa: ARG002
        """Return the memory as it is."""
        return memory

    def weigh(self, measured: Measured, memory: Float64) -> Weighing:  # noqa: ARG002
        """Return w = 1 and a one; before the group was ever seen, w = 0."""
        group_weights = (measured.groups == self.index).astype(np.float64)
        return Weighing(float(group_weights.sum()), group_weights)

    def value(self, mean_return: float, utilities: Float64) -> float:  # noqa: ARG002
        """Return J_0: who is chosen for a group is chosen by that group's own return."""
        return float(mean_return)
