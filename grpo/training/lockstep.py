"""Several seeds of one training in lock step: one thread collects while another one learns.

Small networks on few environments spend most of their time between kernels. A batch of seeds
shares some of that time. What a seed learns does not depend on the others, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from grpo.training.fused_update import FusedLearner
from grpo.training.joint_collector import JointCollector, can_be_joined
from grpo.training.learner_stack import LearnerStack
from grpo.training.loop import TrainingLoop
from grpo.training.observer import IterationMetrics
from grpo.training.rollout import Rollout
from grpo.training.update_epochs import Lesson


class LockStep:
    """Training loops that differ in their seed only, stepped together.

    Args:
        loops: at least one; their environments and networks are views of shared arrays from now on,
            where they can be.
        turn: held while Python works, and given to others for the time of the updates, which
            need no interpreter.

    Raises:
        TypeError: a learner is not the hand-written one, which alone can be stacked.
    """

    def __init__(
        self,
        loops: Sequence[TrainingLoop],
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        learners = [loop.brain.learner for loop in loops]
        stackable = [learner for learner in learners if isinstance(learner, FusedLearner)]
        if len(stackable) < len(learners):
            raise TypeError("seeds can be batched on the device cpu only")
        self.loops, self._turn = loops, turn or nullcontext()
        self._learners = LearnerStack(stackable)
        joined = can_be_joined(loops)
        self._together = JointCollector(loops, self._learners) if joined else None

    def run_iteration(self, progress: float) -> list[IterationMetrics]:
        """Run one iteration of every loop; see ``TrainingLoop.run_iteration``.

        Raises:
            TrainingDiverged: a number of one of them is not finite.
        """
        with self._turn:
            for loop in self.loops:
                loop.begin_iteration()
            plans = [
                loop.plan_update(rollout, progress)
                for loop, rollout in zip(self.loops, self._collect(), strict=True)
            ]
            batches, orders = [plan.batch for plan in plans], [plan.order for plan in plans]
            lesson = Lesson.of(batches, orders, plans[0].settings)
        stats = self._learners.update(lesson)
        with self._turn:
            return [
                loop.finish_iteration(plan, own)
                for loop, plan, own in zip(self.loops, plans, stats, strict=True)
            ]

    def _collect(self) -> list[Rollout]:
        """Fill every loop's rollout, together where the environments can be joined."""
        if self._together is not None:
            return self._together.collect()
        return [loop.collector.collect(loop.brain.returns) for loop in self.loops]
