from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from grpo.errors import ShapeError
from grpo.objectives.advantage_estimation import generalized_advantages
from grpo.objectives.advantages import Float64, center_rewards, combine_heads, combine_labels


def column(*numbers: float) -> Any:
    return np.array(numbers, dtype=np.float32).reshape(-1, 1, 1)


def estimate(
    rewards: Sequence[float] | Float64,
    values: Sequence[float] | Float64,
    last: float,
    *,
    final: float = 0.0,
    discount: float = 0.5,
    trace: float = 0.5,
    ended: Sequence[int] = (),
    cut: Sequence[int] = (),
) -> Any:
    steps = len(rewards)
    flags = np.zeros((2, steps, 1), dtype=np.bool_)
    flags[0, list(ended)], flags[1, list(cut)] = True, True
    return generalized_advantages(
        rewards=column(*rewards),
        values=column(*values),
        last_values=np.full((1, 1), last, dtype=np.float32),
        final_values=np.full((steps, 1, 1), final, dtype=np.float32),
        discounts=np.full((steps, 1), discount, dtype=np.float32),
        traces=np.full((steps, 1), trace, dtype=np.float32),
        terminated=flags[0],
        truncated=flags[1],
    )[:, 0, 0]


def test_advantages_match_the_sum_written_out_by_hand() -> None:
    # δ0 = 1 + .5·4 − 2 = 1;  δ1 = 2 + .5·6 − 4 = 1;  A1 = 1;  A0 = 1 + .25·1
    assert estimate([1, 2], [2, 4], 6.0) == pytest.approx([1.25, 1.0])


def test_terminated_step_has_no_future() -> None:
    # A0 = 1 − 2; the second step belongs to another episode
    assert estimate([1, 2], [2, 4], 6.0, ended=[0]) == pytest.approx([-1.0, 1.0])


def test_truncated_step_bootstraps_from_final_observation() -> None:
    # A0 = 1 + .5·10 − 2, with 10 the value of the observation that was cut off
    assert estimate([1, 2], [2, 4], 6.0, final=10.0, cut=[0]) == pytest.approx([4.0, 1.0])


def test_trace_of_one_gives_discounted_returns_minus_values() -> None:
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=6), rng.normal(size=6)
    returns, following = np.zeros(6), 3.0
    for t in reversed(range(6)):
        following = rewards[t] + 0.9 * following
        returns[t] = following
    got = estimate(rewards, values, 3.0, discount=0.9, trace=1.0)
    assert got == pytest.approx(returns - values, abs=1e-5)


def test_each_head_is_estimated_by_itself() -> None:
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {
        name: rng.normal(size=(5, 2, 3)).astype(np.float32)
        for name in ("rewards", "values", "final_values")
    }
    last = rng.normal(size=(2, 3)).astype(np.float32)
    common: dict[str, Any] = {
        "discounts": np.full((5, 2), 0.9, dtype=np.float32),
        "traces": np.full((5, 2), 0.8, dtype=np.float32),
        "terminated": rng.random((5, 2)) < 0.2,
        "truncated": np.zeros((5, 2), dtype=np.bool_),
    }
    together = generalized_advantages(**arrays, last_values=last, **common)
    for head in range(3):
        alone = generalized_advantages(
            **{name: array[..., [head]].copy() for name, array in arrays.items()},
            last_values=last[:, [head]].copy(),
            **common,
        )
        assert np.array_equal(alone[..., 0], together[..., head])


def test_wrong_axes_are_refused_by_name() -> None:
    with pytest.raises(ShapeError, match=r"last_values: expected \(1, 1\)"):
        generalized_advantages(
            rewards=column(1, 2),
            values=column(1, 2),
            last_values=np.zeros((2, 1), dtype=np.float32),
            final_values=column(0, 0),
            discounts=np.ones((2, 1), dtype=np.float32),
            traces=np.ones((2, 1), dtype=np.float32),
            terminated=np.zeros((2, 1), dtype=np.bool_),
            truncated=np.zeros((2, 1), dtype=np.bool_),
        )


def test_constant_reward_rate_is_centred_to_zero_whatever_the_durations() -> None:
    beta, rate = 0.03, -7.0
    elapsed = np.array([[0.0], [0.25], [3.0], [40.0]], dtype=np.float32)
    discounted = rate * (1 - np.exp(-beta * elapsed.astype(np.float64))) / beta
    rewards = discounted[..., None].astype(np.float32)
    centred = center_rewards(rewards, np.array([rate]), elapsed, beta)
    assert np.abs(centred).max() < 1e-4


def test_centring_without_discount_subtracts_rate_times_duration() -> None:
    rewards = np.full((1, 1, 1), 5.0, dtype=np.float32)
    elapsed = np.full((1, 1), 2.0, dtype=np.float32)
    assert center_rewards(rewards, np.array([1.5]), elapsed, 0.0)[0, 0, 0] == 2.0


def test_weight_zero_returns_head_zero_to_the_bit() -> None:
    heads = np.random.default_rng(2).normal(size=(4, 3, 3)).astype(np.float32)
    assert np.array_equal(combine_heads(heads, 0.0, np.array([0.3, 0.7])), heads[..., 0])


def test_heads_combine_to_the_gradient_of_the_objective() -> None:
    heads = np.array([[[1.0, 2.0, 4.0]]], dtype=np.float32)
    # .25·1 + .75·(.5·2 + .5·4)
    assert combine_heads(heads, 0.75, np.array([0.5, 0.5]))[0, 0] == pytest.approx(2.5)


def test_labels_combine_by_inverse_share() -> None:
    advantages = np.ones((1, 2), dtype=np.float32)
    groups = np.array([[0, 1]])
    got = combine_labels(advantages, groups, 0.5, np.array([0.2, 0.8]), np.array([0.75, 0.25]))
    # .5 + .5·.2/.75 and .5 + .5·.8/.25
    assert got[0] == pytest.approx([0.5 + 0.1 / 0.75, 2.1])


def test_one_labelled_group_changes_nothing() -> None:
    advantages = np.random.default_rng(3).normal(size=(3, 2)).astype(np.float32)
    groups = np.zeros((3, 2), dtype=np.int64)
    got = combine_labels(advantages, groups, 0.9, np.ones(1), np.ones(1))
    assert got == pytest.approx(advantages)
