"""Some of the environments on their way through a rollout: what one thread collects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grpo.environments.vector import VectorEnvironment
from grpo.models.normalization import ObservationNormalizer
from grpo.models.parameters import Float32, IndexTerm
from grpo.objectives.advantages import Bool, Float64
from grpo.training.critic_view import CriticView
from grpo.training.kernels.sampling import sample_actions
from grpo.training.scales import ReturnScale
from grpo.training.update import ROWS_AT_ONCE, Learner

if TYPE_CHECKING:
    from grpo.training.rollout import Rollout


class Lane:
    """Environments, their part of the rollout, and what they showed last.

    Attributes:
        columns: which environments.
    """

    def __init__(
        self,
        environment: VectorEnvironment,
        rollout: Rollout,
        columns: slice,
        normalizer: ObservationNormalizer,
        index: IndexTerm | None,
        view: CriticView | None,
    ) -> None:
        """Take part of a rollout, and of what the critic sees beside it."""
        self._environment, self._rollout, self.columns = environment, rollout, columns
        self._view = view
        self._normalizer, self._index = normalizer, index
        self._observations: Float32 = rollout.raw_observations[0]
        self._masks: Bool = rollout.action_masks[0]

    def see(self, observations: Float32, masks: Bool) -> None:
        """Take what all environments show as what comes next."""
        self._observations, self._masks = observations[self.columns], masks[self.columns]

    def collect(
        self, learner: Learner, uniforms: Float64, scale: ReturnScale, thread: int = 0
    ) -> None:
        """Fill this part of the rollout, choosing by uniforms [T, N]."""
        for t, own in enumerate(uniforms[:, self.columns]):
            observations, features = self.observe(t)
            logits = learner.compute_logits(observations, features, thread)
            self.act(t, logits, own, learner, scale)

    def observe(self, t: int) -> tuple[Float32, Float32 | None]:
        """Record what step t sees; return it normalised [N, O], and index features [N, A]."""
        rollout = self._rollout
        rollout.raw_observations[t] = self._observations
        rollout.action_masks[t] = self._masks
        self._normalizer(rollout.raw_observations[t], out=rollout.observations[t])
        if self._view is not None:
            self._view.observe(t, rollout.observations[t])
        features = None
        if self._index is not None and rollout.index_features is not None:
            features = rollout.index_features[t]
            features[...] = self._index.select(rollout.raw_observations[t])
        return rollout.observations[t], features

    def act(
        self, t: int, logits: Float32, uniforms: Float64, learner: Learner, scale: ReturnScale
    ) -> None:
        """Draw the actions of step t by logits [N, A], overwriting them, and apply them."""
        rollout = self._rollout
        sample_actions(logits, self._masks, uniforms, rollout.actions[t], rollout.log_probs[t])
        transition = self._environment.step(rollout.actions[t])
        rollout.record(t, transition)
        cut = rollout.truncated[t]
        if cut.any():
            final = self._normalizer(transition.final_observations[cut])
            if self._view is not None:
                final = self._view.look(final, cut)
            rollout.final_values[t, cut] = scale.restore(learner.compute_values(final))
        self._observations, self._masks = transition.observations, transition.action_masks

    def finish(self, learner: Learner, scale: ReturnScale) -> None:
        """Value what the environments show after the last step."""
        last = self._normalizer(np.asarray(self._observations))
        if self._view is not None:
            last = self._view.look(last)
        self._rollout.last_values[...] = scale.restore(learner.compute_values(last))


def divide_rows(num_rows: int, parts: int) -> list[int]:
    """Return where nearly equal parts of N rows end, at multiples of ``ROWS_AT_ONCE`` and at N.

    Networks look at so many rows at once, so that no part's outputs depend on the others.
    """
    blocks = -(-num_rows // ROWS_AT_ONCE)
    ends = {ROWS_AT_ONCE * (blocks * part // parts) for part in range(1, parts)}
    return [*sorted(ends - {0}), num_rows]
