"""What every library is asked to do, and how it is judged: the same for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

Act = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Greedy actions [B] for observations [B, O]."""

SOLVED = 475.0
EVALUATION_EPISODES = 100
EVALUATE_EVERY = 2048
HIDDEN = (64, 64)


@dataclass(frozen=True)
class Task:
    """One training: the environment, the work per sample and the budget.

    Attributes:
        environment: CartPole-v1, or the rural hospital.
        num_envs: environments stepped together.
        num_steps: steps of each per iteration.
        minibatch_size: samples of one gradient step.
        update_epochs: passes over an iteration's samples.
        learning_rate: at the start, falling linearly to 0 where the library offers it.
        gamma: discount per step.
        gae_lambda: trace per step.
        ent_coef: weight of the entropy.
        timesteps: environment steps to measure, after one iteration that warms up.
        seed: of everything.
        threads: of the update.
        one_by_one: a peer steps hospitals through Gymnasium one by one, not our batch.
        solve: measure the time until the mean greedy return over 100 episodes reaches 475.
        group_robustness_weight: of ours; peers know none.
        num_groups: groups of the hospital's robust objective.
    """

    environment: Literal["cartpole", "rural"] = "cartpole"
    num_envs: int = 16
    num_steps: int = 128
    minibatch_size: int = 256
    update_epochs: int = 4
    learning_rate: float = 1e-3
    gamma: float = 0.99
    gae_lambda: float = 0.95
    ent_coef: float = 0.01
    timesteps: int = 200_000
    seed: int = 1
    threads: int = 1
    one_by_one: bool = False
    solve: bool = False
    group_robustness_weight: float = 0.0
    num_groups: int = 1

    @property
    def samples(self) -> int:
        """Samples of one iteration."""
        return self.num_envs * self.num_steps

    @property
    def updates_per_sample(self) -> float:
        """Gradient steps per sample collected."""
        return self.update_epochs / self.minibatch_size


class Trainer(Protocol):
    """One library's PPO, set up for a task."""

    def __call__(self, task: Task, after_iteration: Callable[[Act], bool]) -> None:
        """Train, calling ``after_iteration`` after every update until it returns False."""
        ...


@dataclass
class Stopwatch:
    """Counts iterations and seconds of training, without the time that evaluations take.

    Attributes:
        task: what is measured.
        warm_seconds: the first iteration, compilation included.
        seconds: all iterations after the first.
        processor_seconds: likewise, of all threads.
        steps: environment steps in ``seconds``.
        solved_after: seconds from the first step to 475, without the first iteration's compilation
            share (which stands in ``warm_seconds``); None where the budget ended before.
        curve: (steps, mean greedy return) of each evaluation.
    """

    task: Task
    warm_seconds: float = 0.0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    steps: int = 0
    solved_after: float | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)
    _started_processor: float = field(default_factory=time.process_time)
    _next_evaluation: int = EVALUATE_EVERY
    _total_steps: int = 0

    def start(self) -> None:
        """Begin to count; call right before the first environment step."""
        self._started, self._started_processor = time.perf_counter(), time.process_time()

    def after_iteration(self, act: Act) -> bool:
        """Account for one iteration, evaluate where due, and say whether to go on."""
        spent = time.perf_counter() - self._started
        if self._total_steps == 0:
            self.warm_seconds = spent
        else:
            self.seconds += spent
            self.processor_seconds += time.process_time() - self._started_processor
            self.steps += self.task.samples
        self._total_steps += self.task.samples
        if self.task.solve and self._total_steps >= self._next_evaluation:
            self._next_evaluation += EVALUATE_EVERY
            mean = evaluate_cartpole(act, self.task.seed)
            self.curve.append((self._total_steps, mean))
            if mean >= SOLVED and self.solved_after is None:
                self.solved_after = self.seconds + self.warm_seconds
        self.start()
        return self.steps < self.task.timesteps and self.solved_after is None

    def report(self, peer: str, version: str) -> dict[str, Any]:
        """Return the measurement as JSON."""
        return {
            "peer": peer,
            "version": version,
            **asdict(self.task),
            "updates_per_sample": self.task.updates_per_sample,
            "warm_seconds": self.warm_seconds,
            "seconds": self.seconds,
            "steps_per_second": self.steps / self.seconds if self.seconds else None,
            "steps_per_processor_second": self.steps / self.processor_seconds
            if self.processor_seconds
            else None,
            "solved_after": self.solved_after,
            "total_steps": self._total_steps,
            "last_return": self.curve[-1][1] if self.curve else None,
        }


def evaluate_cartpole(act: Act, seed: int) -> float:
    """Return the mean return of the first episode of each of 100 CartPoles under greedy actions."""
    environments = gymnasium.make_vec(
        "CartPole-v1", EVALUATION_EPISODES, vectorization_mode="vector_entry_point"
    )
    observations, _ = environments.reset(seed=seed + 1_000_000)
    running = np.ones(EVALUATION_EPISODES, dtype=np.bool_)
    returns = np.zeros(EVALUATION_EPISODES)
    while running.any():
        actions = act(np.asarray(observations, dtype=np.float32))
        observations, rewards, terminated, truncated, _ = environments.step(actions)
        returns += rewards * running
        running &= ~(terminated | truncated)
    environments.close()
    return float(returns.mean())
