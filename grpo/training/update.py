"""PPO's update: what a batch holds, what a learner does, and which learner is used when."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol, TypedDict

import numpy as np

from grpo.models.parameters import Float32, Int64, NetworkShape
from grpo.objectives.advantages import Bool
from grpo.tensors import Tensors

ROWS_AT_ONCE = 128
"""Observations that pass through the actor at once: threads collect multiples of so many."""


@dataclass(frozen=True)
class Batch:
    """Samples of one iteration, flattened to ``S = T N`` rows.

    Attributes:
        observations: [S, O] float32, normalised.
        index_features: [S, A] float32, raw features of the index term; None where it has none.
        action_masks: [S, A] bool, as stored when acting.
        actions: [S] int64.
        log_probs: [S] float32, of the policy that acted.
        advantages: [S] float32, combined and scaled.
        returns: [S, H] float32, the critic's targets in units of each head's scale.
        critic_inputs: [S, O + X] float32, observations and what only the critic sees beside
            them, normalised; None where it sees the observations.
    """

    observations: Float32
    index_features: Float32 | None
    action_masks: Bool
    actions: Int64
    log_probs: Float32
    advantages: Float32
    returns: Float32
    critic_inputs: Float32 | None = None

    @property
    def seen_by_critic(self) -> Float32:
        """[S, O + X] float32, the critic's inputs."""
        return self.observations if self.critic_inputs is None else self.critic_inputs


class MinibatchOrder(NamedTuple):
    """In which order a batch is learned from.

    Attributes:
        rows: [E, S] int64, the rows of the batch, shuffled anew for every epoch.
        ends: [M + 1] int64: minibatch m of an epoch holds its rows ``ends[m]`` to ``ends[m + 1]``.
    """

    rows: Int64
    ends: Int64

    def split(self, epoch: int) -> list[Int64]:
        """Return the minibatches of an epoch."""
        return [self.rows[epoch, start:end] for start, end in pairwise(self.ends)]


@dataclass(frozen=True)
class UpdateSettings:
    """Hyperparameters of the update that stay the same during a training."""

    clip_coef: float
    vf_coef: float
    max_grad_norm: float
    target_kl: float | None


class UpdateArguments(TypedDict):
    """What changes from update to update besides the samples; see ``Learner.update``."""

    learning_rate: float
    ent_coef: float
    settings: UpdateSettings
    update_actor: bool


@dataclass(frozen=True)
class UpdateStats:
    """What an update did: means over its last epoch.

    Attributes:
        policy_loss: minus the clipped surrogate.
        value_loss: mean squared error, summed over heads, in units of each head's scale, halved.
        entropy: over allowed actions, nats.
        approx_kl: estimated KL(old, new), nats.
        clip_fraction: share of samples outside the clip range.
        epochs: epochs that the actor made before the target KL stopped it.
    """

    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    epochs: int


class Learner(Protocol):
    """Two networks, their optimisers, and PPO's update of both.

    Actor and critic share no parameter and are clipped and stepped apart, so what the critic
    learns (also about groups) never touches the actor but through the advantages.
    """

    shape: NetworkShape

    @property
    def num_threads(self) -> int:
        """How many threads may compute logits at the same time, each by its number."""
        ...

    @property
    def actor_parameters(self) -> Float32:
        """[P] float32, the actor's vector; a copy or a view, not to be written to."""
        ...

    @property
    def critic_parameters(self) -> Float32:
        """[Q] float32, the critic's vector; a copy or a view, not to be written to."""
        ...

    def compute_logits(
        self, observations: Float32, index_features: Float32 | None, thread: int = 0
    ) -> Float32:
        """Return logits [B, A] of normalised observations; valid until the thread's next call."""
        ...

    def compute_values(self, inputs: Float32, thread: int | None = None) -> Float32:
        """Return values [B, H], in units of the heads' scales, of the critic's inputs [B, O + X].

        Computed by all threads together, or by one alone, given its number, while others may
        compute logits. Valid until the next call.
        """
        ...

    def save_state(self) -> Tensors:
        """Return copies of the parameters and of all that the optimisers keep."""
        ...

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` of the same kind of learner returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        ...

    def rescale_values(self, factor: Float32, shift: Float32) -> None:
        """Make the critic return ``factor · values + shift``, [H] each, of what it returns now."""
        ...

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
        ...


def make_order(
    rng: np.random.Generator, num_samples: int, minibatch_size: int, num_epochs: int
) -> MinibatchOrder:
    """Shuffle rows into minibatches of nearly equal size, anew for every epoch."""
    count = max(1, round(num_samples / minibatch_size))
    size, longer = divmod(num_samples, count)
    ends = [size * i + min(i, longer) for i in range(count + 1)]
    rows = np.stack([rng.permutation(num_samples) for _ in range(num_epochs)])
    return MinibatchOrder(rows, np.array(ends))


def make_learner(
    shape: NetworkShape,
    actor: Float32,
    critic: Float32,
    *,
    device: str = "cpu",
    num_threads: int = 1,
) -> Learner:
    """Return the hand-written learner on a CPU, the torch learner on any other device."""
    if device == "cpu":
        from grpo.training.fused_update import FusedLearner  # noqa: PLC0415 - each path on its own

        return FusedLearner(shape, actor, critic, num_threads=num_threads)
    from grpo.training.torch_update import TorchLearner  # noqa: PLC0415 - torch only where used

    return TorchLearner(shape, actor, critic, device=device)
