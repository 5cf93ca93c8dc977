"""What one iteration of training is about to learn: between its rollout and its update."""

from __future__ import annotations

from typing import Any, NamedTuple

from grpo.config import Algorithm
from grpo.training.update import Batch, MinibatchOrder, UpdateArguments, UpdateSettings


class UpdatePlan(NamedTuple):
    """One iteration between its rollout and its update.

    Attributes:
        batch: its samples.
        order: in which they are learned from.
        settings: of this update.
        progress: share of the training that is behind.
        groups: everybody's and the groups' metrics.
        explained_variance: of the critic before the update.
    """

    batch: Batch
    order: MinibatchOrder
    settings: UpdateArguments
    progress: float
    groups: dict[str, Any]
    explained_variance: float


def anneal_update(
    algorithm: Algorithm, progress: float, settings: UpdateSettings, *, update_actor: bool
) -> UpdateArguments:
    """Return learning rate and weight of the entropy for a share of training that is behind."""
    rate = algorithm.learning_rate * (1 - progress if algorithm.anneal_learning_rate else 1)
    last = algorithm.final_ent_coef
    entropy_drop = 0.0 if last is None else (algorithm.ent_coef - last) * progress
    return UpdateArguments(
        learning_rate=rate,
        ent_coef=algorithm.ent_coef - entropy_drop,
        settings=settings,
        update_actor=update_actor,
    )
