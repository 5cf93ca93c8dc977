"""Collecting experience: T steps of N environments in preallocated arrays."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import pairwise, starmap

import numpy as np

from grpo.environments.vector import Divides, RestartsEpisodes, VectorEnvironment
from grpo.models.normalization import ObservationNormalizer
from grpo.models.parameters import Float32, IndexTerm, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.critic_view import CriticView
from grpo.training.lane import Lane, divide_rows
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

    def part(self, columns: slice) -> Rollout:
        """Return the rollout of some of the environments, as views."""
        part = copy(self)
        for name, array in vars(self).items():
            if array is not None:
                setattr(part, name, array[columns] if name == "last_values" else array[:, columns])
        return part

    def check_finite(self, iteration: int) -> None:
        """Refuse rewards and observations that are not finite.

        Raises:
            TrainingDiverged: names what, where and when.
        """
        for name, array in (("reward", self.rewards), ("observation", self.raw_observations)):
            if not are_finite(array):
                t, i, k = (int(x) for x in np.argwhere(~np.isfinite(array))[0])
                raise TrainingDiverged(
                    f"the environment gave a {name} that is not finite: {array[t, i, k]} "
                    f"in iteration {iteration}, step {t}, environment {i}, component {k}"
                )


class Collector:
    """Steps the environments with the current policy and fills a rollout.

    Environments that divide are collected by as many threads as the learner has, apart from each
    other for all T steps. No bit depends on that.

    Attributes:
        rollout: filled by ``collect``; the next call overwrites it.
        critic_view: what the critic sees of it beside the observations, None for no more.
        lanes: the environments, by thread.
        index: what a rule adds to the logits; None for nothing.
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
        privileged: ObservationNormalizer | None = None,
    ) -> None:
        """Reset the environments with the seed and allocate the rollout.

        Raises:
            TypeError: ``privileged`` is given, and the environment shows nothing to normalise.
        """
        used = index if bool((index.feature >= 0).any()) else None
        self.learner, self.normalizer, self._rng = learner, normalizer, rng
        self.index = used
        has_index, num_heads = used is not None, learner.shape.num_heads
        self.rollout = Rollout(num_steps, environment, num_heads, has_index=has_index)
        self._uniforms: Float64 = np.empty(self.rollout.actions.shape)
        observations, masks = environment.reset(seed)
        view = None
        if privileged is not None:
            view = CriticView(environment, privileged, self.rollout.observations)
        self.critic_view: CriticView | None = view
        ends, parts = [environment.num_envs], [environment]
        if isinstance(environment, Divides):
            ends = divide_rows(environment.num_envs, learner.num_threads)
            parts = list(environment.divide(ends)) if len(ends) > 1 else parts
        self.lanes = [
            Lane(
                part,
                self.rollout.part(columns),
                columns,
                normalizer,
                used,
                None if view is None else view.part(part, columns),
            )
            for part, columns in zip(parts, starmap(slice, pairwise((0, *ends))), strict=True)
        ]
        self.see(observations, masks)

    @property
    def rng(self) -> np.random.Generator:
        """What actions are drawn from."""
        return self._rng

    def see(self, observations: Float32, masks: Bool) -> None:
        """Take what the environments show as what comes next."""
        for lane in self.lanes:
            lane.see(observations, masks)

    def restart(self, environment: RestartsEpisodes, seed: int) -> None:
        """Start all episodes anew; what was under way is valued at its last observation."""
        self.see(*environment.restart(seed))

    def collect(self, scale: ReturnScale) -> Rollout:
        """Fill the rollout with the next T steps and return it."""
        uniforms = self.draw()
        first, *others = self.lanes
        if not others:
            first.collect(self.learner, uniforms, scale)
            return self.finish(scale)
        with ThreadPoolExecutor(len(others)) as helpers:
            jobs = [
                helpers.submit(lane.collect, self.learner, uniforms, scale, 1 + thread)
                for thread, lane in enumerate(others)
            ]
            first.collect(self.learner, uniforms, scale)
            for job in jobs:
                job.result()
        return self.finish(scale)

    def draw(self) -> Float64:
        """Return what the actions of the next T steps are chosen by, [T, N]."""
        return self._rng.random(out=self._uniforms)

    def finish(self, scale: ReturnScale) -> Rollout:
        """Value what was observed, and what comes after it, and return the rollout."""
        rollout, view = self.rollout, self.critic_view
        flat = flatten_steps(rollout.observations if view is None else view.inputs)
        values = scale.restore(self.learner.compute_values(flat))
        rollout.values[...] = values.reshape(rollout.values.shape)
        for lane in self.lanes:
            lane.finish(self.learner, scale)
        return rollout

    def learn_moments(self) -> None:
        """Let the normalisers learn from what was observed."""
        self.normalizer.update(flatten_steps(self.rollout.raw_observations))
        if self.critic_view is not None:
            self.critic_view.learn()


def are_finite(array: Float32) -> bool:
    """Say whether all numbers are finite: quickly where the sum of their squares is."""
    flat = array.reshape(-1)
    return math.isfinite(np.vdot(flat, flat)) or bool(np.isfinite(flat).all())


def flatten_steps(array: np.ndarray) -> np.ndarray:
    """Return [T, N, ...] as [T N, ...]."""
    return array.reshape(-1, array.shape[-1])
