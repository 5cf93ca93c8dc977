"""Updates of actors, or of critics: all their epochs, in calls that need no interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from grpo.models.parameters import Float32, Int64
from grpo.training.dense_network import CHUNK, check_width
from grpo.training.kernels.dense import Networks
from grpo.training.kernels.epochs import (
    Decisions,
    Memory,
    Minibatches,
    Step,
    Surrogate,
    teach_actors,
    teach_critics,
)
from grpo.training.update import Batch, MinibatchOrder, UpdateArguments, UpdateStats

WORK_AT_ONCE = 2_000_000_000
"""Rows times parameters of one call, a tenth of a second: a signal is not heard before its end."""


class Lesson(NamedTuple):
    """What S seeds learn from in one update, and how, as kernels take it.

    Attributes:
        decisions: [S, R, ...], for actors.
        inputs: [S, R, O + X], for critics.
        returns: [S, R, H].
        rows: [S, E, R] in the order of learning.
        ends: [M + 1] of an epoch's minibatches.
        arguments: of ``Learner.update``.
    """

    decisions: Decisions
    inputs: Float32
    returns: Float32
    rows: Int64
    ends: Int64
    arguments: UpdateArguments

    @staticmethod
    def of(
        batches: Sequence[Batch], orders: Sequence[MinibatchOrder], arguments: UpdateArguments
    ) -> Lesson:
        """Stack what seeds learn from: batches of one size, orders alike but for the rows."""
        return Lesson(
            stack_decisions(batches),
            stack([batch.seen_by_critic for batch in batches]),
            stack([batch.returns for batch in batches]),
            stack([order.rows for order in orders]),
            orders[0].ends,
            arguments,
        )

    @property
    def step(self) -> Step:
        """How networks step."""
        return Step(self.arguments["learning_rate"], self.arguments["settings"].max_grad_norm)


class ActorEpochs(NamedTuple):
    """What an actor did.

    Attributes:
        means: of surrogate, entropy, KL estimate and clipped over the last epoch; 0 without one.
        epochs: made before the target KL stopped it.
    """

    means: tuple[float, float, float, float]
    epochs: int


def run_actor_epochs(actors: Networks, lesson: Lesson, memory: Memory) -> list[ActorEpochs]:
    """Let actors learn; each stops after an epoch beyond the target KL."""
    arguments, (count, num_epochs, samples) = lesson.arguments, lesson.rows.shape
    settings, learning = arguments["settings"], np.full(count, arguments["update_actor"])
    target, loss = settings.target_kl, Surrogate(settings.clip_coef, arguments["ent_coef"])
    sums, epochs = np.zeros((count, num_epochs, 4)), np.zeros(count, dtype=np.int64)
    decisions = lesson.decisions
    check_width(actors, decisions.observations)
    for part in cut_lesson(lesson, actors, by_epoch=target is not None):
        if not learning.any():
            break
        teach_actors(actors, decisions, part, lesson.step, loss, learning, memory, sums)
        epochs[learning] = made = part.last // (len(part.ends) - 1)
        if target is not None and made:
            learning &= sums[:, made - 1, 2] <= target * samples
    means = sums[range(count), epochs - 1] / samples
    return [ActorEpochs(*pair) for pair in zip(means.tolist(), epochs.tolist(), strict=True)]


def run_critic_epochs(critics: Networks, lesson: Lesson, memory: Memory) -> list[float]:
    """Let critics learn; return their means of half the squared errors over the last epoch."""
    weight, sums = lesson.arguments["settings"].vf_coef, np.zeros(lesson.rows.shape[:2])
    data = lesson.inputs, lesson.returns
    check_width(critics, lesson.inputs)
    for part in cut_lesson(lesson, critics, by_epoch=False):
        teach_critics(critics, *data, part, lesson.step, weight, memory, sums)
    losses: list[float] = (sums[:, -1] / lesson.rows.shape[2]).tolist()
    return losses


def describe_update(actors: Sequence[ActorEpochs], losses: Sequence[float]) -> list[UpdateStats]:
    """Return what an update did, by seed."""
    return [
        UpdateStats(-surrogate, loss, entropy, kl, clipped, epochs)
        for ((surrogate, entropy, kl, clipped), epochs), loss in zip(actors, losses, strict=True)
    ]


def stack_decisions(batches: Sequence[Batch]) -> Decisions:
    """Return what actors learn from."""
    features = [batch.index_features for batch in batches]
    given = [array for array in features if array is not None]
    nothing = np.empty((len(batches), 0, batches[0].action_masks.shape[1]), dtype=np.float32)
    return Decisions(
        stack([batch.observations for batch in batches]),
        stack(given) if given else nothing,
        stack([batch.action_masks for batch in batches]),
        stack([batch.actions for batch in batches]),
        stack([batch.log_probs for batch in batches]),
        stack([batch.advantages for batch in batches]),
    )


def stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays as one with an axis in front; a view of a single one."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def cut_lesson(lesson: Lesson, networks: Networks, *, by_epoch: bool) -> Iterator[Minibatches]:
    """Yield all minibatches in runs, each so long as a call may take, or an epoch at most."""
    rows, ends = lesson.rows, lesson.ends
    per_epoch = len(ends) - 1
    total = rows.shape[1] * per_epoch
    most = max(1, WORK_AT_ONCE // (networks.flats.size * int(np.diff(ends).max())))
    span = per_epoch if by_epoch else total
    for start in range(0, total, span):
        for first in range(start, start + span, most):
            yield Minibatches(rows, ends, first, min(first + most, start + span), CHUNK)
