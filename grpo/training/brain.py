"""What training changes and an agent keeps: networks, normalisation and return scales."""

from __future__ import annotations

from dataclasses import dataclass

from grpo.models.normalization import ObservationNormalizer
from grpo.models.parameters import IndexTerm, NetworkShape, initialise_actor, initialise_critic
from grpo.seeding import make_generator
from grpo.training.scales import ReturnScale
from grpo.training.update import Learner, make_learner


@dataclass
class Brain:
    """Everything that training changes and an agent keeps.

    Attributes:
        learner: the networks and their optimisers.
        normalizer: of observations.
        returns: scale of the critic's heads.
        index: the dispatch rule that the policy started from, empty where none.
        privileged: normaliser of what only the critic sees, None where it sees no more.
    """

    learner: Learner
    normalizer: ObservationNormalizer
    returns: ReturnScale
    index: IndexTerm
    privileged: ObservationNormalizer | None = None

    @staticmethod
    def create(
        shape: NetworkShape,
        seed: int,
        *,
        index: IndexTerm | None = None,
        device: str = "cpu",
        num_threads: int = 1,
    ) -> Brain:
        """Draw new networks."""
        index = index or IndexTerm.empty(shape.num_actions)
        learner = make_learner(
            shape,
            initialise_actor(shape, make_generator(seed, "actor"), index),
            initialise_critic(shape, make_generator(seed, "critic")),
            device=device,
            num_threads=num_threads,
        )
        normalizer = ObservationNormalizer(shape.observation_size)
        more = shape.privileged_size
        privileged = ObservationNormalizer(more) if more else None
        returns = ReturnScale.identity(shape.num_heads)
        return Brain(learner, normalizer, returns, index, privileged)
