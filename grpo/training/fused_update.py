"""The learner without autograd: one seed's networks, alone or as a member of a stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grpo.models.parameters import Float32, Int64, NetworkShape, count_parameters
from grpo.tensors import Tensors, join_tensors, select_tensors
from grpo.training.dense_network import DenseNetworks, Parameters
from grpo.training.kernels import follow_episodes, sample_actions
from grpo.training.learner_stack import FusedLearners
from grpo.training.ratios import RatioWindow
from grpo.training.update import Batch, UpdateSettings, UpdateStats


class FusedLearner:
    """The learner without autograd, alone or a member of a stack; see ``Learner``.

    Attributes:
        shape: of the networks.
        networks: a stack of 1.
    """

    def __init__(
        self, shape: NetworkShape, actor: Float32, critic: Float32, *, num_threads: int = 1
    ) -> None:
        """Copy the two vectors; two threads share the work, and no bit depends on that."""
        self.shape = shape
        self.networks = FusedLearners(
            shape,
            DenseNetworks(shape.actor_entries, Parameters.create(actor[None])),
            DenseNetworks(shape.critic_entries, Parameters.create(critic[None])),
            num_threads,
        )

    @property
    def actor_parameters(self) -> Float32:
        """[P] float32, a view."""
        flat: Float32 = self.networks.actors.state.flat[0]
        return flat

    @property
    def critic_parameters(self) -> Float32:
        """[Q] float32, a view."""
        flat: Float32 = self.networks.critics.state.flat[0]
        return flat

    @property
    def num_threads(self) -> int:
        """How many threads may compute logits at the same time, each by its number."""
        return len(self.networks.workers)

    def compute_logits(
        self, observations: Float32, index_features: Float32 | None, thread: int = 0
    ) -> Float32:
        """Return logits [B, A]."""
        features = None if index_features is None else index_features[None]
        logits: Float32 = self.networks.compute_logits(observations[None], features, thread)[0]
        return logits

    def compute_values(self, inputs: Float32) -> Float32:
        """Return values [B, H]."""
        values: Float32 = self.networks.compute_values(inputs[None])[0]
        return values

    def save_state(self) -> Tensors:
        """Return both networks and their optimisers."""
        actor, critic = self.networks.actors, self.networks.critics
        return join_tensors(actor=actor.save_state(), critic=critic.save_state())

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        self.networks.actors.restore_state(select_tensors(tensors, "actor"))
        self.networks.critics.restore_state(select_tensors(tensors, "critic"))

    def rescale_values(self, factor: Float32, shift: Float32) -> None:
        """Change the critic's last layer so that it returns ``factor · values + shift``."""
        last = len(self.shape.hidden_sizes)
        critic = self.networks.critics
        critic.named[f"critic.{last}.weight"][...] *= factor
        bias = critic.named[f"critic.{last}.bias"]
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
        (stats,) = self.networks.update(
            batch,
            [[rows[None] for rows in order] for order in orders],
            learning_rate=learning_rate,
            ent_coef=ent_coef,
            settings=settings,
            update_actor=update_actor,
        )
        return stats


def join_learners(learners: Sequence[FusedLearner], num_threads: int = 1) -> FusedLearners:
    """Stack learners of one shape; they go on as views of the stack's members."""
    shape = learners[0].shape
    actors, critics = (
        DenseNetworks(entries, Parameters.join([part.state for part in parts]))
        for entries, parts in (
            (shape.actor_entries, [learner.networks.actors for learner in learners]),
            (shape.critic_entries, [learner.networks.critics for learner in learners]),
        )
    )
    joined = FusedLearners(shape, actors, critics, num_threads)
    for member, learner in enumerate(learners):
        learner.networks = joined.part(member, member + 1)
    return joined


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
    window = RatioWindow()
    for _ in range(2):
        window.add(np.ones((1, 3)), np.ones((1, 3)))
    window.estimate(0.0)
    one, ended = np.zeros((1, 1)), np.ones((1, 1), dtype=np.bool_)
    follow_episodes(one, ended, one[0], actions[:1], one[0], actions[:1])
