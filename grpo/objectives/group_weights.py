"""From the groups' performance to the weights that the policy gradient puts on them.

Every method is one small object behind ``RobustMethod``. What it remembers between iterations is
an array that its caller keeps, so that methods themselves stay pure functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

WEIGHT_CAP = 0.95
"""Largest w used by default: at w = 1 groups above the worst are not held up by anything."""

MIN_TOTAL_WEIGHT = 0.02
"""Sum of the weights that groups keep whatever their performance, so that none is forgotten."""


class Measured(NamedTuple):
    """How the groups fare, as far as a method needs to know.

    Attributes:
        utilities: [G] float64, U.
        errors: [G] float64, standard errors of U less the mean of U; infinite where unknown.
        scale: S > 0, what counts as a large difference of U.
        progress: share of the training that is behind, in [0, 1].
        groups: [G] int64, positions of these groups among all; some may never have been seen.
    """

    utilities: Float64
    errors: Float64
    scale: float
    progress: float
    groups: Int64


class Weighing(NamedTuple):
    """The gradient's coefficients: ``(1 − weight) A_0 + weight Σ_g group_weights_g A_g``.

    Attributes:
        weight: w in [0, 1].
        group_weights: [G] float64, q, summing to 1 (or all zero where w is 0).
    """

    weight: float
    group_weights: Float64


class RobustMethod(Protocol):
    """How the mean J_0 and the groups' utilities U make one objective F, and its gradient."""

    @property
    def uses_groups(self) -> bool:
        """Say whether the groups can ever weigh anything; without, training is plain PPO."""
        ...

    def update(self, memory: Float64, measured: Measured) -> Float64:
        """Return what to remember [G] after U [G] were measured; zeros are a fresh memory."""
        ...

    def weigh(self, measured: Measured, memory: Float64) -> Weighing:
        """Return w and q for what was measured and the memory [G] after it."""
        ...

    def value(self, mean_return: float, utilities: Float64) -> float:
        """Return F, larger is better; what the method maximises, in the units of J_0."""
        ...


@dataclass(frozen=True)
class _Mixture:
    """``F = (1 − w) J_0 + w R(U)`` with q = ∂R/∂U a function of the present U alone."""

    weight: float

    @property
    def uses_groups(self) -> bool:
        """Return whether w > 0."""
        return self.weight > 0

    def update(self, memory: Float64, measured: Measured) -> Float64:  # noqa: ARG002
        """Return the memory as it is: the present decides."""
        return memory

    def weigh(self, measured: Measured, memory: Float64) -> Weighing:  # noqa: ARG002
        """Return w and q [G]."""
        return Weighing(self.weight, self.weights(measured))

    def weights(self, measured: Measured) -> Float64:
        """Return q [G]."""
        raise NotImplementedError

    def robust_value(self, utilities: Float64) -> float:
        """Return R(U) for G >= 1 groups."""
        raise NotImplementedError

    def value(self, mean_return: float, utilities: Float64) -> float:
        """Return F; without groups, or at w = 0, J_0."""
        if self.weight == 0 or len(utilities) == 0:
            return float(mean_return)
        return float((1 - self.weight) * mean_return + self.weight * self.robust_value(utilities))


@dataclass(frozen=True)
class SoftMin(_Mixture):
    """``q = (1 − G q_min) softmax(−(U − mean U) / τ) + q_min``: weights without memory.

    Optimises ``(1 − w) J_0 + w softmin_τ(U)``, which tends to the worst group as τ falls. The
    effective τ never falls below two standard errors of U, else q would follow noise. Fails
    where τ is large against the disparity (all groups weigh alike) or where U is so noisy that
    this floor rules. Adding a constant to all U changes nothing.

    Attributes:
        weight: w in [0, 1].
        temperature: τ > 0 in units of the scale S, at the start.
        final: τ at the end, reached geometrically; None keeps it.

    Source: log-sum-exp smoothing of the minimum, Nesterov 2005, Smooth minimization of non-smooth
        functions, equation 4.8; the objective is that of distributionally robust optimisation.
    """

    temperature: float
    final: float | None = None

    def weights(self, measured: Measured) -> Float64:
        """Return q [G], sum 1; see the class for the equation."""
        utilities, errors = measured.utilities, measured.errors
        num_groups = len(utilities)
        if num_groups == 0:
            return np.zeros(0)
        noise = 2.0 * float(errors.max())
        tau = max(anneal(self.temperature, self.final, measured.progress) * measured.scale, noise)
        if not math.isfinite(noise) or not math.isfinite(tau):
            return np.full(num_groups, 1.0 / num_groups)
        soft = softmax(-(utilities - utilities.sum() / num_groups) / tau)
        return np.asarray((1 - MIN_TOTAL_WEIGHT) * soft + MIN_TOTAL_WEIGHT / num_groups)

    def robust_value(self, utilities: Float64) -> float:
        """Return the smallest U: the limit τ → 0, which is what is judged."""
        return float(utilities.min())


@dataclass(frozen=True)
class _Ranked(_Mixture):
    """``R(U) = Σ_r m_r U_(r)``: masses by rank from the worst; equal groups share theirs.

    Source: ordered weighted averages, Yager 1988, On ordered weighted averaging aggregation
        operators, definition 1.
    """

    def masses(self, num_groups: int) -> Float64:
        """Return [G] masses from the worst rank to the best, falling, sum 1."""
        raise NotImplementedError

    def weights(self, measured: Measured) -> Float64:
        """Return q [G]: the mass of each group's rank, the mean over ranks among equals."""
        utilities = measured.utilities
        if len(utilities) == 0:
            return np.zeros(0)
        _, level, counts = np.unique(utilities, return_inverse=True, return_counts=True)
        totals = np.add.reduceat(self.masses(len(utilities)), np.cumsum(counts) - counts)
        return np.asarray((totals / counts)[level], dtype=np.float64)

    def robust_value(self, utilities: Float64) -> float:
        """Return the average with masses by rank."""
        return float(self.masses(len(utilities)) @ np.sort(utilities))


@dataclass(frozen=True)
class Worst(_Ranked):
    """All weight on the worst group: the exact subgradient of ``(1 − w) J_0 + w min U``.

    Fails where the estimates of U are noisy or two groups are close: the weight then jumps from
    one to the other, and only averaging over iterations brings the policy to rest.

    Source: Wald 1945, Statistical decision functions which minimize the maximum risk.
    """

    def masses(self, num_groups: int) -> Float64:
        """Return 1 for the worst rank."""
        return np.asarray(np.arange(num_groups) == 0, dtype=np.float64)


@dataclass(frozen=True)
class CVaR(_Ranked):
    """The mean of the worst groups up to a mass alpha, every group of mass 1 / G.

    Optimises ``(1 − w) J_0 + w CVaR_alpha(U)``: more than one group is held up, and a group of
    a few outliers decides less than under ``worst``. With ``alpha <= 1 / G`` it is ``worst``; with
    alpha = 1 it is the unweighted mean of groups. Fails as ``worst`` does at the rank where
    alpha cuts.

    Attributes:
        weight: w in [0, 1].
        alpha: in (0, 1].

    Source: Rockafellar and Uryasev 2000, Optimization of conditional value-at-risk, equation 4.
    """

    alpha: float

    def masses(self, num_groups: int) -> Float64:
        """Return ``1 / (alpha G)`` from the worst rank on until the sum is 1."""
        each = 1.0 / (self.alpha * num_groups)
        left = 1.0 - each * np.arange(num_groups)
        return np.asarray(np.clip(left, 0.0, each), dtype=np.float64)


@dataclass(frozen=True)
class Gini(_Ranked):
    """The generalised Gini welfare: rank r from the worst weighs 2^-r.

    Optimises ``(1 − w) J_0 + w Σ_r 2^-r U_(r) / Σ_r 2^-r``: Pareto-safe, since no group weighs
    nothing, and it prefers any transfer from a better to a worse group. Fails as ``worst`` does
    where ranks change often, and holds up the worst group less than the others do.

    Source: Weymark 1981, Generalized Gini inequality indices; for policy gradients Siddique, Weng
        and Zimmer 2020, Learning fair policies in multi-objective deep reinforcement learning.
    """

    def masses(self, num_groups: int) -> Float64:
        """Return powers of one half, sum 1."""
        powers = 0.5 ** np.arange(num_groups)
        return np.asarray(powers / powers.sum(), dtype=np.float64)


@dataclass(frozen=True)
class Mean:
    """The mean over everybody: plain PPO. Blind to any disparity, which is its failure mode.

    Source: Schulman et al. 2017, Proximal policy optimization algorithms.
    """

    uses_groups = False

    def update(self, memory: Float64, measured: Measured) -> Float64:  # noqa: ARG002
        """Return the memory as it is."""
        return memory

    def weigh(self, measured: Measured, memory: Float64) -> Weighing:  # noqa: ARG002
        """Return w = 0 and zeros [G]: no group gets anything on top of its share of the mean."""
        return Weighing(0.0, np.zeros(len(measured.utilities)))

    def value(self, mean_return: float, utilities: Float64) -> float:  # noqa: ARG002
        """Return J_0."""
        return float(mean_return)


def anneal(first: float, last: float | None, progress: float) -> float:
    """Return what falls (or rises) geometrically from ``first`` to ``last`` [1] over a training.

    Args:
        first: > 0, at progress 0.
        last: > 0, at progress 1; None for ``first`` throughout.
        progress: in [0, 1].

    Source: geometric cooling, Kirkpatrick, Gelatt and Vecchi 1983, Optimization by simulated
        annealing.
    """
    return first if last is None else float(first * (last / first) ** progress)


def softmax(exponents: Float64) -> Float64:
    """Return ``exp(x) / Σ exp(x)`` [G] of finite x [G].

    Source: Boltzmann 1868; shifted by the largest x, which changes nothing.
    """
    powers = np.exp(exponents - exponents.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)
