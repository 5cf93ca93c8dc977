"""N hospitals stepped in one call: the batched environment that training and replay use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.compiling.parameters import Parameters, make_parameters
from grpo.environments.hospital.physics.dispatch_kernel import NO_ACTION
from grpo.environments.hospital.physics.event_loop import (
    run_choices,
    run_rules,
    start_clocks,
)
from grpo.environments.hospital.physics.observing import StepOutput, find_forbidden, make_output
from grpo.environments.hospital.physics.privileged import write_privileged
from grpo.environments.hospital.physics.rule_table import stack_rules
from grpo.environments.hospital.physics.state import (
    LIMIT,
    NOW,
    ORIGIN,
    TOTAL,
    State,
    make_state,
)
from grpo.environments.hospital.privileged_features import name_privileged
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.vector import Bool, Float32, Float64, Int64, Transition
from grpo.errors import InputError, ShapeError, SimulationError
from grpo.models.options import find_rivals, forbid_later_options
from grpo.seeding import make_seed_sequence
from grpo.tensors import Tensors, copy_tensor

BURN_IN_RULES = ("fcfs", "strict_acuity", "apq", "c_mu")
BURN_IN_HOURS = (48.0, 72.0)
NO_CHOICE_HOURS = 10_000.0


class HospitalVectorEnvironment:
    """N independent hospitals on one scenario, event driven in continuous time.

    A step carries out one choice per hospital (start the longest-waiting patient of a class, or
    hold) and runs each to its own next choice: no time passes after a start while something still
    fits. Hospitals never terminate. ``reset`` empties all of them, runs each for 48 to 72 hours
    under a rule drawn for it and begins at a random hour. Hospital i depends on
    (seed, i) and on its own actions only, not on N.

    Fulfils ``VectorEnvironment``, ``SavesState``, ``Branches``, ``Divides`` and ``Privileged`` of
    ``grpo.environments.vector``.

    Args:
        compiled: the scenario.
        num_envs: N, at least 1.
        head_weights: [H, Y] weight of each patient type in each head (see ``build_heads``).
        half_life_hours: half-life of the discount, > 0.
        group_labels: names of the groups, heads 1..; for reports only.
        burn_in: whether hospitals start in a typical state; else empty at midnight.
        horizon_hours: hours after which a hospital is truncated and stands still; infinity never.
        earlier_options: [A] of ``find_rivals``, which the masks then go through; None
            allows every option that fits.

    Raises:
        ShapeError: head_weights does not fit the scenario.
    """

    def __init__(
        self,
        compiled: CompiledScenario,
        num_envs: int,
        head_weights: Float64,
        *,
        half_life_hours: float = 24.0,
        group_labels: tuple[str, ...] = (),
        burn_in: bool = True,
        horizon_hours: float = math.inf,
        earlier_options: Int64 | None = None,
    ) -> None:
        if num_envs < 1:
            raise ShapeError(f"num_envs must be at least 1, not {num_envs}")
        self.compiled = compiled
        self.num_envs = num_envs
        self.observation_size = compiled.observation_size
        self.num_actions = compiled.num_actions
        self.num_heads = len(head_weights)
        self.group_labels = group_labels or tuple(f"group {g}" for g in range(self.num_heads - 1))
        self.discount_rate = math.log(2) / half_life_hours
        self.horizon_hours = horizon_hours
        self._burn_in = burn_in
        self._rivals = () if earlier_options is None else find_rivals(earlier_options)
        self._parameters = make_parameters(compiled, head_weights, discount_rate=self.discount_rate)
        rules = [make_rule(name, compiled) for name in BURN_IN_RULES]
        self._rules = stack_rules(rules, len(compiled.capacity))
        self._output = make_output(self._parameters, num_envs, self.observation_size)
        self._live = np.ones(num_envs, dtype=np.bool_)
        self._groups = np.full(num_envs, -1, dtype=np.int64)
        self._no_actions = np.full(num_envs, NO_ACTION, dtype=np.int64)
        self._never = np.zeros(num_envs, dtype=np.bool_)
        self._state = make_state(compiled, num_envs, self.num_heads, 0)

    @property
    def state(self) -> State:
        """The arrays of all hospitals; reading is free, writing is at the reader's risk."""
        return self._state

    @property
    def parameters(self) -> Parameters:
        """The scenario as the kernels see it."""
        return self._parameters

    @property
    def total_rewards(self) -> Float64:
        """[N, H] undiscounted head rewards since reset (a view)."""
        return self._state.heads[:, :, TOTAL]

    @property
    def clocks(self) -> Float64:
        """[N] hours since reset."""
        clock = self._state.clock
        return np.asarray(clock[:, NOW] - clock[:, ORIGIN], dtype=np.float64)

    def reset(self, seed: int) -> tuple[Float32, Bool]:
        """Start all hospitals anew; return observations [N, O] and action masks [N, A].

        Args:
            seed: 0 <= seed < 2**63.

        Raises:
            SimulationError: a hospital never has a choice to make.
        """
        state = make_state(self.compiled, self.num_envs, self.num_heads, seed)
        clock = state.clock
        self._state = state
        self._live[:] = True
        if self._burn_in:
            clock[:, NOW], hours, rules = draw_starts(self.compiled, seed, self.num_envs)
            start_clocks(state, self._parameters)
            clock[:, LIMIT] = clock[:, NOW] + hours
            run_rules(state, self._parameters, rules, self._rules, self._live)
            self._live[:] = True
        else:
            start_clocks(state, self._parameters)
        self._run(self._no_actions, NO_CHOICE_HOURS)
        self._require_choices()
        clock[:, ORIGIN] = clock[:, NOW]
        clock[:, LIMIT] = clock[:, NOW] + self.horizon_hours
        state.heads[:, :, TOTAL] = 0.0
        return self._output.observations, self._output.masks

    def step(self, actions: Int64) -> Transition:
        """Carry out one action per hospital; arrays of the result are reused by the next step.

        Args:
            actions: [N] int64, each allowed by the last masks.

        Raises:
            ShapeError: actions has other axes.
            InputError: at /actions/i, for an action that the mask forbids; nothing has changed.
            SimulationError: a hospital has no more choice to make.
        """
        chosen = np.ascontiguousarray(actions, dtype=np.int64)
        if chosen.shape != (self.num_envs,):
            raise ShapeError(f"actions must be [{self.num_envs}], not {chosen.shape}")
        forbidden = int(find_forbidden(chosen, self._output.masks, self._live))
        if forbidden >= 0:
            raise InputError.single(
                f"/actions/{forbidden}",
                "the mask forbids this action",
                given=int(chosen[forbidden]),
                allowed=", ".join(map(str, np.flatnonzero(self._output.masks[forbidden]))),
            )
        endless = not math.isfinite(self.horizon_hours)
        self._run(chosen, NO_CHOICE_HOURS if endless else math.inf)
        if endless:
            self._require_choices()
        output = self._output
        return Transition(
            observations=output.observations,
            action_masks=output.masks,
            head_rewards=output.rewards,
            discounts=output.discounts,
            elapsed=output.elapsed,
            terminated=self._never,
            truncated=self._never if endless else ~self._live,
            final_observations=output.observations,
            groups=self._groups,
        )

    def branch(self, siblings: int) -> None:
        """Let hospital ``n`` go on from the state of hospital ``n mod N / siblings``.

        Args:
            siblings: how many share a state, a divisor of N. All that is random about patients is
                theirs from arrival on, so siblings meet the same patients for ever.
        """
        families = self.num_envs // siblings
        for array in self._saved_arrays().values():
            for first in range(families, self.num_envs, families):
                array[first : first + families] = array[:families]

    def divide(self, ends: Sequence[int]) -> list[HospitalVectorEnvironment]:
        """Return hospitals up to each end as environments of their own, which share all arrays.

        They may be stepped by threads at the same time, and are of use until the next reset.
        """
        return [self._part(slice(a, b)) for a, b in pairwise((0, *ends))]

    def _part(self, rows: slice) -> HospitalVectorEnvironment:
        """Return some of the hospitals, as views."""
        part = copy(self)
        part.num_envs = rows.stop - rows.start
        part._state = State._make(array[rows] for array in self._state)
        part._output = StepOutput._make(array[rows] for array in self._output)
        part._live, part._groups = self._live[rows], self._groups[rows]
        part._no_actions, part._never = self._no_actions[rows], self._never[rows]
        return part

    @property
    def privileged_size(self) -> int:
        """Number of features that only a critic sees, X."""
        return len(name_privileged(self.compiled))

    def observe_privileged(self, out: Float32) -> None:
        """Write what only a critic sees of all hospitals now, [N, X]: see ``name_privileged``."""
        write_privileged(self._state, self._parameters, out)

    def save_state(self) -> Tensors:
        """Return copies of all arrays that the next step depends on."""
        return {name: array.copy() for name, array in self._saved_arrays().items()}

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from a saved state of as many hospitals of the same scenario.

        Raises:
            CheckpointError: an array is missing or has other axes.
        """
        for name, array in self._saved_arrays().items():
            copy_tensor(tensors, name, array)

    def _saved_arrays(self) -> Tensors:
        """Return the arrays themselves, by name."""
        output = self._output
        own = {"live": self._live, "observations": output.observations, "masks": output.masks}
        return {**self._state._asdict(), **own}

    def _require_choices(self) -> None:
        """Refuse a hospital in which no choice comes up, rather than run it for ever."""
        if not self._live.all():
            raise SimulationError(
                f"hospital {int(self._live.argmin())} had no choice to make in "
                f"{NO_CHOICE_HOURS:.0f} hours: allow HOLD, more classes or more waiting"
            )

    def _run(self, actions: Int64, longest: float) -> None:
        """Run every live hospital to its next choice, or its limit, and write the output."""
        output = self._output
        run_choices(self._state, self._parameters, actions, self._live, longest, output)
        if self._rivals:
            output.masks[...] = forbid_later_options(output.masks, self._rivals)


def draw_starts(
    compiled: CompiledScenario, seed: int, num_envs: int
) -> tuple[Float64, Float64, NDArray[np.int64]]:
    """Draw each hospital's first hour in its cycle, burn-in hours and burn-in rule.

    Returns:
        starts [N] in [0, cycle), hours [N] of burn-in, rules [N] indices into BURN_IN_RULES.
        Row i depends on (seed, i) only: rows are drawn from one stream in order.
    """
    generator = np.random.Generator(np.random.PCG64(make_seed_sequence(seed, "hospital starts")))
    u = generator.random((num_envs, 3))
    low, high = BURN_IN_HOURS
    rules = np.minimum((u[:, 2] * len(BURN_IN_RULES)).astype(np.int64), len(BURN_IN_RULES) - 1)
    return u[:, 0] * compiled.cycle_hours, low + (high - low) * u[:, 1], rules
