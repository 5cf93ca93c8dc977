"""How well everybody and each group fares under the current policy, and how sure that is.

Performance is a ratio of sums (reward over hours, over episodes, over states), never a mean of
ratios, averaged over the latest iterations until its error is small, and no longer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

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
from grpo.training.rollout import Rollout

WINDOW = 20
"""Most iterations that an estimate averages over."""

FIRST_EPISODES = 100
"""Episodes, the first ones, whose spread measures the scale of returns."""

FEW_ENVIRONMENTS = 8
"""With fewer environments, iterations count as further independent samples."""


@dataclass(frozen=True)
class FinishedEpisode:
    """One episode: undiscounted return, length in steps, and index of its group (-1: none)."""

    reward: float
    length: int
    group: int


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


class RatioWindow:
    """Ratios of sums over the latest iterations, with errors from the spread over environments."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: deque[tuple[Float64, Float64]] = deque(maxlen=WINDOW)
        self._last: Float64 = np.zeros(0)
        self._seen = np.zeros(0, dtype=np.bool_)

    def add(self, numerators: Float64, denominators: Float64) -> None:
        """Add one iteration's sums by environment, [N, M] each; M may grow between calls."""
        self._entries.append((numerators, denominators))

    def save_state(self) -> Tensors:
        """Return the window; a column that appeared later is zero before."""
        width = max((num.shape[1] for num, _ in self._entries), default=0)
        sums = [
            np.stack([_widen(entry[part], width) for entry in self._entries])
            if self._entries
            else np.zeros((0, 0, 0))
            for part in (0, 1)
        ]
        return {
            "numerators": sums[0],
            "denominators": sums[1],
            "last": self._last.copy(),
            "seen": self._seen.copy(),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another kind.
        """
        numerators, denominators = (
            take_tensor(tensors, name, (None, None, None), np.float64)
            for name in ("numerators", "denominators")
        )
        self._entries = deque(zip(numerators, denominators, strict=True), maxlen=WINDOW)
        self._last = take_tensor(tensors, "last", (None,), np.float64)
        self._seen = take_tensor(tensors, "seen", (None,), np.bool_)

    def estimate(self, target_error: float) -> tuple[Float64, Float64, np.ndarray, Float64]:
        """Return ratios [M], errors [M - 1], seen [M] and total denominators [M].

        The first column is everybody; the errors are those of the other columns' differences
        from their mean. Columns without any observation in the window keep their last ratio.
        """
        width = max(num.shape[1] for num, _ in self._entries)
        recent = [(_widen(num, width), _widen(den, width)) for num, den in reversed(self._entries)]
        for count in range(1, len(recent) + 1):
            numerators = np.stack([num for num, _ in recent[:count]])
            denominators = np.stack([den for _, den in recent[:count]])
            ratios, errors, totals = _ratios(numerators, denominators)
            if np.all(totals > 0) and np.all(errors <= target_error):
                break
        known = np.zeros(width)
        known[: len(self._last)] = self._last
        seen = totals > 0
        seen[: len(self._seen)] |= self._seen
        self._last = np.where(totals > 0, ratios, known)
        self._seen = seen
        return self._last, errors, seen, totals


def _widen(array: Float64, width: int) -> Float64:
    """Pad columns with zeros: a group that was not known yet had nobody."""
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))


def _ratios(numerators: Float64, denominators: Float64) -> tuple[Float64, Float64, Float64]:
    """Return ratios [M], errors [M - 1] and totals [M] of sums [I, N, M] over I iterations."""
    if numerators.shape[1] >= FEW_ENVIRONMENTS:
        numerators, denominators = numerators.sum(axis=0), denominators.sum(axis=0)
    else:
        numerators = numerators.reshape(-1, numerators.shape[-1])
        denominators = denominators.reshape(-1, denominators.shape[-1])
    totals = denominators.sum(axis=0)
    safe = np.where(totals > 0, totals, 1.0)
    ratios = numerators.sum(axis=0) / safe
    residuals = ((numerators - ratios * denominators) / safe)[:, 1:]
    present = totals[1:] > 0
    if present.any():
        residuals = residuals - residuals[:, present].mean(axis=1, keepdims=True)
    samples = len(residuals)
    if samples < 2:
        return ratios, np.full(len(ratios) - 1, np.inf), totals
    errors = np.sqrt(np.square(residuals).sum(axis=0) * (samples / (samples - 1)))
    return ratios, np.where(present, errors, np.inf), totals


class PerformanceTracker:
    """Follows performance over iterations for every kind of problem and of groups.

    Attributes:
        num_episodes: finished episodes so far; only where problems are episodic.
        episodes: those that finished since this tracker was made or restored, in order.
    """

    def __init__(self, environment: VectorEnvironment, *, state_groups: bool) -> None:
        """Start at the environment's reset."""
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
        self.num_episodes = 0
        self.episodes: list[FinishedEpisode] = []

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
        """Go on from what ``save_state`` returned; ``episodes`` begins empty.

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
        self._first_rewards = take_tensor(tensors, "first_rewards", (None,), np.float64).tolist()
        self.num_episodes = int(take_number(tensors, "num_episodes"))
        self.episodes = []
        self._window.restore_state(select_tensors(tensors, "window"))

    def record(self, rollout: Rollout) -> None:
        """Add one iteration. How a state's group fares is the critic's value of its states."""
        finished = self._follow_episodes(rollout)
        totals, clocks = (
            np.array(self._environment.total_rewards),
            np.array(self._environment.clocks),
        )
        gained, hours = totals - self._totals, clocks - self._clocks
        self._totals, self._clocks = totals, clocks
        if self._continuing:
            self._window.add(gained, np.repeat(hours[:, None], gained.shape[1], axis=1))
        elif self._reward_groups:
            ends = (rollout.terminated | rollout.truncated).sum(axis=0).astype(np.float64)
            self._window.add(gained, np.repeat(ends[:, None], gained.shape[1], axis=1))
        else:
            self._window.add(*self._sum_labels(rollout, finished))

    def _follow_episodes(self, rollout: Rollout) -> list[tuple[int, FinishedEpisode]]:
        """Extend ``episodes``; return those that ended with their environment."""
        if self._continuing:
            return []
        ended = rollout.terminated | rollout.truncated
        finished = []
        for t in range(len(ended)):
            self._running += rollout.rewards[t, :, 0]
            self._lengths += 1
            for i in np.flatnonzero(ended[t]):
                episode = FinishedEpisode(
                    float(self._running[i]), int(self._lengths[i]), int(rollout.groups[t, i])
                )
                finished.append((int(i), episode))
                self._running[i], self._lengths[i] = 0.0, 0
        self.episodes += [episode for _, episode in finished]
        self.num_episodes += len(finished)
        missing = FIRST_EPISODES - len(self._first_rewards)
        self._first_rewards += [episode.reward for _, episode in finished[:missing]]
        return finished

    def _sum_labels(
        self, rollout: Rollout, finished: list[tuple[int, FinishedEpisode]]
    ) -> tuple[Float64, Float64]:
        """Return sums [N, 1 + G]: everybody by episode, groups by episode or by state."""
        num_envs, num_groups = self._environment.num_envs, len(self._environment.group_labels)
        numerators = np.zeros((num_envs, 1 + num_groups))
        denominators = np.zeros_like(numerators)
        for i, episode in finished:
            columns = [0] if self._state_groups or episode.group < 0 else [0, 1 + episode.group]
            numerators[i, columns] += episode.reward
            denominators[i, columns] += 1
        if self._state_groups:
            for group in range(num_groups):
                members = rollout.groups == group
                numerators[:, 1 + group] = np.where(members, rollout.values[..., 0], 0.0).sum(
                    axis=0
                )
                denominators[:, 1 + group] = members.sum(axis=0)
        return numerators, denominators

    @property
    def first_spread(self) -> float:
        """Standard deviation of the first episodes' returns, a scale before there is another."""
        rewards = self._first_rewards
        return float(np.std(rewards)) if len(rewards) > 1 else 0.0

    def estimate(self, target_error: float) -> Performance:
        """Estimate J with errors below the target where the window allows."""
        ratios, errors, seen, totals = self._window.estimate(target_error)
        counted = totals[1:]
        shares = counted / counted.sum() if counted.sum() > 0 else counted
        mean_return = float(ratios[0]) if seen[0] else float(self._running.mean())
        rates = ratios if self._continuing else np.zeros_like(ratios)
        return Performance(mean_return, rates, ratios[1:], errors, seen[1:], shares)


def explained_variance(values: Float32, returns: Float32) -> float:
    """Return the share of the returns' variance that the values explain, in [-1, 1]."""
    variance = float(np.var(returns, dtype=np.float64))
    if variance <= 0:
        return 0.0
    unexplained = float(np.var(returns - values, dtype=np.float64))
    return max(-1.0, 1.0 - unexplained / variance)
