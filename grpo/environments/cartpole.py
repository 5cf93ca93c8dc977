"""CartPoles stepped together by one compiled kernel, to the bit as Gymnasium steps its own."""

from __future__ import annotations

from collections.abc import Sequence

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


class CartPolesTogether(BatchArrays):
    """N CartPoles, each started anew in the step that ends its episode.

    Episodes start from the generator that the single environment would use, so they are those of
    ``SteppedOneByOne`` for the same seeds. Constants may differ from environment to environment.

    Attributes:
        constants: [9, N] float64, see ``CONSTANTS``.

    Args:
        environments: N CartPoles for which ``are_cartpoles`` holds; read, never stepped.
    """

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
        self._steps: Int64 = np.zeros(count, dtype=np.int64)
        self._generators: list[np.random.Generator] = []
        self.rewards[...] = 1.0
        self._none = self.ended

    def reset(self, seeds: Sequence[int]) -> None:
        """Start all environments anew; see ``EnvironmentBatch``."""
        self._generators = [gymnasium.utils.seeding.np_random(seed)[0] for seed in seeds]
        self._start(np.arange(len(seeds)))

    def step(self, actions: Int64) -> None:
        """Apply one action per environment; see ``EnvironmentBatch``."""
        state = self._state
        count = step_cartpoles(
            state,
            np.cos(state[2]),  # numpy's, as in Gymnasium: another's may differ in the last bit
            np.sin(state[2]),
            self.constants,
            actions,
            self._steps,
            self._limit,
            self.observations,
            self.terminated,
            self.truncated,
        )
        self.ended = self._none
        if count:
            self.ended = (self.terminated | self.truncated).nonzero()[0]
            self.final[self.ended] = self.observations[self.ended]
            self._start(self.ended)

    def close(self) -> None:
        """Nothing is open."""

    def _start(self, rows: Int64) -> None:
        """Begin an episode in some rows."""
        for i in rows:
            self._state[:, i] = self._generators[i].uniform(-START_RANGE, START_RANGE, size=4)
        self._steps[rows] = 0
        self.observations[rows] = self._state[:, rows].T


@jit(nogil=True, error_model="numpy")
def step_cartpoles(
    state: Float64,
    cosines: Float64,
    sines: Float64,
    constants: Float64,
    actions: Int64,
    steps: Int64,
    limit: int,
    observations: Float32,
    terminated: Bool,
    truncated: Bool,
) -> int:  # pragma: no cover - compiled
    """Move each pole by one Euler step; return how many episodes ended.

    Operations are in the order in which Gymnasium's ``CartPoleVectorEnv`` makes them.

    Args:
        state: [4, N] float64: position, velocity, angle, angular velocity; changed in place.
        cosines: [N] of the angles.
        sines: [N] of the angles.
        constants: [9, N], see ``CONSTANTS``.
        actions: [N], 0 pushes left, 1 right.
        steps: [N] made in each episode; changed in place.
        limit: steps of an episode.
        observations: [N, 4], filled.
        terminated: [N], filled.
        truncated: [N], filled.

    Source: Barto, Sutton and Anderson 1983, Neuronlike adaptive elements, appendix.
    """
    ended = 0
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
        for k in range(4):
            observations[i, k] = np.float32(state[k, i])
        steps[i] += 1
        terminated[i] = x < -edge or x > edge or theta < -most or theta > most
        truncated[i] = steps[i] >= limit
        ended += terminated[i] or truncated[i]
    return ended


def warm() -> None:
    """Run the kernel once; fast where the cache is filled."""
    batch = CartPolesTogether([gymnasium.make("CartPole-v1")])
    batch.reset([0])
    batch.step(np.zeros(1, dtype=np.int64))
