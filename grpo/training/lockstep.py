"""Several seeds of one training in lock step: their networks pass through every call together.

Small networks on few environments spend more time between matrix products than in them. A batch of
seeds shares that time. What a seed learns does not depend on the others, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from grpo.training.fused_update import FusedLearner, join_learners
from grpo.training.learner_stack import FusedLearners
from grpo.training.loop import TrainingLoop
from grpo.training.observer import IterationMetrics
from grpo.training.rollout import Rollout
from grpo.training.update import Batch
from grpo.training.update_plan import UpdatePlan
from grpo.training.update_program import Orders


class LockStep:
    """Training loops that differ in their seed only, stepped together.

    Args:
        loops: at least one; their learners become members of one stack.

    Raises:
        TypeError: a learner is not the hand-written one, which alone can be stacked.
    """

    def __init__(self, loops: Sequence[TrainingLoop]) -> None:
        self.loops = loops
        learners = [loop.brain.learner for loop in loops]
        stackable = [learner for learner in learners if isinstance(learner, FusedLearner)]
        if len(stackable) < len(learners):
            raise TypeError("seeds can be batched on the device cpu only")
        self._learners: FusedLearners = join_learners(stackable)

    def run_iteration(self, progress: float) -> list[IterationMetrics]:
        """Run one iteration of every loop; see ``TrainingLoop.run_iteration``.

        Raises:
            TrainingDiverged: a number of one of them is not finite.
        """
        for loop in self.loops:
            loop.begin_iteration()
        rollouts = self._collect()
        plans = [
            loop.plan_update(rollout, progress)
            for loop, rollout in zip(self.loops, rollouts, strict=True)
        ]
        batch, orders = join_plans(plans)
        stats = self._learners.update(batch, orders, **plans[0].settings)
        return [
            loop.finish_iteration(*pair)
            for loop, pair in zip(self.loops, zip(plans, stats, strict=True), strict=True)
        ]

    def _collect(self) -> list[Rollout]:
        """Fill every loop's rollout; logits of all seeds are computed in one pass per step."""
        collectors = [loop.collector for loop in self.loops]
        scales = [loop.brain.returns for loop in self.loops]
        for collector in collectors:
            collector.begin()
        for t in range(len(collectors[0].rollout.actions)):
            seen = [collector.observe(t) for collector in collectors]
            observations = np.stack([observations for observations, _ in seen])
            features = [features for _, features in seen if features is not None]
            logits = self._learners.compute_logits(
                observations, np.stack(features) if features else None
            )
            for collector, own, scale in zip(collectors, logits, scales, strict=True):
                collector.act(t, own, scale)
        return [
            collector.finish(scale) for collector, scale in zip(collectors, scales, strict=True)
        ]


def join_plans(plans: Sequence[UpdatePlan]) -> tuple[Batch, Orders]:
    """Return the samples of all plans one after the other, and rows of that batch by seed."""
    first = plans[0].batch
    if len(plans) == 1:
        return first, [[rows[None] for rows in order] for order in plans[0].orders]
    joined = replace(
        first,
        **{
            name: np.concatenate([getattr(plan.batch, name) for plan in plans])
            for name, array in vars(first).items()
            if array is not None
        },
    )
    starts = len(first.actions) * np.arange(len(plans))[:, None]
    orders = [
        [np.stack(rows) + starts for rows in zip(*epoch, strict=True)]
        for epoch in zip(*(plan.orders for plan in plans), strict=True)
    ]
    return joined, orders
