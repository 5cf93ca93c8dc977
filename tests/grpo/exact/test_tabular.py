"""Tabular environments earn what the equations say, and go on from a saved state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grpo.environments.tabular import TabularProblem, TabularVectorEnvironment
from grpo.environments.vector import SavesState
from grpo.errors import InputError, ShapeError
from grpo.oracles.markov import evaluate_policy, solve_robust_mdp
from grpo.oracles.problems import (
    evaluate_tabular,
    make_random,
    make_t1,
    make_t3,
    make_t4,
    score_policy,
    shift_and_scale,
)


def play(environment: TabularVectorEnvironment, steps: int, seed: int = 0) -> tuple[int, object]:
    """Take uniformly random actions; return the ends and the rewards by group of the last step."""
    rng = np.random.default_rng(seed)
    ends, transition = 0, None
    for _ in range(steps):
        actions = rng.integers(environment.num_actions, size=environment.num_envs)
        transition = environment.step(actions)
        ends += int((transition.terminated | transition.truncated).sum())
    return ends, transition


@pytest.mark.parametrize("problem", [make_t3(), make_random(3)], ids=lambda p: p.name)
def test_episodes_that_end_by_chance_earn_the_discounted_return(problem: TabularProblem) -> None:
    environment = TabularVectorEnvironment(problem, 2000)
    environment.reset(1)
    ends, _ = play(environment, 200)
    earned = environment.total_rewards.sum(axis=0) / ends
    uniform = np.full((problem.num_states, problem.num_actions), 1 / problem.num_actions)
    mean_return, returns = evaluate_tabular(problem, uniform)
    # about 40,000 or more episodes with a spread of at most 8: 4 standard errors
    assert earned == pytest.approx([mean_return, *returns], abs=4 * 8 / np.sqrt(ends))


def test_hidden_groups_come_by_their_shares_and_pay_their_own_reward() -> None:
    environment = TabularVectorEnvironment(make_t4(), 20_000)
    observations, _ = environment.reset(1)
    assert observations.shape == (20_000, 1)
    transition = environment.step(np.zeros(20_000, dtype=np.int64))
    assert (transition.groups == 1).mean() == pytest.approx(0.1, abs=0.01)
    assert transition.head_rewards[:, 0].tolist() == (transition.groups == 0).tolist()
    assert transition.terminated.all()


def test_visible_groups_stand_in_the_observation() -> None:
    environment = TabularVectorEnvironment(make_t4(visible=True), 100)
    observations, _ = environment.reset(1)
    transition = environment.step(np.zeros(100, dtype=np.int64))
    assert observations[:, 1:].argmax(axis=1).tolist() == transition.groups.tolist()


def test_environment_goes_on_from_its_saved_state_to_the_bit() -> None:
    first, second = (TabularVectorEnvironment(make_random(1), 8) for _ in range(2))
    assert isinstance(first, SavesState)
    first.reset(1)
    second.reset(2)
    play(first, 5)
    second.restore_state(first.save_state())
    for a, b in zip(play(first, 5, seed=7), play(second, 5, seed=7), strict=True):
        assert str(a) == str(b)
    assert np.array_equal(first.total_rewards, second.total_rewards)


def test_score_is_hundred_at_the_optimum_and_zero_at_the_worst_policy() -> None:
    third = np.array([[1 / 3, 2 / 3, 0]])
    assert score_policy(make_t1(), third, 1.0).percent == pytest.approx(100)
    assert score_policy(make_t1(), np.array([[1.0, 0, 0]]), 1.0).percent == pytest.approx(0)
    visible = score_policy(make_t4(visible=True), np.array([[[1.0, 0]], [[0, 1.0]]]), 0.7)
    assert visible.percent == pytest.approx(100)
    assert visible.best == pytest.approx(0.3 * (0.9 * 1 + 0.1 * 0.6) + 0.7 * 0.6)


def test_optimum_of_a_random_problem_scores_hundred() -> None:
    problem = make_random(7)
    best = solve_robust_mdp(
        problem.transitions,
        problem.rewards,
        problem.start,
        gamma=problem.gamma,
        shares=problem.shares,
        weight=0.4,
    )
    assert score_policy(problem, best.policy, 0.4).percent == pytest.approx(100)


def test_shifted_and_scaled_problem_returns_utilities() -> None:
    problem = make_random(5)
    policy = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    offsets, slopes = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 3.0])
    _, returns = evaluate_tabular(problem, policy)
    _, utilities = evaluate_tabular(shift_and_scale(problem, offsets, slopes), policy)
    assert utilities == pytest.approx((returns - offsets) * slopes)
    alone = evaluate_policy(
        problem.transitions, problem.rewards, problem.start, policy, gamma=problem.gamma
    )
    assert returns == pytest.approx(alone)


def test_what_is_no_problem_is_refused() -> None:
    problem = make_random(0)
    with pytest.raises(ShapeError):
        replace(problem, rewards=problem.rewards[:1])
    with pytest.raises(InputError, match="/transitions"):
        replace(problem, transitions=2 * problem.transitions)
    with pytest.raises(InputError, match="/rewards"):
        replace(problem, rewards=np.full_like(problem.rewards, np.nan))
    with pytest.raises(InputError, match="/gamma"):
        replace(problem, gamma=1.0)
    with pytest.raises(ShapeError):
        TabularVectorEnvironment(problem, 0)
