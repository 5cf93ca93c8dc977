"""CartPoles stepped together by one compiled kernel, to the bit as Gymnasium steps its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import gymnasium
import numpy as np

from grpo.environments.gymnasium_batches import AnyEnv, BatchArrays
from grpo.environments.vector import Bool, Float32, Float64, Int64
from grpo.jit import jit

CONSTANTS = (
    "gravity",
    "masspole",
    "total_mass",
    "length",
    "polemass_length",
    "force_mag",
    "tau",
    "theta_threshold_radians",
    "x_threshold",
)
START_RANGE = 0.05
"""Every component of a first state is uniform in plus or minus this."""
STARTS_AT_ONCE = 8
"""First states drawn ahead for each environment: its generator gives the same ones by one."""


class CartPolesTogether(BatchArrays):
    """N CartPoles, each started anew in the step that ends its episode.

    Episodes start from the generator that the single environment would use, so they are those of
    ``SteppedOneByOne`` for the same seeds. Constants may differ from environment to environment.

    Attributes:
        constants: [9, N] float64, see ``CONSTANTS``.

    Args:
        environments: N CartPoles for which ``are_cartpoles`` holds; read, never stepped.
    """

    by_row = (*BatchArrays.by_row, "_steps", "_starts", "_used", "_generators")

    def __init__(self, environments: Sequence[AnyEnv]) -> None:
        count = len(environments)
        super().__init__(count, 4, 2)
        spec = environments[0].spec
        self._limit = (spec.max_episode_steps if spec is not None else None) or 2**31 - 1
        inner = [environment.unwrapped for environment in environments]
        self.constants: Float64 = np.array(
            [[getattr(cartpole, name) for cartpole in inner] for name in CONSTANTS],
            dtype=np.float64,
        )
        self._state: Float64 = np.zeros((4, count))
        self._cosines, self._sines = np.zeros(count), np.zeros(count)
        self._steps: Int64 = np.zeros(count, dtype=np.int64)
        self._starts: Float64 = np.zeros((count, STARTS_AT_ONCE, 4))
        self._used: Int64 = np.zeros(count, dtype=np.int64)
        self._ended: Int64 = np.zeros(count, dtype=np.int64)
        self._generators = np.empty(count, dtype=np.object_)
        self._environments = environments
        self.rewards[...] = 1.0

    def reset(self, seeds: Sequence[int]) -> None:
        """Start all environments anew; see ``EnvironmentBatch``."""
        self._generators[:] = [gymnasium.utils.seeding.np_random(seed)[0] for seed in seeds]
        self._draw_starts(range(len(seeds)))
        self._state[...] = self._starts[:, 0].T
        self._used[...] = 1
        self._steps[...] = 0
        self.observations[...] = self._starts[:, 0]

    def step(self, actions: Int64) -> None:
        """Apply one action per environment; see ``EnvironmentBatch``."""
        angles = self._state[2]
        np.cos(angles, out=self._cosines)  # numpy's, as in Gymnasium: another's may differ in
        np.sin(angles, out=self._sines)  # the last bit
        count = step_cartpoles(
            self._state,
            self._cosines,
            self._sines,
            self.constants,
            actions,
            self._steps,
            self._limit,
            self._starts,
            self._used,
            self.rewards,
            self.totals,
            self.observations,
            self.final,
            self.terminated,
            self.truncated,
            self._ended,
        )
        self.ended = self._ended[:count]
        if count:
            self._draw_starts(self.ended[self._used[self.ended] == STARTS_AT_ONCE])

    def close(self) -> None:
        """Nothing is open."""

    def join(self, others: Sequence[CartPolesTogether]) -> CartPolesTogether:
        """Return this and others as one; see ``EnvironmentBatch``."""
        parts = (self, *others)
        environments = [environment for part in parts for environment in part._environments]
        whole, end = CartPolesTogether(environments), 0
        for part in parts:
            start, end = end, end + len(part._environments)
            part.become_view(whole, slice(start, end))
            whole._state[:, start:end] = part._state
            part._state = whole._state[:, start:end]
        return whole

    def _draw_starts(self, rows: Iterable[int]) -> None:
        """Draw the next first states of some environments, which have used up theirs."""
        for i in rows:
            self._starts[i] = self._generators[i].uniform(
                -START_RANGE, START_RANGE, size=(STARTS_AT_ONCE, 4)
            )
            self._used[i] = 0


@jit(nogil=True, error_model="numpy")
def step_cartpoles(
    state: Float64,
    cosines: Float64,
    sines: Float64,
    constants: Float64,
    actions: Int64,
    steps: Int64,
    limit: int,
    starts: Float64,
    used: Int64,
    rewards: Float32,
    totals: Float64,
    observations: Float32,
    final: Float32,
    terminated: Bool,
    truncated: Bool,
    ended: Int64,
) -> int:  # pragma: no cover - compiled
    """Move each pole by one Euler step, begin anew what ended, and return how many ended.

    Operations are in the order in which Gymnasium's ``CartPoleVectorEnv`` makes them.

    Args:
        state: [4, N] float64: position, velocity, angle, angular velocity; changed in place.
        cosines: [N] of the angles.
        sines: [N] of the angles.
        constants: [9, N], see ``CONSTANTS``.
        actions: [N], 0 pushes left, 1 right.
        steps: [N] made in each episode; changed in place.
        limit: steps of an episode.
        starts: [N, K, 4] first states of the next episodes.
        used: [N] how many of them are used up, less than K; changed in place.
        rewards: [N, 1] of every step.
        totals: [N, 1], added to.
        observations: [N, 4], filled.
        final: [N, 4], filled where an episode ended.
        terminated: [N], filled.
        truncated: [N], filled.
        ended: [N], filled with the environments whose episodes ended, as many as there are.

    Source: Barto, Sutton and Anderson 1983, Neuronlike adaptive elements, appendix.
    """
    count = 0
    for i in range(state.shape[1]):
        gravity, masspole, total, length, polemass, push, tau, most, edge = constants[:, i]
        x, x_dot, theta, theta_dot = state[:, i]
        cosine, sine = cosines[i], sines[i]
        force = push if actions[i] == 1 else -push
        thrust = (force + polemass * (theta_dot * theta_dot) * sine) / total
        inertia = length * (4.0 / 3.0 - masspole * (cosine * cosine) / total)
        turning = (gravity * sine - cosine * thrust) / inertia
        moving = thrust - polemass * turning * cosine / total
        x, x_dot = x + tau * x_dot, x_dot + tau * moving
        theta, theta_dot = theta + tau * theta_dot, theta_dot + tau * turning
        state[0, i], state[1, i], state[2, i], state[3, i] = x, x_dot, theta, theta_dot
        steps[i] += 1
        totals[i, 0] += rewards[i, 0]
        terminated[i] = x < -edge or x > edge or theta < -most or theta > most
        truncated[i] = steps[i] >= limit
        if terminated[i] or truncated[i]:
            for k in range(4):
                final[i, k] = np.float32(state[k, i])
                state[k, i] = starts[i, used[i], k]
            used[i] += 1
            steps[i] = 0
            ended[count] = i
            count += 1
        for k in range(4):
            observations[i, k] = np.float32(state[k, i])
    return count


def warm() -> None:
    """Run the kernel once; fast where the cache is filled."""
    batch = CartPolesTogether([gymnasium.make("CartPole-v1")])
    batch.reset([0])
    batch.step(np.zeros(1, dtype=np.int64))
