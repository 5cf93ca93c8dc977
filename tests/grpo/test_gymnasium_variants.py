"""Variants of environments: their physics, whose turn it is, training and judging by groups."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.environments.cartpole import CONSTANTS, CartPolesTogether
from grpo.environments.catalogue import GYMNASIUM_ENVIRONMENTS
from grpo.environments.gymnasium_variants import make_makers, make_variant
from grpo.environments.gymnasium_vector import GymnasiumVectorEnvironment
from grpo.environments.registry import check_config
from grpo.grouping.labels import make_labeller
from grpo.training.episodes import play_episodes
from grpo.training.job import train_policy
from grpo.training.observer import IterationMetrics, SilentObserver
from tests.grpo.test_group_specs import LENGTH, POLES, SIDE, make_config, product_of
from tests.grpo.training.resumed import run_part
from tests.service.support import make_policy

SMALL: dict[str, Any] = {
    "algorithm": {
        "group_robustness_weight": 0.5,
        "num_envs": 6,
        "num_steps": 64,
        "minibatch_size": 64,
        "hidden_sizes": [16],
    },
    "budget": {"total_timesteps": 3000},
    "evaluation": {"episodes": 12},
}


def test_one_step_of_a_heavy_long_pole_is_that_of_the_published_equations() -> None:
    """From rest at angle theta, force F: Florian 2007, eq. 23 and 24, Euler steps of .02 s."""
    length, mass, cart, gravity, force, theta = 1.5, 0.4, 2.0, 3.7, 20.0, 0.04
    options = {"length": length, "masspole": mass, "masscart": cart, "gravity": gravity}
    environment = make_variant("CartPole-v1", options | {"force_mag": force})
    environment.reset(seed=0)
    environment.unwrapped.state = np.array([0.0, 0.0, theta, 0.0])  # type: ignore[attr-defined]
    state, *_ = environment.step(1)
    total, sine, cosine = cart + mass, math.sin(theta), math.cos(theta)
    angular = (gravity * sine - cosine * force / total) / (
        length * (4 / 3 - mass * cosine**2 / total)
    )
    linear = (force - mass * length * angular * cosine) / total
    assert state == pytest.approx([0.0, 0.02 * linear, theta, 0.02 * angular], rel=1e-6)
    environment.close()


@pytest.mark.parametrize("described", GYMNASIUM_ENVIRONMENTS, ids=lambda d: d.id)
def test_every_option_has_the_default_it_declares_and_changes_what_happens(described: Any) -> None:
    """Except the goal's velocity, which is asked for at the goal only."""

    def play(options: dict[str, float]) -> Any:
        environment = make_variant(described.id, options)
        states = [environment.reset(seed=4)[0]]
        states += [environment.step(described.num_actions - 1)[0] for _ in range(2)]
        environment.close()
        return np.array(states)

    plain = gymnasium.make(described.id)
    for option in described.options:
        assert getattr(plain.unwrapped, option.attribute) == pytest.approx(option.default)
        assert option.low <= option.default <= option.high
        assert np.array_equal(play({option.name: option.default}), play({}))
        for extreme in {option.low, option.high} - {option.default}:
            states = play({option.name: extreme})
            assert np.isfinite(states).all()
            if option.name != "goal_velocity":
                assert not np.array_equal(states, play({}))
    plain.close()


def test_copies_take_turns_and_carry_the_label_of_their_variant() -> None:
    spec = make_config(POLES).grouping
    environment = GymnasiumVectorEnvironment(
        make_makers("CartPole-v1", spec), 7, labeller=make_labeller(spec)
    )
    environment.reset(1)
    assert isinstance(environment.batch, CartPolesTogether)
    lengths = environment.batch.constants[CONSTANTS.index("length")]
    assert lengths.tolist() == [0.25, 0.5, 1.5, 0.25, 0.5, 1.5, 0.25]
    for _ in range(60):  # several episodes of each copy
        groups = environment.step(np.ones(7, dtype=np.int64)).groups
        assert groups.tolist() == [0, 1, 2, 0, 1, 2, 0]
    environment.close()


def test_episodes_of_the_usual_variant_are_those_played_without_variants() -> None:
    config = make_config(POLES)
    policy = make_policy(config, seed=5)
    varied = play_episodes("CartPole-v1", policy, config.grouping, episodes=12, seed=8)
    plain = play_episodes("CartPole-v1", policy, make_config(SIDE).grouping, episodes=12, seed=8)
    assert np.array_equal(varied.membership, np.eye(3)[np.arange(12) % 3])
    assert np.array_equal(varied.returns[1::3], plain.returns[1::3])
    assert not np.array_equal(varied.returns[2::3], plain.returns[2::3])


def test_membership_in_a_product_is_the_product_of_memberships() -> None:
    """Fixed at the start: variant and side. By state: shares of an episode's states add up."""
    product = make_config(product_of(POLES, SIDE)).grouping
    policy = make_policy(make_config(SIDE), seed=5)
    played = play_episodes("CartPole-v1", policy, product, episodes=12, seed=8).membership
    sides = play_episodes("CartPole-v1", policy, make_config(SIDE).grouping, episodes=12, seed=8)
    expected = np.eye(3)[np.arange(12) % 3][:, :, None] * sides.membership[:, None, :]
    assert np.array_equal(played, expected.reshape(12, 6))
    step = SIDE | {"when": "step"}
    norms = LENGTH | {"when": "step"}
    both = make_config(product_of(step, norms)).grouping
    cells = play_episodes("CartPole-v1", policy, both, episodes=12, seed=8).membership
    by_side = play_episodes("CartPole-v1", policy, make_config(step).grouping, episodes=12, seed=8)
    by_length = play_episodes(
        "CartPole-v1", policy, make_config(norms).grouping, episodes=12, seed=8
    )
    assert cells.reshape(12, 2, 2).sum(axis=2) == pytest.approx(by_side.membership)
    assert cells.reshape(12, 2, 2).sum(axis=1) == pytest.approx(by_length.membership)


class Heard(SilentObserver):
    def __init__(self) -> None:
        self.metrics: list[IterationMetrics] = []

    def on_iteration(self, metrics: IterationMetrics) -> None:
        self.metrics.append(metrics)


@pytest.mark.parametrize(
    ("spec", "labels"),
    [
        (LENGTH | {"when": "step"}, ("near", "far")),
        (POLES, ("short", "usual", "long")),
        (product_of(POLES, SIDE), tuple(f"{a}+{b}" for a in ("short", "usual", "long")
                                        for b in ("left", "right"))),
    ],
    ids=["norm", "variant", "product"],
)  # fmt: skip
def test_a_job_trains_and_is_judged_on_every_group(
    spec: dict[str, Any], labels: tuple[str, ...]
) -> None:
    config = make_config(spec, **SMALL)
    check_config(config)
    heard = Heard()
    result = train_policy(config, heard, num_threads=1)
    assert result.policy.manifest.group_labels == labels
    assert set(heard.metrics[-1].group_weights) == set(labels)
    assert sum(heard.metrics[-1].group_weights.values()) == pytest.approx(1.0)
    assert result.report.groups == labels
    assert TrainConfig.parse(result.policy.manifest.config) == config


def test_a_training_on_variants_resumes_to_the_same_digest() -> None:
    """64 iterations of 6 x 64 steps; episodes start anew after every 32 of them."""
    config = make_config(
        product_of(POLES, SIDE), **SMALL | {"budget": {"total_timesteps": 64 * 384}}
    )
    whole, digest = run_part(config, b"", None)
    stopped, _ = run_part(config, b"", 50)
    (iteration, data) = stopped.kept[-1]
    resumed, again = run_part(config, data, None)
    assert 0 < iteration <= 50
    assert again == digest
    assert resumed.series == whole.series[iteration:]
