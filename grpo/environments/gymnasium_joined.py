"""Several vector environments of one kind, stepped together: those of seeds trained as a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grpo.environments.gymnasium_vector import GymnasiumVectorEnvironment, make_transition
from grpo.environments.vector import Bool, Float32, Float64, Int64, Transition


class JoinedGymnasium:
    """Vector environments made alike, one after the other; see ``Joins``.

    Fulfils ``grpo.environments.vector.VectorEnvironment``.

    Attributes:
        batch: the environments of all.

    Args:
        members: with as many environments each.
    """

    num_heads = 1
    discount_rate = 0.0

    def __init__(self, members: Sequence[GymnasiumVectorEnvironment]) -> None:
        first, *others = members
        self._members, self._size = members, first.num_envs
        self.num_envs = first.num_envs * len(members)
        self.observation_size, self.num_actions = first.observation_size, first.num_actions
        self.batch = first.batch.join([member.batch for member in others])
        self._transition = make_transition(self.batch, first.gamma)
        self._groups = np.concatenate([member.groups for member in members])
        self._copies = np.tile(np.arange(self._size), len(members))
        self._acting: list[Int64] = []
        for number, member in enumerate(members):
            rows = slice(number * self._size, (number + 1) * self._size)
            member.groups = self._groups[rows]
            self._acting.append(self._transition.groups[rows])

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Names of the first one's groups; each member learns its own."""
        return self._members[0].group_labels

    @property
    def total_rewards(self) -> Float64:
        """[N, 1] rewards since reset."""
        return self.batch.totals

    @property
    def clocks(self) -> Float64:
        """[N] steps since reset of the first one, which all share."""
        return self._members[0].clocks.repeat(len(self._members))

    def reset(self, seed: int) -> tuple[Float32, Bool]:
        """Start all environments anew, those of each member alike."""
        for member in self._members:
            member.reset(seed)
        return self.batch.observations, self.batch.masks

    def step(self, actions: Int64) -> Transition:
        """Apply one action per environment [N] int64; arrays are reused by the next step."""
        if self._members[0].labeller.is_declared:
            self._step_labelled_alike(actions)
        else:
            self._step_labelled_apart(actions)
        return self._transition

    def _step_labelled_alike(self, actions: Int64) -> None:
        """Step, and ask one labeller for all."""
        first, everybody = self._members[0], slice(None)
        if first.is_labelled and first.when == "step":
            self._label(everybody)
        self._transition.groups[...] = self._groups
        self.batch.step(actions)
        for member in self._members:
            member.num_steps += 1
        if first.is_labelled and first.when == "reset" and self.batch.ended.size:
            self._label(self.batch.ended)

    def _label(self, rows: Int64 | slice) -> None:
        """Find the groups of the states that environments are in."""
        copies = self._copies[rows]
        labels = self._members[0].labeller.label(self.batch.observations[rows], copies, copies)
        self._groups[rows] = labels

    def _step_labelled_apart(self, actions: Int64) -> None:
        """Step, and let each member find its own groups."""
        for member, groups in zip(self._members, self._acting, strict=True):
            member.begin_step(groups)
        self.batch.step(actions)
        owners, rows = np.divmod(self.batch.ended, self._size)
        for number, member in enumerate(self._members):
            member.end_step(rows[owners == number])
