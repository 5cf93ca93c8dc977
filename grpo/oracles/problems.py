"""Problems whose fair optimum is known exactly, and what a policy is worth in them.

T1 to T4 are small enough to be solved by hand; random ones are solved by linear programming.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from grpo.environments.tabular import TabularProblem
from grpo.environments.vector import Float64
from grpo.oracles.markov import evaluate_policy, solve_robust_mdp
from grpo.seeding import make_generator

HALVES = np.array([0.5, 0.5])


def make_bandit(name: str, payoffs: list[list[float]]) -> TabularProblem:
    """Return a problem of one state and one step, payoffs [A][G], groups of equal shares."""
    rewards = np.array(payoffs, dtype=np.float64).T[:, None, :]
    stay = np.ones((1, len(payoffs), 1))
    shares = np.full(len(rewards), 1 / len(rewards))
    return TabularProblem(name, stay, rewards, np.ones(1), shares, 0.0)


def make_t1() -> TabularProblem:
    """Return T1: the fair optimum mixes two actions; every pure policy is worse.

    At w = 1 the policy is (1/3, 2/3, 0) and both groups get 1/3, where the best pure policy gives
    .3. Below w = 1/3 it is (1, 0, 0) and F = (1 - w) / 2: the frontier jumps.
    """
    return make_bandit("T1", [[1, 0], [0, 0.5], [0.3, 0.3]])


def make_t2() -> TabularProblem:
    """Return T2: what performance is measured against decides which policy is fair.

    At w = 1: raw (0, 11/13, 2/13), worth 12/13; normalised between 0 and (10, 1) it is
    (0, 1/11, 10/11), worth 6/11; by regret (7/9, 0, 2/9), worth -8/9.
    """
    return make_bandit("T2", [[10, 0], [0, 1], [6, 0.5]])


def make_t3() -> TabularProblem:
    """Return T3: two queues of at most one customer each, and one server.

    State (n0, n1); action k empties queue k; then group g pays (2, 1)_g n_g; then each empty queue
    refills with probability 1/2. Discount .9, start (1, 1). At w = 0 queue 0 is served first and
    J = (0, -130/31). Above w = 1/3 queue 0 is served in (1, 1) with probability 2/3 and both
    groups get -260/93; the best pure policy gives its worst group -4.19.
    """
    states = list(itertools.product((0, 1), repeat=2))
    transitions, rewards = np.zeros((4, 2, 4)), np.zeros((2, 4, 2))
    for s, action in itertools.product(range(4), range(2)):
        left = [0 if queue == action else n for queue, n in enumerate(states[s])]
        rewards[:, s, action] = [-2.0 * left[0], -1.0 * left[1]]
        for t, after in enumerate(states):
            chances = [
                float(m) if n else 0.5 for n, m in zip(left, after, strict=True)
            ]  # a customer stays; an empty place is filled or not, by halves
            transitions[s, action, t] = chances[0] * chances[1]
    return TabularProblem("T3", transitions, rewards, np.eye(4)[3], HALVES, 0.9)


def make_t4(*, visible: bool = False) -> TabularProblem:
    """Return T4: one state, episodes of two groups, shares .9 and .1.

    Hidden: above w = 4/9 P(a1) = 1/6 and J = (.5, .5). Visible: there is nothing to trade off, and
    (1, .6) is best for every w: w must do no harm.
    """
    bandit = make_bandit("", [[1, 0], [0.4, 0.6]])
    return TabularProblem(
        "T4 visible" if visible else "T4",
        bandit.transitions,
        bandit.rewards,
        bandit.start,
        np.array([0.9, 0.1]),
        0.0,
        "episode",
        visible,
    )


def make_random(
    seed: int, *, num_states: int = 4, num_actions: int = 3, num_groups: int = 3, gamma: float = 0.8
) -> TabularProblem:
    """Return a random problem: Dirichlet transitions, normal rewards, Dirichlet shares.

    Args:
        seed: of everything in it.
        num_states: S.
        num_actions: A.
        num_groups: G.
        gamma: discount in [0, 1).
    """
    rng = make_generator(seed, "random problem")
    transitions = rng.dirichlet(np.full(num_states, 0.5), size=(num_states, num_actions))
    rewards = rng.normal(size=(num_groups, num_states, num_actions))
    start, shares = rng.dirichlet(np.ones(num_states)), rng.dirichlet(np.full(num_groups, 3.0))
    return TabularProblem(f"random {seed}", transitions, rewards, start, shares, gamma)


def shift_and_scale(problem: TabularProblem, offsets: Float64, slopes: Float64) -> TabularProblem:
    """Return the problem whose returns are ``(J_g - offset_g) slope_g``: utilities as returns.

    Args:
        problem: any.
        offsets: [G] taken from the returns.
        slopes: [G] factors, positive.
    """
    per_step = (offsets * (1 - problem.gamma))[:, None, None]
    rewards = (problem.rewards - per_step) * slopes[:, None, None]
    return replace(problem, rewards=rewards)


@dataclass(frozen=True)
class ExactScore:
    """What a policy is worth against the best and the worst that any policy could be.

    Attributes:
        value: F of the policy.
        best: F of the exact optimum.
        least: F of the worst policy.
    """

    value: float
    best: float
    least: float

    @property
    def percent(self) -> float:
        """Return ``100 (F - least) / (best - least)``: 100 at the optimum, 98 within 2% of it."""
        return 100 * (self.value - self.least) / (self.best - self.least)


def evaluate_tabular(problem: TabularProblem, policy: Float64) -> tuple[float, Float64]:
    """Return J_0 and J_g [G] of a stationary policy, exactly.

    Args:
        problem: any.
        policy: [S, A] probabilities, or [G, S, A] where the policy sees the group.
    """
    policies = np.broadcast_to(policy, (problem.num_groups, *policy.shape[-2:]))
    returns = np.array(
        [
            evaluate_policy(
                problem.transitions,
                problem.rewards[g : g + 1],
                problem.start,
                policies[g],
                gamma=problem.gamma,
            )[0]
            for g in range(problem.num_groups)
        ]
    )
    return float(problem.shares @ returns), returns


def score_policy(problem: TabularProblem, policy: Float64, weight: float) -> ExactScore:
    """Score a policy by ``F = (1 - w) J_0 + w min J`` against the exact range of F.

    The least F is the smallest over groups g of the least ``(1 - w) J_0 + w J_g``, each a linear
    program of its own.

    Args:
        problem: any; where the policy sees the group, every group's own optimum is reached at once.
        policy: [S, A] probabilities, or [G, S, A] where the policy sees the group.
        weight: w in [0, 1].
    """
    mean_return, returns = evaluate_tabular(problem, policy)
    value = (1 - weight) * mean_return + weight * float(returns.min())
    if problem.visible:
        tops, bottoms = (
            np.array(
                [sign * _solve(problem, sign * problem.rewards[g]) for g in range(len(returns))]
            )
            for sign in (1, -1)
        )
        ends = [
            (1 - weight) * problem.shares @ ends + weight * ends.min() for ends in (tops, bottoms)
        ]
        return ExactScore(value, float(ends[0]), float(ends[1]))
    best = solve_robust_mdp(
        problem.transitions,
        problem.rewards,
        problem.start,
        gamma=problem.gamma,
        shares=problem.shares,
        weight=weight,
    ).value
    mean = np.tensordot(problem.shares, problem.rewards, axes=1)
    least = min(
        -_solve(problem, -((1 - weight) * mean + weight * rewards)) for rewards in problem.rewards
    )
    return ExactScore(value, best, least)


def _solve(problem: TabularProblem, rewards: Float64) -> float:
    """Return the largest return for one reward table [S, A]."""
    return solve_robust_mdp(
        problem.transitions,
        rewards[None],
        problem.start,
        gamma=problem.gamma,
        shares=np.ones(1),
        weight=0.0,
    ).value
