"""Several seeds of one training in lock step: their actors pass through every call together.

Small networks on few environments spend most of their time between kernels. A batch of seeds
shares some of that time. What a seed learns does not depend on the others, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from grpo.models.parameters import Float32
from grpo.training.dense_network import make_memory
from grpo.training.fused_update import FusedLearner
from grpo.training.kernels.dense import evaluate
from grpo.training.loop import TrainingLoop
from grpo.training.observer import IterationMetrics
from grpo.training.rollout import Rollout
from grpo.training.update import ROWS_AT_ONCE


class ActorStack:
    """The actors of several learners of one shape, their parameters in one array [S, P].

    Args:
        learners: which; they go on with their rows of the array.
    """

    def __init__(self, learners: Sequence[FusedLearner]) -> None:
        self._flats: Float32 = np.stack([learner.actor.flat for learner in learners])
        for learner, flat in zip(learners, self._flats, strict=True):
            learner.actor.move_to(flat)
        self._shape = learners[0].shape
        self._layers = learners[0].actor.kernel.layers
        self._memory = make_memory(self._shape)

    def compute_logits(self, observations: Float32, index_features: Float32 | None) -> Float32:
        """Return logits [S, B, A] of normalised observations [S, B, O]."""
        logits = np.empty((*observations.shape[:2], self._shape.num_actions), dtype=np.float32)
        memory = self._memory.layers
        evaluate(self._layers, self._flats, observations, logits, memory, ROWS_AT_ONCE)
        if index_features is not None:
            slopes = self._flats[:, None, -self._shape.num_actions :]
            logits += slopes * index_features
        return logits


class LockStep:
    """Training loops that differ in their seed only, stepped together.

    Args:
        loops: at least one; their learners share one array of actors from now on.
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
        self._actors = ActorStack(stackable)

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
        stats = [
            loop.brain.learner.update(plan.batch, plan.order, **plan.settings)
            for loop, plan in zip(self.loops, plans, strict=True)
        ]
        with self._turn:
            return [
                loop.finish_iteration(plan, own)
                for loop, plan, own in zip(self.loops, plans, stats, strict=True)
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
            logits = self._actors.compute_logits(
                observations, np.stack(features) if features else None
            )
            for collector, own, scale in zip(collectors, logits, scales, strict=True):
                collector.act(t, own, scale)
        return [
            collector.finish(scale) for collector, scale in zip(collectors, scales, strict=True)
        ]
