"""Some of the environments on their way through a rollout: what one thread collects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grpo.environments.vector import Transition, VectorEnvironment
from grpo.models.normalization import CLIP, Moments, normalize
from grpo.models.parameters import Float32, IndexTerm, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.critic_view import CriticView
from grpo.training.kernels.recording import record_observations, record_outcomes
from grpo.training.kernels.sampling import sample_actions
from grpo.training.scales import ReturnScale
from grpo.training.update import ROWS_AT_ONCE, Learner

if TYPE_CHECKING:
    from grpo.training.rollout import Rollout


OutcomeRows = tuple[Float32, Float32, Float32, Bool, Bool, Int64]


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
        normalizer: Moments,
        index: IndexTerm | None,
        view: CriticView | None,
    ) -> None:
        """Take part of a rollout, and of what the critic sees beside it."""
        self._environment, self._rollout, self.columns = environment, rollout, columns
        self._view = view
        self._normalizer, self._index = normalizer, index
        self._observations: Float32 = rollout.raw_observations[0]
        self._masks: Bool = rollout.action_masks[0]
        raw, masks, observations = (
            [*rows, np.empty_like(rows[0])]  # the last one takes what comes after the last step
            for rows in (rollout.raw_observations, rollout.action_masks, rollout.observations)
        )
        self._shown_rows: list[tuple[Float32, Bool, Float32]] = list(
            zip(raw, masks, observations, strict=True)
        )
        self._outcome_rows: list[OutcomeRows] = list(
            zip(
                rollout.rewards,
                rollout.discounts,
                rollout.elapsed,
                rollout.terminated,
                rollout.truncated,
                rollout.groups,
                strict=True,
            )
        )

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
            transition, num_cut = self.apply(t, logits, own)
            if num_cut:
                final = transition.final_observations
                self._value_cuts(t, final, learner, scale, thread)

    def observe(self, t: int) -> tuple[Float32, Float32 | None]:
        """Record what step t sees; return it normalised [N, O], and index features [N, A]."""
        observations, rollout = self._record_shown(t), self._rollout
        if self._view is not None:
            self._view.observe(t, observations)
        features = None
        if self._index is not None and rollout.index_features is not None:
            features = rollout.index_features[t]
            features[...] = self._index.select(rollout.raw_observations[t])
        return observations, features

    def _record_shown(self, t: int) -> Float32:
        """Record what the environments show now, and return it normalised [N, O]."""
        normalizer, shape = self._normalizer, (-1, self._observations.shape[1])
        means, inverse_stds = normalizer.mean.reshape(shape), normalizer.inverse_std.reshape(shape)
        raw, masks, normalized = self._shown_rows[t]
        record_observations(
            self._observations, self._masks, means, inverse_stds, CLIP, raw, masks, normalized
        )
        return normalized

    def apply(self, t: int, logits: Float32, uniforms: Float64) -> tuple[Transition, int]:
        """Draw the actions of step t by logits [N, A], overwriting them, and apply them.

        Returns:
            what came of it, which is recorded, and how many episodes it cut.
        """
        rollout = self._rollout
        actions = rollout.actions[t]
        sample_actions(logits, self._masks, uniforms, actions, rollout.log_probs[t])
        transition = self._environment.step(actions)
        num_cut = record_outcomes(
            transition.head_rewards,
            transition.discounts,
            transition.elapsed,
            transition.terminated,
            transition.truncated,
            transition.groups,
            *self._outcome_rows[t],
        )
        self._observations, self._masks = transition.observations, transition.action_masks
        return transition, num_cut

    def _value_cuts(
        self, t: int, observations: Float32, learner: Learner, scale: ReturnScale, thread: int
    ) -> None:
        """Value the last observations [N, O] of the episodes that step t cut."""
        cut = self._rollout.truncated[t]
        moments = self._normalizer.mean, self._normalizer.inverse_std
        final = normalize(observations[cut], *moments)
        if self._view is not None:
            final = self._view.look(final, cut)
        self._rollout.final_values[t, cut] = scale.restore(learner.compute_values(final, thread))

    def finish(self, learner: Learner, scale: ReturnScale) -> None:
        """Value what the environments show after the last step."""
        last = self._record_shown(-1)
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
