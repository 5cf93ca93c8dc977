"""Learners of several seeds whose networks pass through every call together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grpo.models.parameters import Float32
from grpo.training.dense_network import make_memory, stack_networks
from grpo.training.fused_update import FusedLearner
from grpo.training.kernels.dense import evaluate
from grpo.training.update import ROWS_AT_ONCE, UpdateStats
from grpo.training.update_epochs import (
    Lesson,
    describe_update,
    run_actor_epochs,
    run_critic_epochs,
)


class LearnerStack:
    """S learners of one shape; what one computes does not depend on the others, to the bit.

    Args:
        learners: which; they go on as parts of the stack.
    """

    def __init__(self, learners: Sequence[FusedLearner]) -> None:
        self._shape = learners[0].shape
        self._actors = stack_networks([learner.actor for learner in learners])
        self._critics = stack_networks([learner.critic for learner in learners])
        self._memory = make_memory(self._shape)

    def compute_logits(self, observations: Float32, index_features: Float32 | None) -> Float32:
        """Return logits [S, B, A] of normalised observations [S, B, O]."""
        logits = np.empty((*observations.shape[:2], self._shape.num_actions), dtype=np.float32)
        layers, flats = self._actors.layers, self._actors.flats
        evaluate(layers, flats, observations, logits, self._memory.layers, ROWS_AT_ONCE)
        if index_features is not None:
            logits += flats[:, None, -self._shape.num_actions :] * index_features
        return logits

    def update(self, lesson: Lesson) -> list[UpdateStats]:
        """Run PPO's epochs by one thread, nearly all the time without the interpreter."""
        actors = run_actor_epochs(self._actors, lesson, self._memory)
        return describe_update(actors, run_critic_epochs(self._critics, lesson, self._memory))
