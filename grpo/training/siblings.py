"""Sibling environments: copies of one state that live through the same future, as a baseline."""

from __future__ import annotations

import numpy as np

from grpo.environments.vector import Branches, VectorEnvironment
from grpo.models.parameters import Float32
from grpo.objectives.siblings import find_sibling_advantages, subtract_baseline
from grpo.training.performance import PerformanceTracker
from grpo.training.rollout import Rollout


class Siblings:
    """Makes N environments N / K families of K siblings and compares the siblings.

    All siblings begin an iteration in the state of the first one. Whatever does not depend on
    decisions (who comes, when, how long he stays) is the same for all; they differ in the actions
    that they drew. What happened to the others from the same hour on is therefore a baseline that
    knows the future, and it does not depend on one's own action.

    Attributes:
        count: K.
    """

    def __init__(self, environment: VectorEnvironment, count: int) -> None:
        """Pair environments up.

        Args:
            environment: must be able to branch where K > 1.
            count: K >= 1, a divisor of N.

        Raises:
            TypeError: K > 1, and the environment cannot branch.
        """
        self.count = count
        self._branches: Branches | None = None
        if count > 1:
            if not isinstance(environment, Branches):
                raise TypeError(f"{type(environment).__name__} cannot be put into another's state")
            self._branches = environment

    def branch(self, tracker: PerformanceTracker) -> None:
        """Put all siblings into the state of the first, and let the tracker count from there."""
        if self._branches is not None:
            self._branches.branch(self.count)
            tracker.go_on()

    def centre(self, advantages: Float32, rollout: Rollout) -> Float32:
        """Return advantages [T, N] less what the siblings tell of the future, with mean 0."""
        centred = advantages - advantages.mean(dtype=np.float64)
        if self.count == 1:
            return np.asarray(centred)
        hours = rollout.elapsed.astype(np.float64)
        clocks = np.cumsum(hours, axis=0) - hours
        baseline, known = find_sibling_advantages(centred, clocks, self.count)
        compared = subtract_baseline(centred, baseline, known)
        return np.asarray(compared - compared.mean(dtype=np.float64))
