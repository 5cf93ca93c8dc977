"""The objective F of a training: its method, what groups are measured against, and their floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from grpo.hyperparameters import OTHERS, Algorithm
from grpo.objectives.advantages import Float64
from grpo.objectives.baselines import GroupBaseline
from grpo.objectives.group_weights import WEIGHT_CAP, Mean, Measured, RobustMethod
from grpo.objectives.methods import make_method
from grpo.tensors import Tensors, take_tensor
from grpo.training.performance import Performance


class GroupWeights(NamedTuple):
    """What one iteration's performance means for the gradient.

    Attributes:
        weight: w of ``(1 − w) A_0 + w Σ_g q_g U'_g A_g``.
        shares: [G] float64, q, sum 1 (zeros where w is 0); 0 for a group never seen.
        coefficients: [G] float64, q U'.
    """

    weight: float
    shares: Float64
    coefficients: Float64


@dataclass(frozen=True)
class Objective:
    """F of everybody's and the groups' performance, and the weights of its gradient.

    Attributes:
        method: from utilities to weights and value.
        baseline: from performance to utilities.
        floors: least utility by label, ``*`` for the groups not named.
    """

    method: RobustMethod
    baseline: GroupBaseline = field(default_factory=GroupBaseline)
    floors: Mapping[str, float] = field(default_factory=dict)

    @property
    def uses_groups(self) -> bool:
        """Say whether groups can ever weigh anything; without, training is plain PPO."""
        return self.method.uses_groups

    def value(self, mean_return: float, group_returns: Mapping[str, float]) -> float:
        """Return F of J_0 and J_g by label; larger is better."""
        labels = tuple(group_returns)
        utilities, _ = self.transform(labels, np.array([*group_returns.values()], np.float64))
        return self.method.value(mean_return, utilities)

    def transform(self, labels: Sequence[str], returns: Float64) -> tuple[Float64, Float64]:
        """Return what the method sees of J [G], and its derivative [G].

        That is U, or where there are floors the slack of each group above its own.
        """
        utilities, slopes = self.baseline.transform(labels, returns)
        if not self.floors:
            return utilities, slopes
        rest = self.floors.get(OTHERS, -np.inf)
        least = np.array([self.floors.get(label, rest) for label in labels], np.float64)
        return utilities - least, slopes

    def find_unmet(self, group_returns: Mapping[str, float]) -> dict[str, float]:
        """Return by how much groups fall short of their floors; empty where all are met."""
        if not self.floors:
            return {}
        labels = tuple(group_returns)
        slacks, _ = self.transform(labels, np.array([*group_returns.values()], np.float64))
        return {label: float(-s) for label, s in zip(labels, slacks, strict=True) if s < 0}


def make_objective(
    algorithm: Algorithm,
    num_groups: int | None,
    *,
    baseline: GroupBaseline | None = None,
    weight_cap: float = WEIGHT_CAP,
) -> Objective:
    """Return F as the algorithm says; with one group there is nothing to be robust about.

    Args:
        algorithm: names method, w, parameters and floors.
        num_groups: None where groups are learned as they appear. With one, the method is the mean.
        baseline: measured, where the algorithm's ``group_baseline`` is not raw.
        weight_cap: largest w that is used.
    """
    method: RobustMethod = Mean()
    if num_groups != 1:
        method = make_method(
            algorithm.method,
            algorithm.group_robustness_weight,
            algorithm.method_parameters,
            cap=weight_cap,
        )
    return Objective(method, baseline or GroupBaseline(), algorithm.floors or {})


class GroupWeigher:
    """Follows the groups' performance and weighs them, remembering what the method remembers.

    Attributes:
        objective: F.
    """

    def __init__(self, objective: Objective) -> None:
        """Start with a fresh memory."""
        self.objective = objective
        self._memory: Float64 = np.zeros(0)

    def find_scale(self, scale: float) -> float:
        """Return S in units of utilities: a normalised utility has the range 1 by definition."""
        return 1.0 if self.objective.baseline.kind == "normalised" else scale

    def find_target_errors(
        self, labels: Sequence[str], temperature: float, scale: float
    ) -> Float64:
        """Return [G] errors of J that are small against the temperature: half of ``τ S / U'``."""
        _, slopes = self.objective.transform(labels, np.zeros(len(labels)))
        return np.asarray(0.5 * temperature * self.find_scale(scale) / slopes, dtype=np.float64)

    def weigh(
        self,
        labels: Sequence[str],
        performance: Performance,
        scale: float,
        progress: float = 1.0,
    ) -> GroupWeights:
        """Return the weights for this iteration; groups never seen get nothing and change nothing.

        Args:
            labels: [G], of all groups known so far.
            performance: J [G].
            scale: S in units of J.
            progress: share of the training that is behind.
        """
        count, places = len(labels), performance.seen.nonzero()[0]
        shares, coefficients = np.zeros(count), np.zeros(count)
        if len(self._memory) < count:
            self._memory = np.pad(self._memory, (0, count - len(self._memory)))
        if not len(places):
            return GroupWeights(0.0, shares, coefficients)
        present = [labels[place] for place in places.tolist()]
        utilities, slopes = self.objective.transform(present, performance.returns[places])
        method, unit = self.objective.method, self.find_scale(scale)
        errors = performance.errors[places] * slopes
        measured = Measured(utilities, errors, unit, progress, places)
        memory = method.update(self._memory[places], measured)
        weighed = method.weigh(measured, memory)
        self._memory[places] = memory
        shares[places] = weighed.group_weights
        coefficients[places] = weighed.group_weights * slopes
        return GroupWeights(weighed.weight, shares, coefficients)

    def save_state(self) -> Tensors:
        """Return the memory."""
        return {"memory": self._memory.copy()}

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: the memory is missing or of another kind.
        """
        self._memory = take_tensor(tensors, "memory", (None,), np.float64)


def describe_groups(
    objective: Objective, labels: Sequence[str], performance: Performance, weights: GroupWeights
) -> dict[str, Any]:
    """Return an iteration's metrics of everybody, of the groups seen so far, and of both."""
    seen, mean_return = performance.seen.tolist(), performance.mean_return
    present = list(compress(labels, seen))
    returns = list(compress(performance.returns.tolist(), seen))
    shares = compress(weights.shares.tolist(), seen)
    group_returns = dict(zip(present, returns, strict=True))
    worst, best = min(returns, default=mean_return), max(returns, default=mean_return)
    return {
        "mean_return": mean_return,
        "group_returns": group_returns,
        "group_weights": dict(zip(present, shares, strict=True)),
        "worst_group_return": worst,
        "return_gap": best - worst,
        "objective": objective.value(mean_return, group_returns),
    }
