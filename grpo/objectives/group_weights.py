"""From the groups' performance to the weights that the policy gradient puts on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError

Float64 = NDArray[np.float64]

WEIGHT_CAP = 0.95
"""Largest w used by default: at w = 1 groups above the worst are not held up by anything."""

MIN_TOTAL_WEIGHT = 0.02
"""Sum of the weights that groups keep whatever their performance, so that none is forgotten."""


class RobustMethod(Protocol):
    """How the mean and the groups' performance make one objective F."""

    @property
    def weight(self) -> float:
        """Return w in [0, 1] of ``F = (1 − w) J_0 + w · robust(J)``."""
        ...

    def weights(self, returns: Float64, errors: Float64, scale: float) -> Float64:
        """Return q [G] for returns J [G], their standard errors [G] and a fixed scale S > 0."""
        ...

    def value(self, mean_return: float, returns: Float64) -> float:
        """Return F, larger is better."""
        ...


@dataclass(frozen=True)
class SoftMin:
    """``q = (1 − G q_min) softmax(−(J − mean J) / τ) + q_min``: weights without memory.

    Optimises ``(1 − w) J_0 + w softmin_τ(J)``, which tends to the worst group as τ falls. The
    effective τ never falls below two standard errors of J, else q would follow noise. Fails
    where τ is large against the disparity (all groups weigh alike) or where J is so noisy that
    this floor rules. Adding a constant to all J changes nothing.

    Attributes:
        weight: w in [0, 1].
        temperature: τ > 0 in units of the scale S.

    Source: log-sum-exp smoothing of the minimum, Nesterov 2005, Smooth minimization of non-smooth
        functions, equation 4.8; the objective is that of distributionally robust optimisation.
    """

    weight: float
    temperature: float

    def weights(self, returns: Float64, errors: Float64, scale: float) -> Float64:
        """Return q [G], sum 1; see the class for the equation."""
        num_groups = len(returns)
        if num_groups == 0:
            return np.zeros(0)
        noise = 2.0 * float(np.max(errors)) if np.all(np.isfinite(errors)) else np.inf
        tau = max(self.temperature * scale, noise)
        if not np.isfinite(tau):
            return np.full(num_groups, 1.0 / num_groups)
        exponents = -(returns - returns.mean()) / tau
        soft = np.exp(exponents - exponents.max())
        soft /= soft.sum()
        return np.asarray((1 - MIN_TOTAL_WEIGHT) * soft + MIN_TOTAL_WEIGHT / num_groups)

    def value(self, mean_return: float, returns: Float64) -> float:
        """Return ``(1 − w) J_0 + w min J``: the limit τ → 0, which is what is judged."""
        return robust_objective(mean_return, returns, self.weight)


@dataclass(frozen=True)
class Mean:
    """The mean over everybody: plain PPO. Blind to any disparity, which is its failure mode."""

    weight: float = 0.0

    def weights(self, returns: Float64, errors: Float64, scale: float) -> Float64:  # noqa: ARG002
        """Return zeros [G]: no group gets anything on top of its share of the mean."""
        return np.zeros(len(returns))

    def value(self, mean_return: float, returns: Float64) -> float:  # noqa: ARG002
        """Return J_0."""
        return mean_return


def robust_objective(mean_return: float, returns: Float64, weight: float) -> float:
    """Return ``F = (1 − w) J_0 + w min J``; without groups, or at w = 0, J_0.

    Args:
        mean_return: J_0.
        returns: [G] float64, J_g.
        weight: w in [0, 1].

    Source: the mixture of mean and worst case of Ben-Tal et al. 2013, Robust solutions of
        optimization problems affected by uncertain probabilities, for the full simplex.
    """
    if weight == 0 or len(returns) == 0:
        return float(mean_return)
    return float((1 - weight) * mean_return + weight * np.min(returns))


def make_method(
    name: str, weight: float, *, temperature: float = 0.02, cap: float = WEIGHT_CAP
) -> RobustMethod:
    """Build the method that turns returns [G] into weights [G], by name and with w capped.

    Args:
        name: ``softmin`` or ``mean``.
        weight: w in [0, 1]; ``mean`` takes none but 0.
        temperature: τ of the soft minimum, in units of the scale.
        cap: largest w that is used; 1 lifts it, for problems whose optimum at w = 1 is known.

    Raises:
        InputError: an unknown name, a weight outside [0, 1] or one that ``mean`` cannot take.

    Source: see the classes.
    """
    if not 0 <= weight <= 1:
        raise InputError.single(
            "/algorithm/group_robustness_weight",
            "outside its range",
            given=weight,
            allowed="[0, 1]",
        )
    if name == "softmin":
        return SoftMin(min(weight, cap), temperature)
    if name != "mean":
        raise InputError.single(
            "/algorithm/method", "unknown method", given=name, allowed="softmin, mean"
        )
    if weight != 0:
        raise InputError.single(
            "/algorithm/group_robustness_weight",
            "method 'mean' takes none",
            given=weight,
            allowed="0",
        )
    return Mean()
