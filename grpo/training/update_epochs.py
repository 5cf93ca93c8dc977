"""One network's part of an update: all its epochs, in calls that need no interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from grpo.training.dense_network import CHUNK, DenseNetwork
from grpo.training.kernels.epochs import (
    Decisions,
    Memory,
    Minibatches,
    Step,
    Surrogate,
    teach_actor,
    teach_critic,
)
from grpo.training.update import Batch, MinibatchOrder, UpdateSettings

WORK_AT_ONCE = 2_000_000_000
"""Rows times parameters of one call, a tenth of a second: a signal is not heard before its end."""


class ActorEpochs(NamedTuple):
    """What an actor did.

    Attributes:
        means: of surrogate, entropy, KL estimate and clipped over the last epoch; 0 without one.
        epochs: made before the target KL stopped it.
    """

    means: tuple[float, float, float, float]
    epochs: int


def run_actor_epochs(
    actor: DenseNetwork,
    batch: Batch,
    order: MinibatchOrder,
    step: Step,
    ent_coef: float,
    settings: UpdateSettings,
    memory: Memory,
) -> ActorEpochs:
    """Learn from a batch; stop after an epoch beyond the target KL."""
    samples, target = len(batch.actions), settings.target_kl
    loss = Surrogate(settings.clip_coef, ent_coef)
    decisions, sums, epochs = make_decisions(batch), np.zeros((max(1, len(order.rows)), 4)), 0
    for part in cut_order(order, len(actor.flat), by_epoch=target is not None):
        teach_actor(actor.kernel, decisions, part, step, loss, memory, sums)
        epochs = part.last // (len(order.ends) - 1)
        if target is not None and epochs and sums[epochs - 1, 2] > target * samples:
            break
    surrogate, entropy, kl, clipped = (sums[epochs - 1] / samples).tolist()
    return ActorEpochs((surrogate, entropy, kl, clipped), epochs)


def run_critic_epochs(
    critic: DenseNetwork,
    batch: Batch,
    order: MinibatchOrder,
    step: Step,
    weight: float,
    memory: Memory,
) -> float:
    """Learn from a batch; return the mean of half the squared errors over the last epoch."""
    inputs, returns, sums = batch.seen_by_critic, batch.returns, np.zeros(len(order.rows))
    for part in cut_order(order, len(critic.flat), by_epoch=False):
        teach_critic(critic.kernel, inputs, returns, part, step, weight, memory, sums)
    return float(sums[-1]) / len(batch.actions)


def make_decisions(batch: Batch) -> Decisions:
    """Return what the actor learns from."""
    features = batch.index_features
    if features is None:
        features = np.empty((0, batch.action_masks.shape[1]), dtype=np.float32)
    observations, masks = batch.observations, batch.action_masks
    return Decisions(
        observations, features, masks, batch.actions, batch.log_probs, batch.advantages
    )


def cut_order(
    order: MinibatchOrder, num_parameters: int, *, by_epoch: bool
) -> Iterator[Minibatches]:
    """Yield all minibatches in runs, each so long as a call may take, or an epoch at most."""
    per_epoch = len(order.ends) - 1
    total = len(order.rows) * per_epoch
    most = max(1, WORK_AT_ONCE // (num_parameters * int(np.diff(order.ends).max())))
    span = per_epoch if by_epoch else max(total, 1)
    for start in range(0, total, span):
        for first in range(start, start + span, most):
            yield Minibatches(*order, first, min(first + most, start + span), CHUNK)
