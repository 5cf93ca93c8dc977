"""Siblings in the hospital: one state, one future, what is counted of them, who may have them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.environments.hospital.physics.state import ARRIVED, NEXT_ARRIVAL
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.registry import check_config
from grpo.errors import InputError
from grpo.training.performance import PerformanceTracker
from grpo.training.rollout import Rollout
from tests.grpo.hospital.problems import rural

NO_EPISODES = cast(Rollout, None)  # hospitals have none to follow


def make_hospitals() -> tuple[HospitalVectorEnvironment, Any]:
    """Four hospitals after a step that each made for itself."""
    compiled = rural()
    environment = HospitalVectorEnvironment(compiled, 4, np.ones((2, compiled.num_types)))
    _, masks = environment.reset(7)
    return environment, environment.step(first_allowed(masks)).action_masks


def first_allowed(masks: Any) -> Any:
    return masks.argmax(axis=1)


def last_allowed(masks: Any) -> Any:
    return masks.shape[1] - 1 - masks[:, ::-1].argmax(axis=1)


def test_siblings_that_decide_alike_stay_in_one_state() -> None:
    environment, masks = make_hospitals()
    assert not np.array_equal(environment.state.times[0], environment.state.times[2])
    environment.branch(2)
    for _ in range(30):
        masks = environment.step(first_allowed(masks)).action_masks
    for array in environment.state:
        np.testing.assert_array_equal(array[:2], array[2:])


def test_siblings_that_decide_otherwise_meet_the_same_patients() -> None:
    environment, masks = make_hospitals()
    environment.branch(2)
    nexts: list[dict[int, float]] = [{}, {}]
    for _ in range(60):
        actions = np.append(first_allowed(masks[:2]), last_allowed(masks[2:]))
        masks = environment.step(actions).action_masks
        for seen, row in zip(nexts, (0, 2), strict=True):
            count = int(environment.state.counts[row, ARRIVED])
            seen[count] = float(environment.state.clock[row, NEXT_ARRIVAL])
    common = nexts[0].keys() & nexts[1].keys()
    assert len(common) > 10
    assert all(nexts[0][count] == nexts[1][count] for count in common)
    assert not np.array_equal(environment.total_rewards[0], environment.total_rewards[2])


def test_siblings_count_as_one_hospital_and_branching_earns_nothing() -> None:
    environment, masks = make_hospitals()
    tracker = PerformanceTracker(environment, state_groups=False, siblings=2)
    for _ in range(20):
        masks = environment.step(first_allowed(masks)).action_masks
    before = environment.total_rewards.copy()
    environment.branch(2)
    tracker.go_on()
    assert not np.array_equal(environment.total_rewards, before)
    begun = environment.total_rewards.copy()
    for _ in range(20):
        actions = np.append(first_allowed(masks[:2]), last_allowed(masks[2:]))
        masks = environment.step(actions).action_masks
    gained = environment.total_rewards - begun
    tracker.record(NO_EPISODES)
    sums = tracker.save_state()["window/numerators"][0]
    np.testing.assert_allclose(sums, gained[:2] + gained[2:])


def make_config(kind: str = "hospital", **algorithm: Any) -> TrainConfig:
    environment = {"kind": kind} | ({"id": "CartPole-v1"} if kind == "gymnasium" else {})
    groups: dict[str, Any] = {"kind": "attribute", "attributes": ["age_group"]}
    if kind == "gymnasium":
        groups = {"kind": "threshold", "feature": 0, "edges": [0.0], "labels": ["left", "right"]}
    return TrainConfig.parse(
        {"environment": environment, "grouping": groups, "algorithm": algorithm}
    )


def test_families_are_whole_and_only_hospitals_have_them() -> None:
    assert make_config().algorithm.siblings == 4
    odd = make_config(num_envs=6, num_steps=8, minibatch_size=16)
    assert odd.algorithm.siblings == 2  # as many of the preset's 4 as divide 6
    assert make_config("gymnasium").algorithm.siblings == 1
    with pytest.raises(InputError, match="no multiple of 4 siblings"):
        make_config(num_envs=6, num_steps=8, minibatch_size=16, siblings=4)
    with pytest.raises(InputError, match="only hospitals can be put into one state"):
        check_config(make_config("gymnasium", siblings=2))
