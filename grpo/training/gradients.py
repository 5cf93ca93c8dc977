"""Gradients of both losses over some rows of a batch, written out by hand: one thread's work."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grpo.models.parameters import Float32, Int64, NetworkShape
from grpo.objectives.advantages import Float64
from grpo.training.dense_network import CHUNK, HALVES, DenseNetworks
from grpo.training.kernels import (
    gather_decisions,
    gather_rows,
    mask_logits,
    squared_error_gradient,
    surrogate_gradient,
)
from grpo.training.update import Batch


class SurrogateLoss(NamedTuple):
    """The actor's loss: the clip range, and the weight of the entropy."""

    clip_coef: float
    ent_coef: float


class Samples(NamedTuple):
    """Some rows of a batch, equally many of each of S seeds.

    Attributes:
        batch: the samples of all seeds.
        rows: [S, B] of the batch.
        inputs: [S, B, O], what the network sees at the rows.
        factor: 1 / size of a seed's minibatch.
    """

    batch: Batch
    rows: Int64
    inputs: Float32
    factor: float


class GradientWorker:
    """What one thread needs to learn with: the networks, and memory that no other thread touches.

    Attributes:
        shape: of each network.
        actors: S networks.
        critics: S networks.
    """

    def __init__(self, shape: NetworkShape, actors: DenseNetworks, critics: DenseNetworks) -> None:
        self.shape, self.actors, self.critics = shape, actors, critics
        size = CHUNK, shape.num_actions
        self._decisions = (
            np.empty(size, dtype=np.bool_),
            np.empty(CHUNK, dtype=np.int64),
            np.empty(CHUNK, dtype=np.float32),
            np.empty(CHUNK, dtype=np.float32),
        )
        self._powers: Float32 = np.empty(size, dtype=np.float32)
        self._seen = [np.empty(0, dtype=np.float32)] * HALVES
        self._parts: dict[tuple[int, int], GradientWorker] = {}

    def part(self, start: int, stop: int) -> GradientWorker:
        """Return a worker on networks ``start`` to ``stop``, which are not copied."""
        if (start, stop) == (0, self.actors.count):
            return self
        if (start, stop) not in self._parts:
            self._parts[start, stop] = GradientWorker(
                self.shape, self.actors.part(start, stop), self.critics.part(start, stop)
            )
        return self._parts[start, stop]

    def gather(self, inputs: Float32, rows: Int64, half: int) -> Float32:
        """Return inputs [R, O] at rows [S, B]; the half's next call reuses the memory."""
        size = rows.size * inputs.shape[1]
        if len(self._seen[half]) < size:
            self._seen[half] = np.empty(size, dtype=np.float32)
        seen = self._seen[half][:size].reshape(*rows.shape, -1)
        gather_rows(inputs, rows, seen)
        return seen

    def add_actor_gradient(
        self, samples: Samples, loss: SurrogateLoss, statistics: Float64, half: int = 0
    ) -> None:
        """Add the gradient of the surrogate loss over samples of each of S seeds.

        Args:
            samples: at most CHUNK of each seed.
            loss: which.
            statistics: [S, 4], added to; see ``surrogate_gradient``.
            half: of the gradient, which to add to.
        """
        batch, rows, inputs, factor = samples
        logits = self.actors.forward(inputs)
        features = batch.index_features
        if features is not None:
            features = np.take(features, rows, axis=0, mode="clip")
            logits += self.actors.named["index.slope"][:, None] * features
        flat = logits.reshape(-1, self.shape.num_actions)
        masks, actions, log_probs, advantages = self._decisions
        count = len(flat)
        masks, actions = masks[:count], actions[:count]
        log_probs, advantages = log_probs[:count], advantages[:count]
        gather_decisions(
            rows.reshape(-1),
            batch.action_masks,
            batch.actions,
            batch.log_probs,
            batch.advantages,
            (masks, actions, log_probs, advantages),
        )
        mask_logits(flat, masks)
        surrogate_gradient(
            flat,
            np.exp(flat, out=self._powers[:count]),
            actions,
            log_probs,
            advantages,
            loss.clip_coef,
            loss.ent_coef,
            factor,
            statistics,
        )
        if features is not None:
            slopes = self.actors.named_gradients[half]["index.slope"]
            slopes += (logits * features).sum(axis=1)
        self.actors.backward(logits, half)

    def add_critic_gradient(
        self, samples: Samples, weight: float, statistics: Float64, half: int = 0
    ) -> None:
        """Add the gradient of the squared error over samples of each of S seeds.

        Args:
            samples: at most CHUNK of each seed.
            weight: of the loss.
            statistics: [S], half the squares are added to.
            half: of the gradient, which to add to.
        """
        batch, rows, inputs, factor = samples
        values = self.critics.forward(inputs)
        squared_error_gradient(
            values.reshape(-1, self.shape.num_heads),
            rows.reshape(-1),
            batch.returns,
            weight * factor,
            statistics,
        )
        self.critics.backward(values, half)
