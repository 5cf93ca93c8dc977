"""PPO's update with gradients written out by hand, without autograd, for a stack of seeds at once.

Actor and critic share no parameter, so each is a program of its own: they may run at the same time
on two threads and give the same bits as one after the other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from grpo.models.parameters import Float32, Int64, NetworkShape
from grpo.objectives.advantages import Float64
from grpo.training.dense_network import CHUNK, DenseNetworks, split_stack
from grpo.training.kernels import (
    mask_logits,
    squared_error_gradient,
    surrogate_gradient,
)
from grpo.training.update import Batch, UpdateSettings, UpdateStats

Orders = list[list[Int64]]
"""By epoch and minibatch: [S, B] rows of each of S seeds."""


class FusedLearners:
    """S learners whose networks pass through every call together.

    Attributes:
        shape: of each.
        count: S.
        actors: S networks.
        critics: S networks.
    """

    def __init__(
        self, shape: NetworkShape, actors: DenseNetworks, critics: DenseNetworks, num_threads: int
    ) -> None:
        self.shape, self.count = shape, actors.count
        self.actors, self.critics = actors, critics
        self._num_threads = num_threads
        self._powers: Float32 = np.empty((CHUNK, shape.num_actions), dtype=np.float32)
        self._parts: dict[tuple[int, int], FusedLearners] = {}

    def compute_logits(self, observations: Float32, index_features: Float32 | None) -> Float32:
        """Return logits [S, B, A] of normalised observations [S, B, O]."""
        logits = np.empty((*observations.shape[:2], self.shape.num_actions), dtype=np.float32)
        self.actors.evaluate(observations, logits)
        if index_features is not None:
            logits += self.actors.named["index.slope"][:, None] * index_features
        return logits

    def compute_values(self, observations: Float32) -> Float32:
        """Return values [S, B, H] of normalised observations [S, B, O]."""
        values = np.empty((*observations.shape[:2], self.shape.num_heads), dtype=np.float32)
        self.critics.evaluate(observations, values)
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
        actor_orders = orders if update_actor else []
        if self._num_threads > 1:
            with ThreadPoolExecutor(max_workers=1) as helper:
                critic = helper.submit(self._update_critics, batch, orders, learning_rate, settings)
                actor = self._update_actors(batch, actor_orders, learning_rate, ent_coef, settings)
                value_losses = critic.result()
        else:
            actor = self._update_actors(batch, actor_orders, learning_rate, ent_coef, settings)
            value_losses = self._update_critics(batch, orders, learning_rate, settings)
        statistics, epochs = actor
        return [
            UpdateStats(-surrogate, value_loss, entropy, kl, clipped, made)
            for (surrogate, entropy, kl, clipped), value_loss, made in zip(
                statistics.tolist(), value_losses.tolist(), epochs, strict=True
            )
        ]

    def _update_actors(
        self,
        batch: Batch,
        orders: Orders,
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
    ) -> tuple[Float64, list[int]]:
        """Return means of surrogate, entropy, KL and clipping over the last epoch, and epochs."""
        statistics, epochs = np.zeros((self.count, 4)), [0] * self.count
        active = list(range(self.count))
        for order in orders:
            statistics[active] = 0.0
            for rows in order:
                for start, stop in split_stack(active, min(rows.shape[1], CHUNK)):
                    part, factor = self.part(start, stop), 1.0 / rows.shape[1]
                    for column in range(0, rows.shape[1], CHUNK):
                        part.add_actor_gradient(
                            batch,
                            rows[start:stop, column : column + CHUNK],
                            settings.clip_coef,
                            ent_coef,
                            factor,
                            statistics[start:stop],
                        )
                    part.actors.step(learning_rate, settings.max_grad_norm)
            statistics[active] /= len(batch.actions) // self.count
            for member in active:
                epochs[member] += 1
            if settings.target_kl is not None:
                active = [s for s in active if statistics[s, 2] <= settings.target_kl]
        return statistics, epochs

    def part(self, start: int, stop: int) -> FusedLearners:
        """Return learners ``start`` to ``stop``; they share everything with this stack."""
        if (start, stop) == (0, self.count):
            return self
        if (start, stop) not in self._parts:
            self._parts[start, stop] = FusedLearners(
                self.shape, self.actors.part(start, stop), self.critics.part(start, stop), 1
            )
        return self._parts[start, stop]

    def add_actor_gradient(
        self,
        batch: Batch,
        rows: Int64,
        clip_coef: float,
        ent_coef: float,
        factor: float,
        statistics: Float64,
    ) -> None:
        """Add the gradient of the surrogate loss over rows [S, B] of each seed, B <= CHUNK.

        Args:
            batch: the samples of all seeds.
            rows: of the batch.
            clip_coef: of the surrogate.
            ent_coef: weight of the entropy.
            factor: 1 / size of a seed's minibatch.
            statistics: [S, 4], added to; see ``surrogate_gradient``.
        """
        logits = self.actors.forward(self.actors.gather(batch.observations, rows))
        features = batch.index_features
        if features is not None:
            features = np.take(features, rows, axis=0, mode="clip")
            logits += self.actors.named["index.slope"][:, None] * features
        flat, chunk = logits.reshape(-1, self.shape.num_actions), rows.reshape(-1)
        mask_logits(flat, chunk, batch.action_masks)
        surrogate_gradient(
            flat,
            np.exp(flat, out=self._powers[: len(chunk)]),
            chunk,
            batch.actions,
            batch.log_probs,
            batch.advantages,
            clip_coef,
            ent_coef,
            factor,
            statistics,
        )
        if features is not None:
            self.actors.named_gradient["index.slope"] += (logits * features).sum(axis=1)
        self.actors.backward(logits)

    def _update_critics(
        self, batch: Batch, orders: Orders, learning_rate: float, settings: UpdateSettings
    ) -> Float64:
        """Return the mean losses [S] over the last epoch."""
        statistics = np.zeros(self.count)
        for order in orders:
            statistics[...] = 0.0
            for rows in order:
                factor = settings.vf_coef / rows.shape[1]
                for start, stop in split_stack(range(self.count), min(rows.shape[1], CHUNK)):
                    critics = self.critics.part(start, stop)
                    for column in range(0, rows.shape[1], CHUNK):
                        chunk = rows[start:stop, column : column + CHUNK]
                        values = critics.forward(critics.gather(batch.observations, chunk))
                        squared_error_gradient(
                            values.reshape(-1, self.shape.num_heads),
                            chunk.reshape(-1),
                            batch.returns,
                            factor,
                            statistics[start:stop],
                        )
                        critics.backward(values)
                    critics.step(learning_rate, settings.max_grad_norm)
        return statistics / (len(batch.actions) // self.count)
