"""PPO's update with gradients written out by hand, without autograd.

Actor and critic share no parameter, so each is a program of its own: they may run at the same time
on two threads and give the same bits as one after the other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from grpo.models.parameters import Float32, Int64, NetworkShape, count_parameters
from grpo.objectives.advantages import Float64
from grpo.tensors import Tensors, join_tensors, select_tensors
from grpo.training.dense_network import CHUNK, DenseNetwork
from grpo.training.kernels import (
    mask_logits,
    sample_actions,
    squared_error_gradient,
    surrogate_gradient,
)
from grpo.training.update import Batch, UpdateSettings, UpdateStats


class FusedLearner:
    """The learner without autograd; see ``Learner``."""

    def __init__(
        self, shape: NetworkShape, actor: Float32, critic: Float32, *, num_threads: int = 1
    ) -> None:
        """Copy the two vectors; with two threads the critic learns beside the actor."""
        self.shape = shape
        self._actor = DenseNetwork(shape.actor_entries, actor)
        self._critic = DenseNetwork(shape.critic_entries, critic)
        self._num_threads = num_threads
        self._powers: Float32 = np.empty((CHUNK, shape.num_actions), dtype=np.float32)
        self._logits: Float32 = np.empty((0, shape.num_actions), dtype=np.float32)
        self._values: Float32 = np.empty((0, shape.num_heads), dtype=np.float32)

    @property
    def actor_parameters(self) -> Float32:
        """[P] float32, a view."""
        return self._actor.flat

    @property
    def critic_parameters(self) -> Float32:
        """[Q] float32, a view."""
        return self._critic.flat

    def compute_logits(self, observations: Float32, index_features: Float32 | None) -> Float32:
        """Return logits [B, A]; the next call reuses the memory."""
        if len(self._logits) != len(observations):
            self._logits = np.empty((len(observations), self.shape.num_actions), dtype=np.float32)
        self._actor.evaluate(observations, self._logits)
        if index_features is not None:
            self._logits += self._actor.named["index.slope"] * index_features
        return self._logits

    def compute_values(self, observations: Float32) -> Float32:
        """Return values [B, H]; the next call reuses the memory."""
        if len(self._values) != len(observations):
            self._values = np.empty((len(observations), self.shape.num_heads), dtype=np.float32)
        self._critic.evaluate(observations, self._values)
        return self._values

    def save_state(self) -> Tensors:
        """Return both networks and their optimisers."""
        return join_tensors(actor=self._actor.save_state(), critic=self._critic.save_state())

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        self._actor.restore_state(select_tensors(tensors, "actor"))
        self._critic.restore_state(select_tensors(tensors, "critic"))

    def rescale_values(self, factor: Float32, shift: Float32) -> None:
        """Change the critic's last layer so that it returns ``factor · values + shift``."""
        last = len(self.shape.hidden_sizes)
        self._critic.named[f"critic.{last}.weight"][...] *= factor
        bias = self._critic.named[f"critic.{last}.bias"]
        bias[...] = bias * factor + shift

    def update(
        self,
        batch: Batch,
        orders: list[list[Int64]],
        *,
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
        update_actor: bool = True,
    ) -> UpdateStats:
        """Run PPO's epochs; the actor stops after an epoch beyond the target KL."""
        actor_orders = orders if update_actor else []
        if self._num_threads > 1:
            with ThreadPoolExecutor(max_workers=1) as helper:
                critic = helper.submit(self._update_critic, batch, orders, learning_rate, settings)
                actor = self._update_actor(batch, actor_orders, learning_rate, ent_coef, settings)
                value_loss = critic.result()
        else:
            actor = self._update_actor(batch, actor_orders, learning_rate, ent_coef, settings)
            value_loss = self._update_critic(batch, orders, learning_rate, settings)
        (surrogate, entropy, kl, clipped), epochs = actor
        return UpdateStats(-surrogate, value_loss, entropy, kl, clipped, epochs)

    def _update_actor(
        self,
        batch: Batch,
        orders: list[list[Int64]],
        learning_rate: float,
        ent_coef: float,
        settings: UpdateSettings,
    ) -> tuple[tuple[float, float, float, float], int]:
        """Return means of surrogate, entropy, KL and clipping over the last epoch, and epochs."""
        statistics = np.zeros(4)
        epochs = 0
        for order in orders:
            statistics[...] = 0.0
            for rows in order:
                for start in range(0, len(rows), CHUNK):
                    chunk = rows[start : start + CHUNK]
                    self._add_actor_gradient(
                        batch, chunk, settings.clip_coef, ent_coef, 1.0 / len(rows), statistics
                    )
                self._actor.step(learning_rate, settings.max_grad_norm)
            epochs += 1
            statistics /= len(batch.actions)
            if settings.target_kl is not None and statistics[2] > settings.target_kl:
                break
        surrogate, entropy, kl, clipped = map(float, statistics)
        return (surrogate, entropy, kl, clipped), epochs

    def _add_actor_gradient(
        self,
        batch: Batch,
        chunk: Int64,
        clip_coef: float,
        ent_coef: float,
        factor: float,
        statistics: Float64,
    ) -> None:
        """Add the gradient of the surrogate loss over some rows."""
        logits = self._actor.forward(self._actor.gather(batch.observations, chunk))
        slope, slope_gradient = (
            named["index.slope"] for named in (self._actor.named, self._actor.named_gradient)
        )
        features = batch.index_features
        if features is not None:
            features = np.take(features, chunk, axis=0, mode="clip")
        if features is not None:
            logits += slope * features
        mask_logits(logits, chunk, batch.action_masks)
        surrogate_gradient(
            logits,
            np.exp(logits, out=self._powers[: len(chunk)]),
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
            slope_gradient += (logits * features).sum(axis=0)
        self._actor.backward(logits)

    def _update_critic(
        self,
        batch: Batch,
        orders: list[list[Int64]],
        learning_rate: float,
        settings: UpdateSettings,
    ) -> float:
        """Return the mean loss over the last epoch."""
        statistics = np.zeros(1)
        for order in orders:
            statistics[...] = 0.0
            for rows in order:
                factor = settings.vf_coef / len(rows)
                for start in range(0, len(rows), CHUNK):
                    chunk = rows[start : start + CHUNK]
                    inputs = self._critic.gather(batch.observations, chunk)
                    values = self._critic.forward(inputs)
                    squared_error_gradient(values, chunk, batch.returns, factor, statistics)
                    self._critic.backward(values)
                self._critic.step(learning_rate, settings.max_grad_norm)
        return float(statistics[0]) / len(batch.actions)


def warm() -> None:
    """Run every kernel of training once on a tiny case; fast where the cache is filled."""
    shape = NetworkShape(2, (2,), 2, 1)
    actor, critic = (
        np.zeros(count_parameters(entries), dtype=np.float32)
        for entries in (shape.actor_entries, shape.critic_entries)
    )
    learner = FusedLearner(shape, actor, critic)
    observations = np.zeros((4, 2), dtype=np.float32)
    masks = np.ones((4, 2), dtype=np.bool_)
    actions, log_probs = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.float32)
    sample_actions(
        learner.compute_logits(observations, observations), masks, np.zeros(4), actions, log_probs
    )
    batch = Batch(
        observations, observations, masks, actions, log_probs, log_probs, log_probs[:, None]
    )
    settings = UpdateSettings(clip_coef=0.2, vf_coef=0.5, max_grad_norm=0.5, target_kl=None)
    learner.update(batch, [[np.arange(4)]], learning_rate=0.0, ent_coef=0.0, settings=settings)
