"""The fruit tree of mo-gymnasium: six groups, a binary tree, one fruit at its end.

The best stochastic policy for the worst group is known by linear programming over the leaves,
since a policy that sees the node can reach any distribution over them.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame opens no window
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import gymnasium
import numpy as np
from mo_gymnasium.envs.fruit_tree.fruit_tree import FruitTreeEnv
from scipy.optimize import linprog

from benchmarks.exact_cases import SEEDS, WITHIN_5, Case
from grpo.environments.vector import Float32, Float64
from grpo.environments.vector_rewards import VectorRewardEnvironment
from grpo.models.parameters import NetworkShape
from grpo.models.policy import Policy
from grpo.training.brain import Brain
from grpo.training.loop import TrainingLoop
from grpo.training.objective import make_objective
from grpo.training.setup import freeze_actor
from grpo.training.tabular import make_tabular_algorithm

STEPS = 1_000_000
NUTRIENTS = ("protein", "carbs", "fats", "vitamins", "minerals", "water")


class NodeObservation(gymnasium.ObservationWrapper[Float32, int, Any]):
    """Shows the node as a one among zeros instead of its row and its place in the row."""

    def __init__(self, environment: gymnasium.Env[Any, int]) -> None:
        super().__init__(environment)
        self._depth = int(environment.unwrapped.tree_depth)  # type: ignore[attr-defined]
        size = (2**self._depth - 1,)
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, size, np.float32)

    def observation(self, observation: Any) -> Float32:
        """Return [2^depth - 1]; zeros at a fruit, where nothing is decided any more."""
        row, place = (int(part) for part in observation)
        node = np.zeros(2**self._depth - 1, dtype=np.float32)
        if row < self._depth:
            node[2**row - 1 + place] = 1.0
        return node


def make_tree(depth: int) -> gymnasium.Env[Any, int]:
    """Return the environment with nodes as observations."""
    return NodeObservation(FruitTreeEnv(depth=depth))


def read_fruits(depth: int) -> Float64:
    """Return the rewards [2^depth, 6] of the leaves."""
    tree = FruitTreeEnv(depth=depth).tree
    return np.asarray(tree[2**depth - 1 :], dtype=np.float64)


def solve_maximin(fruits: Float64) -> float:
    """Return the largest worst expectation over distributions on the leaves [L, G]."""
    count, groups = fruits.shape
    found = linprog(
        np.append(np.zeros(count), -1.0),
        np.hstack([-fruits.T, np.ones((groups, 1))]),
        np.zeros(groups),
        np.append(np.ones(count), 0.0)[None],
        [1.0],
        [(0, None)] * count + [(None, None)],
        method="highs",
    )
    if not found.success or found.fun is None:
        raise RuntimeError(f"no maximin: {found.message}")
    return float(-found.fun)


def spread_over_leaves(policy: Policy, depth: int) -> Float64:
    """Return the probability [2^depth] of each leaf."""
    nodes = np.eye(2**depth - 1, dtype=np.float32)
    turns = policy.probabilities(nodes, np.ones((len(nodes), 2), dtype=np.bool_))
    reached: Float64 = np.ones(1)
    for row in range(depth):
        here = turns[2**row - 1 : 2 ** (row + 1) - 1].astype(np.float64)
        reached = (reached[:, None] * here).reshape(-1)
    return reached


def score_tree(depth: int, seed: int, steps: int = STEPS) -> float:
    """Train for ``steps`` steps at w = 1 and return the worst group in percent of the maximin."""
    algorithm = make_tabular_algorithm(
        group_robustness_weight=1.0,
        hidden_sizes=(64,),
        num_steps=4 * depth,
        gamma=1.0,
        gae_lambda=1.0,
    )
    environment = VectorRewardEnvironment(
        lambda: make_tree(depth), algorithm.num_envs, NUTRIENTS, gamma=1.0
    )
    objective = make_objective(algorithm, len(NUTRIENTS), weight_cap=1.0)
    shape = NetworkShape(
        environment.observation_size, algorithm.hidden_sizes, 2, environment.num_heads
    )
    brain = Brain.create(shape, seed)
    loop = TrainingLoop(environment, algorithm, brain, seed=seed, objective=objective)
    iterations = steps // (algorithm.num_envs * algorithm.num_steps)
    for iteration in range(iterations):
        loop.run_iteration(iteration / iterations)
    environment.close()
    policy = freeze_actor(loop, loop.averaged_actor, kind="tabular", config={}, seed=seed)
    fruits = read_fruits(depth)
    worst = (spread_over_leaves(policy, depth) @ fruits).min()
    return float(100 * worst / solve_maximin(fruits))


def fruit_cases() -> tuple[Case, ...]:
    """Return depths 5 to 7: at least 95% of the exact maximin within a million steps."""

    def make(depth: int) -> Case:
        return Case(
            f"fruit tree {depth}, w = 1", lambda seed: score_tree(depth, seed), WITHIN_5, SEEDS
        )

    return tuple(make(depth) for depth in (5, 6, 7))
