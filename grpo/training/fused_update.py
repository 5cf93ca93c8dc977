"""The learner without autograd: networks, losses and optimiser as kernels, on one or two threads.

Actor and critic share nothing, so each makes all its epochs in one call, or a few, that needs no
interpreter: a thread each where two are given, and the same bits by one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np

from grpo.models.parameters import Float32, NetworkShape
from grpo.tensors import Tensors, join_tensors, select_tensors
from grpo.training.dense_network import CHUNK, DenseNetwork, make_memory
from grpo.training.update import (
    ROWS_AT_ONCE,
    Batch,
    MinibatchOrder,
    UpdateArguments,
    UpdateSettings,
    UpdateStats,
)
from grpo.training.update_epochs import (
    Lesson,
    describe_update,
    run_actor_epochs,
    run_critic_epochs,
)

Own = TypeVar("Own")
Other = TypeVar("Other")

WORTH_SHARING = 10_000_000
"""Rows times parameters of one network from which a second thread takes part: a tenth of a
millisecond's work, which is how long a thread takes to wake up."""
PASSES = 4
"""What learning from a row costs, in forward passes."""


class FusedLearner:
    """The learner without autograd; see ``Learner``.

    Attributes:
        shape: of the networks.
        num_threads: 1 or 2; how many may compute logits at the same time, each by its number.
        actor, critic: the networks.
    """

    def __init__(
        self, shape: NetworkShape, actor: Float32, critic: Float32, *, num_threads: int = 1
    ) -> None:
        """Copy the two vectors; two threads share the work, and no bit depends on that."""
        self.shape, self.num_threads = shape, num_threads
        self.actor = DenseNetwork(shape.actor_entries, actor)
        self.critic = DenseNetwork(shape.critic_entries, critic)
        self._memories = make_memory(shape), make_memory(shape)
        self._helper = ThreadPoolExecutor(max_workers=1)  # starts its thread when first needed

    @property
    def actor_parameters(self) -> Float32:
        """[P] float32, a view."""
        return self.actor.flat

    @property
    def critic_parameters(self) -> Float32:
        """[Q] float32, a view."""
        return self.critic.flat

    def compute_logits(
        self, observations: Float32, index_features: Float32 | None, thread: int = 0
    ) -> Float32:
        """Return logits [B, A]."""
        logits = np.empty((len(observations), self.shape.num_actions), dtype=np.float32)
        self.actor.evaluate(observations, logits, self._memories[thread], ROWS_AT_ONCE)
        if index_features is not None:
            logits += self.actor.named["index.slope"] * index_features
        return logits

    def compute_values(self, inputs: Float32, thread: int | None = None) -> Float32:
        """Return values [B, H]."""
        rows, critic = len(inputs), self.critic
        values = np.empty((rows, self.shape.num_heads), dtype=np.float32)
        if thread is not None:
            critic.evaluate(inputs, values, self._memories[thread], CHUNK)
            return values
        shared = self._is_worth_sharing(rows)
        middle = CHUNK * -(-rows // (2 * CHUNK)) if shared else rows
        own, other = (inputs[:middle], values[:middle]), (inputs[middle:], values[middle:])
        first, second = self._memories
        self._run_both(
            lambda: critic.evaluate(*own, first, CHUNK),
            lambda: critic.evaluate(*other, second, CHUNK),
            shared=shared,
        )
        return values

    def _is_worth_sharing(self, rows: int) -> bool:
        """Say whether a second thread is there, and so many forward passes are worth it."""
        return self.num_threads > 1 and rows * len(self.actor.flat) >= WORTH_SHARING

    def _run_both(
        self, own: Callable[[], Own], other: Callable[[], Other], *, shared: bool
    ) -> tuple[Own, Other]:
        """Run two functions, at the same time if the work is shared; return what they return."""
        if not shared:
            return own(), other()
        job = self._helper.submit(other)
        try:
            found = own()
        finally:
            wait([job])  # it writes to what is ours
        return found, job.result()

    def save_state(self) -> Tensors:
        """Return both networks and their optimisers."""
        return join_tensors(actor=self.actor.save_state(), critic=self.critic.save_state())

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        self.actor.restore_state(select_tensors(tensors, "actor"))
        self.critic.restore_state(select_tensors(tensors, "critic"))

    def rescale_values(self, factor: Float32, shift: Float32) -> None:
        """Change the critic's last layer so that it returns ``factor · values + shift``."""
        last, named = len(self.shape.hidden_sizes), self.critic.named
        named[f"critic.{last}.weight"][...] *= factor
        bias = named[f"critic.{last}.bias"]
        bias[...] = bias * factor + shift

    def update(
        self,
        batch: Batch,
        order: MinibatchOrder,
        *,
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
        update_actor: bool = True,
    ) -> UpdateStats:
        """Run PPO's epochs; the actor stops after an epoch beyond the target KL."""
        arguments = UpdateArguments(
            learning_rate=learning_rate,
            ent_coef=ent_coef,
            settings=settings,
            update_actor=update_actor,
        )
        lesson, (first, second) = Lesson.of([batch], [order], arguments), self._memories
        (stats,) = describe_update(
            *self._run_both(
                lambda: run_actor_epochs(self.actor.kernel, lesson, first),
                lambda: run_critic_epochs(self.critic.kernel, lesson, second),
                shared=self._is_worth_sharing(PASSES * order.rows.size),
            )
        )
        return stats
