"""PPO's learners without autograd: a stack of seeds whose networks pass through calls together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from grpo.models.parameters import Float32, NetworkShape
from grpo.training.dense_network import CHUNK, DenseNetworks
from grpo.training.gradients import GradientWorker
from grpo.training.update import ROWS_AT_ONCE, Batch, UpdateSettings, UpdateStats
from grpo.training.update_program import Orders, UpdateProgram


class FusedLearners:
    """S learners whose networks pass through every call together.

    Attributes:
        shape: of each.
        count: S.
        actors: S networks.
        critics: S networks.
        workers: one for each thread, on the same networks.
    """

    def __init__(
        self, shape: NetworkShape, actors: DenseNetworks, critics: DenseNetworks, num_threads: int
    ) -> None:
        self.shape, self.count = shape, actors.count
        self.actors, self.critics = actors, critics
        self.workers = [GradientWorker(shape, actors, critics)]
        for _ in range(1, num_threads):
            replicas = actors.replicate(), critics.replicate()
            self.workers.append(GradientWorker(shape, *replicas))
        self._parts: dict[tuple[int, int], FusedLearners] = {}

    def compute_logits(
        self, observations: Float32, index_features: Float32 | None, thread: int = 0
    ) -> Float32:
        """Return logits [S, B, A] of normalised observations [S, B, O]."""
        logits = np.empty((*observations.shape[:2], self.shape.num_actions), dtype=np.float32)
        actors = self.workers[thread].actors
        actors.evaluate(observations, logits, ROWS_AT_ONCE)
        if index_features is not None:
            logits += actors.named["index.slope"][:, None] * index_features
        return logits

    def compute_values(self, inputs: Float32) -> Float32:
        """Return values [S, B, H] of the critic's inputs [S, B, O + X], by all threads."""
        values = np.empty((*inputs.shape[:2], self.shape.num_heads), dtype=np.float32)
        chunks = -(-inputs.shape[1] // CHUNK)
        middle = CHUNK * -(-chunks // len(self.workers))
        if middle >= inputs.shape[1]:
            self.critics.evaluate(inputs, values)
            return values
        first, second = slice(0, middle), slice(middle, None)
        with ThreadPoolExecutor(max_workers=1) as helper:
            other = self.workers[1].critics
            job = helper.submit(other.evaluate, inputs[:, second], values[:, second])
            self.critics.evaluate(inputs[:, first], values[:, first])
            job.result()
        return values

    def update(
        self,
        batch: Batch,
        orders: Orders,
        *,
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
        update_actor: bool = True,
    ) -> list[UpdateStats]:
        """Run PPO's epochs; an actor stops after an epoch beyond the target KL.

        Args:
            batch: the samples of all seeds, equally many of each.
            orders: rows of the batch.
            learning_rate: of this update.
            ent_coef: weight of the entropy.
            settings: the rest.
            update_actor: whether actors learn at all.
        """
        return UpdateProgram(
            batch,
            orders,
            self.count,
            learning_rate=learning_rate,
            ent_coef=ent_coef,
            settings=settings,
            update_actor=update_actor,
        ).run(self.workers)

    def part(self, start: int, stop: int) -> FusedLearners:
        """Return learners ``start`` to ``stop``; they share everything with this stack."""
        if (start, stop) == (0, self.count):
            return self
        if (start, stop) not in self._parts:
            self._parts[start, stop] = FusedLearners(
                self.shape, self.actors.part(start, stop), self.critics.part(start, stop), 1
            )
        return self._parts[start, stop]
