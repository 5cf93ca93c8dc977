"""Experience of several seeds, collected together: every call serves the environments of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grpo.environments.vector import Joins
from grpo.models.normalization import ObservationNormalizer
from grpo.models.parameters import Float32
from grpo.training.lane import Lane
from grpo.training.learner_stack import LearnerStack
from grpo.training.loop import TrainingLoop
from grpo.training.rollout import Rollout

COLLECTED = (
    "raw_observations",
    "observations",
    "index_features",
    "action_masks",
    "actions",
    "log_probs",
    "rewards",
    "discounts",
    "elapsed",
    "terminated",
    "truncated",
    "final_values",
    "groups",
)
"""Arrays of a rollout that are filled step by step."""


class StackedMoments:
    """The moments of the normalisers of S seeds.

    Attributes:
        mean: [S, O] float32.
        inverse_std: [S, O] float32.
    """

    def __init__(self, members: Sequence[ObservationNormalizer]) -> None:
        self._members = members
        self.refresh()

    def refresh(self) -> None:
        """Take over what the members have learned."""
        self.mean: Float32 = np.stack([member.mean for member in self._members])
        self.inverse_std: Float32 = np.stack([member.inverse_std for member in self._members])


def can_be_joined(loops: Sequence[TrainingLoop]) -> bool:
    """Say whether the loops' environments can be stepped together, and show critics no more."""
    return all(
        isinstance(loop.environment, Joins) and loop.collector.critic_view is None for loop in loops
    )


class JointCollector:
    """Steps the environments of several seeds as one, and fills the rollout of each.

    Args:
        loops: for which ``can_be_joined`` holds; their environments become views of one.
        learners: theirs.

    Raises:
        TypeError: the environments cannot be joined.
    """

    def __init__(self, loops: Sequence[TrainingLoop], learners: LearnerStack) -> None:
        self._loops, self._learners = loops, learners
        self._collectors = [loop.collector for loop in loops]
        first, *others = [loop.environment for loop in loops]
        if not isinstance(first, Joins):
            raise TypeError("these environments cannot be joined")
        environment, observations, masks = first.join(others)
        starts = range(0, environment.num_envs, first.num_envs)
        self._parts = [slice(start, start + first.num_envs) for start in starts]
        self._moments = StackedMoments([c.normalizer for c in self._collectors])
        like, everybody = self._collectors[0], slice(0, environment.num_envs)
        size = len(like.rollout.actions), environment, like.rollout.rewards.shape[-1]
        self._rollout = Rollout(*size, has_index=like.index is not None)
        self._lane = Lane(environment, self._rollout, everybody, self._moments, like.index, None)
        self._lane.see(observations, masks)
        for collector, part in zip(self._collectors, self._parts, strict=True):
            collector.see(observations[part], masks[part])

    def collect(self) -> list[Rollout]:
        """Fill every loop's rollout with the next T steps."""
        self._moments.refresh()
        shape = len(self._loops), self._parts[0].stop, -1
        uniforms = np.concatenate([collector.draw() for collector in self._collectors], axis=1)
        for t, drawn in enumerate(uniforms):
            observations, features = self._lane.observe(t)
            stacked = None if features is None else features.reshape(shape)
            logits = self._learners.compute_logits(observations.reshape(shape), stacked)
            transition, num_cut = self._lane.apply(t, logits.reshape(len(drawn), -1), drawn)
            if num_cut:
                self._value_cuts(t, transition.final_observations)
        return [self._hand_out(*pair) for pair in zip(self._loops, self._parts, strict=True)]

    def _value_cuts(self, t: int, observations: Float32) -> None:
        """Value the last observations [S N, O] of episodes that step t cut, each by its critic."""
        for loop, part in zip(self._loops, self._parts, strict=True):
            cut = self._rollout.truncated[t, part]
            final = loop.collector.normalizer(observations[part][cut])
            values = loop.brain.returns.restore(loop.brain.learner.compute_values(final))
            self._rollout.final_values[t, part][cut] = values

    def _hand_out(self, loop: TrainingLoop, part: slice) -> Rollout:
        """Copy a loop's part of what was collected, and value it."""
        collector = loop.collector
        for name in COLLECTED:
            target = getattr(collector.rollout, name)
            if target is not None:
                target[...] = getattr(self._rollout, name)[:, part]
        return collector.finish(loop.brain.returns)
