"""The Gymnasium face and the batched environment's contract."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from grpo.environments.hospital.environment import HospitalEnv
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.registry import HOSPITAL_ID, describe_hospital
from grpo.errors import ShapeError
from tests.grpo.hospital.problems import random_allowed, rural


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("scenario", ["rural_hospital", "urban_hospital"])
def test_the_registered_environment_passes_gymnasiums_checker(scenario: str, hold: bool) -> None:
    environment = gymnasium.make(HOSPITAL_ID, scenario=scenario, hold=hold, horizon_hours=24.0)
    assert isinstance(environment.unwrapped, HospitalEnv)
    check_env(environment.unwrapped)


def test_the_description_is_what_the_environment_has() -> None:
    environment = HospitalEnv("urban_hospital")
    described = describe_hospital("urban_hospital")
    assert environment.observation_space.shape == (described.observation_size,)
    assert environment.action_space.n == described.num_actions  # type: ignore[attr-defined]
    assert len(environment.feature_names) == described.observation_size


def test_an_episode_is_truncated_exactly_at_its_horizon_and_never_terminates() -> None:
    environment = HospitalEnv(horizon_hours=48.0)
    _, info = environment.reset(seed=3)
    generator = np.random.default_rng(0)
    hours, truncated = 0.0, False
    while not truncated:
        action = random_allowed(info["action_mask"][None], generator)[0]
        _, _, terminated, truncated, info = environment.step(action)
        assert not terminated
        hours += info["tau_h"]
        assert info["discount"] == pytest.approx(math.exp(-math.log(2) / 24 * info["tau_h"]))
    assert info["time_h"] == pytest.approx(48.0)
    assert hours == pytest.approx(48.0, rel=1e-5)


@pytest.mark.parametrize("hold", [True, False])
def test_a_forbidden_action_is_replaced_and_reported(hold: bool) -> None:
    environment = HospitalEnv(hold=hold)
    _, info = environment.reset(seed=1)
    for _ in range(30):
        mask = environment.action_masks()
        forbidden = np.flatnonzero(~mask)
        if forbidden.size:
            _, _, _, _, info = environment.step(np.int64(forbidden[0]))
            assert mask[info["action"]]
            assert info["action"] == environment.compiled.hold_action or not hold


def test_the_scalar_environment_is_the_batch_of_one() -> None:
    single = HospitalEnv()
    observation, _ = single.reset(seed=9)
    seed = int(np.random.default_rng(9).integers(2**63))
    batch = HospitalVectorEnvironment(single.compiled, 1, np.ones((1, single.compiled.num_types)))
    observations, masks = batch.reset(seed)
    assert np.array_equal(observation, observations[0])
    for _ in range(50):
        action = masks[0].argmax()
        observation, *_ = single.step(action)
        transition = batch.step(np.array([action]))
        masks = transition.action_masks
        assert np.array_equal(observation, transition.observations[0])


def test_hospitals_start_burnt_in_at_different_hours_and_never_end() -> None:
    compiled = rural()
    environment = HospitalVectorEnvironment(compiled, 64, np.ones((3, compiled.num_types)))
    observations, masks = environment.reset(5)
    hours = np.arctan2(observations[:, -2], observations[:, -1])
    assert hours.std() > 1
    in_care = environment.state.counts[:, 5]
    assert in_care.mean() > 2
    assert np.all(environment.clocks == 0)
    assert np.all(environment.total_rewards == 0)
    generator = np.random.default_rng(1)
    for _ in range(50):
        transition = environment.step(random_allowed(masks, generator))
        masks = transition.action_masks
        assert not transition.terminated.any()
        assert not transition.truncated.any()
        assert np.all(transition.groups == -1)
        assert np.all((transition.discounts > 0) & (transition.discounts <= 1))
        # No time passes after a start while something still fits.
        assert np.all(transition.discounts[transition.elapsed == 0] == 1)
    assert transition.head_rewards.shape == (64, 3)
    assert environment.total_rewards.shape == (64, 3)
    assert np.all(environment.clocks > 0)


def test_head_weights_of_another_scenario_are_refused() -> None:
    with pytest.raises(ShapeError, match="head_weights"):
        HospitalVectorEnvironment(rural(), 2, np.ones((2, 3)))
    with pytest.raises(ShapeError, match="num_envs"):
        HospitalVectorEnvironment(rural(), 0, np.ones((2, 30)))
