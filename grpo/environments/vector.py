"""The contract between environments and training: N environments stepped in one call.

The hospital and foreign Gymnasium environments both fulfil it; training knows nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from grpo.tensors import Tensors

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


class Transition(NamedTuple):
    """What one step of N environments gives. Arrays may be reused by the next step: copy to keep.

    Attributes:
        observations: [N, O] float32, what the next decision sees (after any automatic reset).
        action_masks: [N, A] bool, allowed next actions; at least one per row.
        head_rewards: [N, H] float32, discounted inside the step's interval. Head 0 is the mean
            objective; heads 1..G are the groups' where groups are reward groups, else H = 1.
        discounts: [N] float32 in [0, 1], gamma, or exp(-beta * elapsed hours).
        elapsed: [N] float32, hours that passed, or 1 per step.
        terminated: [N] bool, the episode ended and has no future.
        truncated: [N] bool, the episode was cut by a time limit.
        final_observations: [N, O] float32, read only where terminated or truncated.
        groups: [N] int64, group of the state that was acted in (episode and state groups), -1 when
            groups are reward groups.
    """

    observations: Float32
    action_masks: Bool
    head_rewards: Float32
    discounts: Float32
    elapsed: Float32
    terminated: Bool
    truncated: Bool
    final_observations: Float32
    groups: Int64


class VectorEnvironment(Protocol):
    """N environments with one observation size, one number of actions and one set of groups."""

    num_envs: int
    observation_size: int
    num_actions: int
    num_heads: int
    discount_rate: float
    """beta per hour in continuing problems, where rewards are centred; 0 for episodic ones."""

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Names of the groups by index; may grow where groups are learned as they appear."""
        ...

    @property
    def total_rewards(self) -> Float64:
        """[N, H] undiscounted head rewards since reset: continuing performance is their rate."""
        ...

    @property
    def clocks(self) -> Float64:
        """[N] hours (or steps) since reset."""
        ...

    def reset(self, seed: int) -> tuple[Float32, Bool]:
        """Start all environments anew; return observations [N, O] and action masks [N, A]."""
        ...

    def step(self, actions: Int64) -> Transition:
        """Apply one action per environment, [N] int64, each allowed by the last masks."""
        ...


@runtime_checkable
class SavesState(Protocol):
    """A vector environment whose whole state is arrays, so that training can go on from them."""

    def save_state(self) -> Tensors:
        """Return copies of everything that ``step`` depends on."""
        ...

    def restore_state(self, tensors: Tensors) -> None:
        """Take the state over; environments already reset then go on as the saved ones did.

        Raises:
            CheckpointError: the arrays are not those of such environments.
        """
        ...


@runtime_checkable
class Branches(Protocol):
    """A vector environment whose members can go on from one state, through one future."""

    def branch(self, siblings: int) -> None:
        """Give environment ``n`` the whole state of environment ``n mod N / siblings``.

        Observations and masks given out before follow in place. From there on the members differ
        by their actions only: everything random that no action decides is the same.

        Args:
            siblings: how many share a state, a divisor of N.
        """
        ...


@runtime_checkable
class Divides(Protocol):
    """A vector environment that threads can step in parts, at the same time."""

    def divide(self, ends: Sequence[int]) -> Sequence[VectorEnvironment]:
        """Return its parts, which share everything with it until it is reset.

        Stepping every part once is stepping the whole once, to the bit.

        Args:
            ends: where parts end, increasing; the last one is N.
        """
        ...


@runtime_checkable
class Joins(Protocol):
    """A vector environment that can be stepped together with others made alike."""

    def join(self, others: Sequence[Any]) -> tuple[VectorEnvironment, Float32, Bool]:
        """Return the environments of all, one after the other.

        Stepping them is stepping each, to the bit. Each can still be asked for what it counted,
        or started anew, but not stepped.

        Args:
            others: of the same class, with the same number of environments.

        Returns:
            the environments, and the observations and masks that they show: always the present
            ones, for every later step and start writes into these arrays.
        """
        ...


@runtime_checkable
class Privileged(Protocol):
    """A vector environment that tells a critic more than it tells the policy.

    A baseline may depend on anything but the action, so the gradient stays unbiased. No policy
    is given these features and none needs them when it serves. Members that are truncated must
    stand still: the features belong to the state that the last step ended in.
    """

    @property
    def privileged_size(self) -> int:
        """Number of privileged features, X."""
        ...

    def observe_privileged(self, out: Float32) -> None:
        """Write what the critic sees of the present state beyond the observations, [N, X]."""
        ...


@runtime_checkable
class RestartsEpisodes(Protocol):
    """A vector environment whose state cannot be saved: it is started anew from time to time.

    Every training starts all episodes anew after ``segment_steps`` steps (rounded up to whole
    iterations), with a seed from the training's seed and the iteration. What follows then depends
    on nothing that an environment keeps, and a training can go on there from a checkpoint.
    """

    @property
    def segment_steps(self) -> int:
        """Steps after which episodes start anew, at least 1."""
        ...

    def restart(self, seed: int) -> tuple[Float32, Bool]:
        """Start all episodes anew; totals, clocks and the numbering of episodes go on."""
        ...
