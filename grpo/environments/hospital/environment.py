"""One hospital as a Gymnasium environment: the batched simulator with N = 1."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from grpo.environments.hospital.scenario import (
    CompiledScenario,
    compile_scenario,
    load_scenario,
)
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.registry import HOSPITAL_ID
from grpo.grouping.heads import GroupTarget, build_heads
from grpo.grouping.specs import AttributeGroups

# log(1 + x) of a million hours or patients is 13.8.
LARGEST_LOG = 16.0

Observation = NDArray[np.float32]


class HospitalEnv(gymnasium.Env[Observation, np.int64]):
    """Decide who is treated next in a hospital where not everybody can be at once.

    ## Observation
    `Box` float32, ``K`` classes, ``A`` activities and ``P`` pools (names: ``feature_names``)

    | index | meaning | unit | range |
    |---|---|---|---|
    | 0 .. K-1 | patients waiting, by class | log(1 + number) | 0 to 16 |
    | K .. 2K-1 | longest wait, by class | log(1 + hours) | 0 to 16 |
    | 2K .. 3K-1 | somebody waits, by class | 0 or 1 | 0 to 1 |
    | 3K .. 3K+P-1 | free units, by pool | share of the capacity now | 0 to 1 |
    | 3K+P .. 3K+2P-1 | capacity now, by pool | share of the scenario's | from 0 |
    | next two | sine and cosine of the hour of day | | -1 to 1 |
    | last two, where days differ | sine and cosine of the hour of week | | -1 to 1 |

    ## Actions
    `Discrete(A + 1)`: start the longest-waiting patient of a class on one of its sets of units, or
    (A) hold what is free until the next event, 15 minutes at most. ``action_masks()`` and
    ``info["action_mask"]`` say what is allowed. An action that is not allowed is carried out as
    HOLD (with ``hold=False``: as the allowed activity whose first patient has waited longest);
    ``info["action"]`` is what was done.

    ## Reward
    Minus the cost of delay per patient (head 0), discounted inside the step; ``info`` has
    ``reward_vector`` (the groups), ``tau_h`` hours that passed, ``discount`` exp(-beta tau) for the
    transition, ``time_h`` since the start, ``action_mask``. Use ``discount``, not a fixed gamma.

    ## Groups
    Patients by ``groups`` (declared attributes); the names are in ``group_labels``.

    ## Start
    A typical state at a random hour, after 48 to 72 hours under a rule drawn at random.

    ## End
    Never terminates; truncated after ``horizon_hours``.

    ## Arguments
    ``scenario`` name of a built-in scenario, ``group_aware``, ``hold``, ``groups``,
    ``group_target`` (standardised or raw), ``half_life_hours``, ``horizon_hours``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's declaration)

    def __init__(
        self,
        scenario: str = "rural_hospital",
        *,
        group_aware: bool = False,
        hold: bool = True,
        groups: tuple[str, ...] = ("age_group",),
        group_target: GroupTarget = "standardised",
        half_life_hours: float = 24.0,
        horizon_hours: float = 168.0,
    ) -> None:
        compiled = compile_scenario(load_scenario(scenario), group_aware=group_aware, hold=hold)
        heads = build_heads(compiled, AttributeGroups(attributes=groups), group_target)
        self.vector = HospitalVectorEnvironment(
            compiled,
            1,
            heads.weights,
            half_life_hours=half_life_hours,
            group_labels=heads.labels,
            horizon_hours=horizon_hours,
        )
        self.compiled = compiled
        self.group_labels = heads.labels
        self.feature_names = compiled.feature_names
        low, high = _bounds(compiled)
        self.observation_space = spaces.Box(low, high, dtype=np.float32)
        self.action_space = spaces.Discrete(compiled.num_actions)
        self._observation = np.zeros(compiled.observation_size, dtype=np.float32)
        self._mask = np.ones(compiled.num_actions, dtype=np.bool_)

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed now, [A + 1] bool."""
        return self._mask.copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a new episode; the same seed gives the same hospital and the same patients."""
        super().reset(seed=seed)
        del options
        observations, masks = self.vector.reset(int(self.np_random.integers(2**63)))
        self._observation, self._mask = observations[0].copy(), masks[0].copy()
        zeros = np.zeros(len(self.group_labels), dtype=np.float32)
        return self._observation, self._info(zeros, 0.0, 1.0, None)

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out an action and run to the next choice or to the horizon."""
        taken = int(action) if self._mask[int(action)] else self._replacement()
        transition = self.vector.step(np.array([taken]))
        self._observation = transition.observations[0].copy()
        self._mask = transition.action_masks[0].copy()
        rewards = transition.head_rewards[0].copy()
        info = self._info(
            rewards[1:], float(transition.elapsed[0]), float(transition.discounts[0]), taken
        )
        return self._observation, float(rewards[0]), False, bool(transition.truncated[0]), info

    def _replacement(self) -> int:
        """Return the allowed action that stands in for a forbidden one."""
        if self.compiled.hold or self._mask[-1]:
            return self.compiled.hold_action
        waits = self._observation[self.compiled.wait_features][self.compiled.activity_class]
        return int(np.where(self._mask[:-1], waits, -1.0).argmax())

    def _info(
        self, rewards: NDArray[np.float32], elapsed: float, discount: float, action: int | None
    ) -> dict[str, Any]:
        return {
            "action": action,
            "action_mask": self._mask.copy(),
            "reward_vector": rewards,
            "tau_h": elapsed,
            "discount": discount,
            "time_h": float(self.vector.clocks[0]),
        }


def _bounds(compiled: CompiledScenario) -> tuple[Observation, Observation]:
    """Return the least and the largest value of every feature."""
    num_classes, num_pools = compiled.num_classes, len(compiled.capacity)
    size, last = compiled.observation_size, 3 * num_classes + 2 * num_pools
    low, high = np.zeros(size, dtype=np.float32), np.full(size, LARGEST_LOG, dtype=np.float32)
    high[2 * num_classes : 3 * num_classes + num_pools] = 1.0
    # A surge may staff more than the scenario's own units.
    high[last - num_pools : last] = np.maximum(compiled.peak_capacity / compiled.capacity, 1.0)
    low[last:], high[last:] = -1.0, 1.0
    return low, high


def register() -> None:
    """Register the environment with Gymnasium under its id; doing so again changes nothing."""
    if HOSPITAL_ID not in gymnasium.registry:
        gymnasium.register(id=HOSPITAL_ID, entry_point=f"{__name__}:{HospitalEnv.__name__}")


register()
