"""Small Markov decision processes given by arrays, stepped N at once: where optima are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from grpo.environments.vector import Bool, Float32, Float64, Int64, Transition
from grpo.errors import InputError, ShapeError
from grpo.seeding import make_generator
from grpo.tensors import Tensors, copy_tensor, restore_generator, save_generator


@dataclass(frozen=True, eq=False)
class TabularProblem:
    """A finite Markov decision process with G groups, S states and A actions.

    Reward groups: every step gives each group its own reward, and everybody's is their average by
    share. Episode groups: an episode belongs to one group, drawn by share when it begins and
    hidden from the policy unless ``visible``; only that group's reward counts in it.

    Attributes:
        name: what it is called in tables.
        transitions: [S, A, S] P(s'|s, a), rows sum to 1.
        rewards: [G, S, A], finite.
        start: [S] distribution of the first state.
        shares: [G] the groups' shares in the mean, summing to 1.
        gamma: discount in [0, 1).
        kind: reward or episode groups.
        visible: whether the policy sees the group of an episode.
    """

    name: str
    transitions: Float64
    rewards: Float64
    start: Float64
    shares: Float64
    gamma: float
    kind: Literal["reward", "episode"] = "reward"
    visible: bool = False
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check the axes, and name the groups by number.

        Raises:
            ShapeError: axes differ from those above.
            InputError: rows are no probabilities, a reward or the discount is out of range.
        """
        num_states, num_actions = self.start.shape[0], self.transitions.shape[1]
        for array, expected in (
            (self.transitions, (num_states, num_actions, num_states)),
            (self.rewards, (len(self.shares), num_states, num_actions)),
        ):
            if array.shape != expected:
                raise ShapeError(f"expected axes {expected}, got {array.shape}")
        for name in ("transitions", "start", "shares"):
            rows = getattr(self, name)
            if (rows < 0).any() or not np.allclose(rows.sum(axis=-1), 1, atol=1e-9):
                raise InputError.single(f"/{name}", "not probabilities that sum to 1")
        if not np.isfinite(self.rewards).all():
            raise InputError.single("/rewards", "not finite")
        if not 0 <= self.gamma < 1:
            raise InputError.single("/gamma", "out of range", given=self.gamma, allowed="[0, 1)")
        object.__setattr__(self, "labels", tuple(f"group {g + 1}" for g in range(self.num_groups)))

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.start)

    @property
    def num_actions(self) -> int:
        """A."""
        return int(self.transitions.shape[1])

    @property
    def num_groups(self) -> int:
        """G."""
        return len(self.shares)

    @property
    def observation_size(self) -> int:
        """O: one feature per state, and one per group where the policy sees the group."""
        return self.num_states + (self.num_groups if self.visible else 0)

    def observe(self, states: Int64, groups: Int64) -> Float32:
        """Return observations [B, O]: ones at the state, and at the group where it is visible."""
        observations = np.zeros((len(states), self.observation_size), dtype=np.float32)
        rows = np.arange(len(states))
        observations[rows, states] = 1.0
        if self.visible:
            observations[rows, self.num_states + groups] = 1.0
        return observations


class TabularVectorEnvironment:
    """N copies of a tabular problem, whose episodes end by chance so that returns are discounted.

    An episode ends after every step with probability 1 - gamma: the sum of its rewards then has
    the discounted return as expectation, and states are visited as often as the discounted
    occupancy says, so that the policy gradient is that of the return from the start. Ends count as
    truncation: the value of what would have followed is known and replaces the chance of ending.

    Fulfils ``grpo.environments.vector.VectorEnvironment`` and ``SavesState``.

    Args:
        problem: the arrays.
        num_envs: N, at least 1.
    """

    discount_rate = 0.0

    def __init__(self, problem: TabularProblem, num_envs: int) -> None:
        if num_envs < 1:
            raise ShapeError(f"num_envs must be at least 1, not {num_envs}")
        self.problem, self.num_envs = problem, num_envs
        self.observation_size, self.num_actions = problem.observation_size, problem.num_actions
        self._by_reward = problem.kind == "reward"
        self.num_heads = 1 + problem.num_groups if self._by_reward else 1
        self.group_labels = problem.labels
        mean = np.tensordot(problem.shares, problem.rewards, axes=1)
        self._heads = np.concatenate([mean[None], problem.rewards]).transpose(1, 2, 0)
        self._following = np.cumsum(problem.transitions, axis=2)
        self._first, self._share = np.cumsum(problem.start), np.cumsum(problem.shares)
        self._discounts = np.full(num_envs, problem.gamma, dtype=np.float32)
        self._ones = np.ones(num_envs, dtype=np.float32)
        self._masks: Bool = np.ones((num_envs, self.num_actions), dtype=np.bool_)
        self._states: Int64 = np.zeros(num_envs, dtype=np.int64)
        self._groups: Int64 = np.zeros(num_envs, dtype=np.int64)
        self._rng = make_generator(0, "tabular")
        self.total_rewards: Float64 = np.zeros((num_envs, self.num_heads))
        self.clocks: Float64 = np.zeros(num_envs)

    def reset(self, seed: int) -> tuple[Float32, Bool]:
        """Start all episodes; return observations [N, O] and masks [N, A], all true."""
        self._rng = make_generator(seed, "tabular")
        self.total_rewards[...] = 0.0
        self.clocks[...] = 0.0
        self._begin(np.ones(self.num_envs, dtype=np.bool_))
        return self.problem.observe(self._states, self._groups), self._masks

    def step(self, actions: Int64) -> Transition:
        """Apply one action per copy, [N] int64 in 0..A-1."""
        problem, acted = self.problem, self._groups.copy()
        rewards = self._heads[self._states, actions]
        if not self._by_reward:
            rewards = np.take_along_axis(rewards, 1 + acted[:, None], axis=1)
        rows = self._following[self._states, actions]
        draws = self._rng.random((2, self.num_envs))
        self._states = _invert(rows, draws[0])
        ended = draws[1] >= problem.gamma
        final = problem.observe(self._states, self._groups)
        self._begin(ended)
        self.total_rewards += rewards
        self.clocks += 1.0
        never, has_future = np.zeros_like(ended), problem.gamma > 0
        return Transition(
            observations=problem.observe(self._states, self._groups),
            action_masks=self._masks,
            head_rewards=rewards.astype(np.float32),
            discounts=self._discounts,
            elapsed=self._ones,
            terminated=never if has_future else ended,
            truncated=ended if has_future else never,
            final_observations=final,
            groups=np.full_like(acted, -1) if self._by_reward else acted,
        )

    def _begin(self, ended: Bool) -> None:
        """Draw first states, and groups where they belong to episodes, where episodes begin."""
        count = int(ended.sum())
        draws = self._rng.random((2, count))
        self._states[ended] = _invert(self._first, draws[0])
        if not self._by_reward:
            self._groups[ended] = _invert(self._share, draws[1])

    def save_state(self) -> Tensors:
        """Return copies of all that the next step depends on."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return arrays | {"rng": save_generator(self._rng)}

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from a saved state of as many copies of the same problem.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        for name, array in self._arrays().items():
            copy_tensor(tensors, name, array)
        restore_generator(self._rng, tensors, "rng")

    def _arrays(self) -> Tensors:
        return {
            "states": self._states,
            "groups": self._groups,
            "total_rewards": self.total_rewards,
            "clocks": self.clocks,
        }


def _invert(cumulative: Float64, uniforms: Float64) -> Int64:
    """Return indices [B] drawn from distribution functions [B, S] or [S] by uniforms [B]."""
    if cumulative.ndim == 1:
        drawn = np.searchsorted(cumulative, uniforms, side="right")
    else:
        drawn = (cumulative <= uniforms[:, None]).sum(axis=1)
    return np.asarray(np.minimum(drawn, cumulative.shape[-1] - 1), dtype=np.int64)
