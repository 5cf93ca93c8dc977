"""Collecting experience: T steps of N environments in preallocated arrays."""

from __future__ import annotations

import numpy as np

from grpo.environments.vector import RestartsEpisodes, Transition, VectorEnvironment
from grpo.models.normalization import ObservationNormalizer
from grpo.models.parameters import Float32, IndexTerm, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.kernels import sample_actions
from grpo.training.observer import TrainingDiverged
from grpo.training.scales import ReturnScale
from grpo.training.update import Learner


class Rollout:
    """The arrays of one iteration; memory is O(T N (O + A + H)).

    Attributes:
        raw_observations: [T, N, O] float32, as the environment gave them.
        observations: [T, N, O] float32, normalised.
        index_features: [T, N, A] float32, or None without an index term.
        action_masks: [T, N, A] bool.
        actions: [T, N] int64.
        log_probs: [T, N] float32.
        values: [T, N, H] float32, in natural units.
        rewards: [T, N, H] float32.
        discounts: [T, N] float32.
        elapsed: [T, N] float32.
        terminated: [T, N] bool.
        truncated: [T, N] bool, never where terminated.
        final_values: [T, N, H] float32, filled where truncated.
        last_values: [N, H] float32.
        groups: [T, N] int64, -1 where groups are reward groups.
    """

    def __init__(
        self, num_steps: int, environment: VectorEnvironment, num_heads: int, *, has_index: bool
    ) -> None:
        """Allocate for ``num_steps`` and the first ``num_heads`` heads of the environment."""
        steps = (num_steps, environment.num_envs)
        size, num_actions = environment.observation_size, environment.num_actions
        self.raw_observations: Float32 = np.empty((*steps, size), dtype=np.float32)
        self.observations: Float32 = np.empty((*steps, size), dtype=np.float32)
        self.index_features: Float32 | None = (
            np.empty((*steps, num_actions), dtype=np.float32) if has_index else None
        )
        self.action_masks: Bool = np.empty((*steps, num_actions), dtype=np.bool_)
        self.actions: Int64 = np.empty(steps, dtype=np.int64)
        self.log_probs: Float32 = np.empty(steps, dtype=np.float32)
        self.values: Float32 = np.empty((*steps, num_heads), dtype=np.float32)
        self.rewards: Float32 = np.empty((*steps, num_heads), dtype=np.float32)
        self.discounts: Float32 = np.empty(steps, dtype=np.float32)
        self.elapsed: Float32 = np.empty(steps, dtype=np.float32)
        self.terminated: Bool = np.empty(steps, dtype=np.bool_)
        self.truncated: Bool = np.empty(steps, dtype=np.bool_)
        self.final_values: Float32 = np.zeros((*steps, num_heads), dtype=np.float32)
        self.last_values: Float32 = np.zeros((environment.num_envs, num_heads), dtype=np.float32)
        self.groups: Int64 = np.full(steps, -1, dtype=np.int64)

    def record(self, t: int, transition: Transition) -> None:
        """Copy what step t gave, but for values."""
        self.rewards[t] = transition.head_rewards[:, : self.rewards.shape[-1]]
        self.discounts[t] = transition.discounts
        self.elapsed[t] = transition.elapsed
        self.terminated[t] = transition.terminated
        np.greater(transition.truncated, transition.terminated, out=self.truncated[t])
        self.groups[t] = transition.groups

    def check_finite(self, iteration: int) -> None:
        """Refuse rewards and observations that are not finite.

        Raises:
            TrainingDiverged: names what, where and when.
        """
        for name, array in (("reward", self.rewards), ("observation", self.raw_observations)):
            if not np.isfinite(array).all():
                t, i, k = (int(x) for x in np.argwhere(~np.isfinite(array))[0])
                raise TrainingDiverged(
                    f"the environment gave a {name} that is not finite: {array[t, i, k]} "
                    f"in iteration {iteration}, step {t}, environment {i}, component {k}"
                )


class Collector:
    """Steps the environments with the current policy and fills a rollout.

    Attributes:
        rollout: filled by ``collect``; the next call overwrites it.
    """

    def __init__(
        self,
        environment: VectorEnvironment,
        learner: Learner,
        normalizer: ObservationNormalizer,
        index: IndexTerm,
        num_steps: int,
        rng: np.random.Generator,
        seed: int,
    ) -> None:
        """Reset the environments with the seed and allocate the rollout."""
        has_index = bool((index.feature >= 0).any())
        self.environment, self.learner, self.normalizer = environment, learner, normalizer
        self._index = index if has_index else None
        self._rng = rng
        self.rollout = Rollout(num_steps, environment, learner.shape.num_heads, has_index=has_index)
        self._observations, self._masks = environment.reset(seed)
        self._uniforms: Float64 = np.empty(self.rollout.actions.shape)

    @property
    def rng(self) -> np.random.Generator:
        """What actions are drawn from."""
        return self._rng

    def restart(self, environment: RestartsEpisodes, seed: int) -> None:
        """Start all episodes anew; what was under way is valued at its last observation."""
        self._observations, self._masks = environment.restart(seed)

    def collect(self, scale: ReturnScale) -> Rollout:
        """Fill the rollout with the next T steps and return it."""
        self.begin()
        for t in range(len(self.rollout.actions)):
            observations, features = self.observe(t)
            self.act(t, self.learner.compute_logits(observations, features), scale)
        return self.finish(scale)

    def begin(self) -> None:
        """Draw what the actions of T steps are chosen by."""
        self._uniforms = self._rng.random(self.rollout.actions.shape)

    def observe(self, t: int) -> tuple[Float32, Float32 | None]:
        """Record what step t sees; return it normalised [N, O], and index features [N, A]."""
        rollout = self.rollout
        rollout.raw_observations[t] = self._observations
        rollout.action_masks[t] = self._masks
        self.normalizer(rollout.raw_observations[t], out=rollout.observations[t])
        features = None
        if self._index is not None and rollout.index_features is not None:
            features = rollout.index_features[t]
            features[...] = self._index.select(rollout.raw_observations[t])
        return rollout.observations[t], features

    def act(self, t: int, logits: Float32, scale: ReturnScale) -> None:
        """Draw the actions of step t by logits [N, A], overwriting them, and apply them."""
        rollout = self.rollout
        sample_actions(
            logits, self._masks, self._uniforms[t], rollout.actions[t], rollout.log_probs[t]
        )
        transition = self.environment.step(rollout.actions[t])
        rollout.record(t, transition)
        self._record_final_values(t, transition, scale)
        self._observations, self._masks = transition.observations, transition.action_masks

    def finish(self, scale: ReturnScale) -> Rollout:
        """Value what was observed and return the rollout."""
        self._record_values(scale)
        return self.rollout

    def _record_final_values(self, t: int, transition: Transition, scale: ReturnScale) -> None:
        """Value the observations that steps were truncated at."""
        cut = self.rollout.truncated[t]
        if cut.any():
            final = self.normalizer(transition.final_observations[cut])
            self.rollout.final_values[t, cut] = scale.restore(self.learner.compute_values(final))

    def _record_values(self, scale: ReturnScale) -> None:
        """Value every observation of the rollout at once, and the one after it."""
        rollout = self.rollout
        flat = rollout.observations.reshape(-1, rollout.observations.shape[-1])
        values = scale.restore(self.learner.compute_values(flat))
        rollout.values[...] = values.reshape(rollout.values.shape)
        last = self.normalizer(np.asarray(self._observations))
        rollout.last_values[...] = scale.restore(self.learner.compute_values(last))


def flatten_steps(array: np.ndarray) -> np.ndarray:
    """Return [T, N, ...] as [T N, ...]."""
    return array.reshape(-1, array.shape[-1])
