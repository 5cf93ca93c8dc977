"""How well everybody and each group fares under the current policy, and how sure that is.

Performance is a ratio of sums (reward over hours, over episodes, over states), never a mean of
ratios, averaged over the latest iterations until its error is small, and no longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from grpo.environments.vector import VectorEnvironment
from grpo.models.parameters import Float32
from grpo.objectives.advantages import Float64, Int64
from grpo.tensors import (
    Tensors,
    copy_tensor,
    join_tensors,
    select_tensors,
    take_number,
    take_tensor,
)
from grpo.training.kernels.episodes import add_episodes, follow_episodes
from grpo.training.ratios import RatioWindow
from grpo.training.rollout import Rollout

FIRST_EPISODES = 100
"""Episodes, the first ones, whose spread measures the scale of returns."""


class FinishedEpisodes(NamedTuple):
    """E episodes in the order of their ends.

    Attributes:
        environments: [E] int64, where each was played.
        rewards: [E] float64, undiscounted returns.
        lengths: [E] int64, steps.
        groups: [E] int64, indices of their groups, -1 for none.
    """

    environments: Int64
    rewards: Float64
    lengths: Int64
    groups: Int64


@dataclass(frozen=True)
class Performance:
    """An estimate of J.

    Attributes:
        mean_return: J_0.
        rates: [H] float64, reward per hour of each head in continuing problems, else zeros.
        returns: [G] float64, J_g; 0 where never seen.
        errors: [G] float64, standard error of J_g minus the groups' mean.
        seen: [G] bool, groups with at least one observation so far.
        shares: [G] float64, share of episodes (or states) sampled from each labelled group.
    """

    mean_return: float
    rates: Float64
    returns: Float64
    errors: Float64
    seen: np.ndarray
    shares: Float64


def certain_performance(mean_return: float, returns: Float64) -> Performance:
    """Return an estimate of J_g [G] without any error, all groups seen."""
    count = len(returns)
    seen, zeros = np.ones(count, dtype=np.bool_), np.zeros(count)
    return Performance(mean_return, zeros, returns, zeros, seen, np.full(count, 1 / count))


class PerformanceTracker:
    """Follows performance over iterations for every kind of problem and of groups.

    Attributes:
        num_episodes: finished episodes so far; only where problems are episodic.
        finished: those that ended since this tracker was made or restored, by iteration.
        first_spread: standard deviation of the first episodes' returns, a scale before there is
            another.
    """

    def __init__(
        self, environment: VectorEnvironment, *, state_groups: bool, siblings: int = 1
    ) -> None:
        """Start at the environment's reset.

        Args:
            environment: whose performance is followed.
            state_groups: labels belong to states, not to episodes.
            siblings: environments ``n``, ``n + N / siblings``, ... share their patients: they count
                as one when errors are estimated. Read in continuing problems.
        """
        self._siblings = siblings
        self._environment = environment
        self._continuing = environment.discount_rate > 0
        self._reward_groups = environment.num_heads > 1
        self._state_groups = state_groups
        self._totals: Float64 = np.array(environment.total_rewards)
        self._clocks: Float64 = np.array(environment.clocks)
        self._running: Float64 = np.zeros(environment.num_envs)
        self._lengths: Int64 = np.zeros(environment.num_envs, dtype=np.int64)
        self._window = RatioWindow()
        self._first_rewards: list[float] = []
        self.first_spread = 0.0
        self.num_episodes = 0
        self.finished: list[FinishedEpisodes] = []

    def go_on(self) -> None:
        """Count from the environment's present totals: its states have been changed."""
        self._totals[...] = self._environment.total_rewards
        self._clocks[...] = self._environment.clocks

    def restart_episodes(self) -> None:
        """Forget the episodes that are under way: the environments have started anew."""
        self._running[...] = 0.0
        self._lengths[...] = 0

    def save_state(self) -> Tensors:
        """Return everything that later estimates depend on."""
        own = {
            "totals": self._totals.copy(),
            "clocks": self._clocks.copy(),
            "running": self._running.copy(),
            "lengths": self._lengths.copy(),
            "first_rewards": np.array(self._first_rewards, dtype=np.float64),
            "num_episodes": np.array(float(self.num_episodes)),
        }
        return own | join_tensors(window=self._window.save_state())

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned; ``finished`` begins empty.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        for name, array in (
            ("totals", self._totals),
            ("clocks", self._clocks),
            ("running", self._running),
            ("lengths", self._lengths),
        ):
            copy_tensor(tensors, name, array)
        self._keep_first(take_tensor(tensors, "first_rewards", (None,), np.float64).tolist())
        self.num_episodes = int(take_number(tensors, "num_episodes"))
        self.finished = []
        self._window.restore_state(select_tensors(tensors, "window"))

    def record(self, rollout: Rollout) -> None:
        """Add one iteration. How a state's group fares is the critic's value of its states."""
        finished = self._follow_episodes(rollout)
        if not self._continuing and not self._reward_groups:
            self._window.add(*self._sum_labels(rollout, finished))
            return
        gained, hours = self._advance()
        num_heads = gained.shape[1]
        if self._continuing:
            spent = np.repeat(hours[:, None], num_heads, axis=1)
            shared = (self._siblings, -1, num_heads)
            self._window.add(*(part.reshape(shared).sum(axis=0) for part in (gained, spent)))
        else:
            ends = (rollout.terminated | rollout.truncated).sum(axis=0).astype(np.float64)
            self._window.add(gained, np.repeat(ends[:, None], num_heads, axis=1))

    def _advance(self) -> tuple[Float64, Float64]:
        """Return rewards [N, H] and hours [N] since the last call."""
        before = self._totals.copy(), self._clocks.copy()
        self.go_on()
        return self._totals - before[0], self._clocks - before[1]

    def _follow_episodes(self, rollout: Rollout) -> FinishedEpisodes:
        """Extend ``finished`` by the episodes that ended, and return them."""
        if self._continuing:
            return _no_episodes()
        steps = rollout.groups.size
        environments, groups, lengths = np.empty((3, steps), dtype=np.int64)
        returns = np.empty(steps)
        count = follow_episodes(
            rollout.rewards,
            rollout.terminated,
            rollout.truncated,
            rollout.groups,
            self._running,
            self._lengths,
            environments,
            returns,
            lengths,
            groups,
        )
        if not count:
            return _no_episodes()
        finished = FinishedEpisodes(
            environments[:count].copy(),
            returns[:count].copy(),
            lengths[:count].copy(),
            groups[:count].copy(),
        )
        self.finished.append(finished)
        self.num_episodes += count
        missing = FIRST_EPISODES - len(self._first_rewards)
        if missing:
            self._keep_first(self._first_rewards + finished.rewards[:missing].tolist())
        return finished

    def _sum_labels(self, rollout: Rollout, finished: FinishedEpisodes) -> tuple[Float64, Float64]:
        """Return sums [N, 1 + G]: everybody by episode, groups by episode or by state."""
        num_envs, num_groups = self._environment.num_envs, len(self._environment.group_labels)
        numerators, denominators = np.zeros((2, num_envs, 1 + num_groups))
        groups = finished.groups
        if self._state_groups:
            groups = np.full_like(groups, -1)
            for group in range(num_groups):
                members = rollout.groups == group
                values = np.where(members, rollout.values[..., 0], 0.0)
                numerators[:, 1 + group] = values.sum(axis=0)
                denominators[:, 1 + group] = members.sum(axis=0)
        add_episodes(finished.environments, finished.rewards, groups, numerators, denominators)
        return numerators, denominators

    def _keep_first(self, rewards: list[float]) -> None:
        """Keep the returns of the first episodes, and their spread."""
        self._first_rewards = rewards
        self.first_spread = float(np.std(rewards)) if len(rewards) > 1 else 0.0

    def estimate(self, target_error: float | Float64) -> Performance:
        """Estimate J with errors below the target, one for all groups or [G], where it can be."""
        ratios, errors, seen, totals = self._window.estimate(target_error)
        counted = totals[1:]
        everybody = counted.sum()
        shares = counted / everybody if everybody > 0 else counted
        mean_return = float(ratios[0]) if seen[0] else float(self._running.mean())
        rates = ratios if self._continuing else np.zeros(len(ratios))
        return Performance(mean_return, rates, ratios[1:], errors, seen[1:], shares)


def explained_variance(values: Float32, returns: Float32) -> float:
    """Return the share of the returns' variance that the values explain, in [-1, 1]."""
    variance = _find_variance(returns)
    if variance <= 0:
        return 0.0
    return max(-1.0, 1.0 - _find_variance(returns - values) / variance)


def _find_variance(numbers: Float32) -> float:
    """Return the mean squared distance from the mean, by sums in float64."""
    exact, count = numbers.astype(np.float64), numbers.size
    deviations = exact - np.add.reduce(exact, axis=None) / count
    return float(np.add.reduce(np.square(deviations), axis=None) / count)


def _no_episodes() -> FinishedEpisodes:
    """Return no episodes."""
    none = np.zeros(0, dtype=np.int64)
    return FinishedEpisodes(none, np.zeros(0), none, none)
