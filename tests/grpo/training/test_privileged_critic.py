"""A critic that sees more than the policy: what it is told, and that the policy never knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grpo.agent import GRPOAgent
from grpo.config import TrainConfig
from grpo.environments.hospital.live.snapshot import snapshot_of
from grpo.environments.hospital.physics.state import (
    ACTIVITY,
    COMPLETES,
    HEAP,
    IN_CARE,
    IS_CLEAN,
    NOW,
    NUM_EVENTS,
    PENDING,
    TYPE,
)
from grpo.environments.hospital.privileged_features import SOON_HOURS
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.environments.registry import check_config
from grpo.environments.vector import Float32, Float64, Int64, Transition
from grpo.errors import InputError
from grpo.models.parameters import NetworkShape
from grpo.models.policy import Policy
from grpo.training.brain import Brain
from grpo.training.lockstep import LockStep
from grpo.training.loop import TrainingLoop
from grpo.training.loop_state import restore_loop, save_loop
from grpo.training.objective import make_objective
from grpo.training.setup import freeze_actor
from tests.grpo.hospital.problems import random_allowed
from tests.grpo.training.bandits import T1, RewardGroupBandit
from tests.grpo.training.test_loop import MIXTURES, make_algorithm


class LuckyBandit(RewardGroupBandit):
    """T1 plus luck, drawn before the action and shown to the critic alone."""

    privileged_size = 1
    luck: Float64

    def reset(self, seed: int) -> Any:
        self._rng = np.random.default_rng(seed)
        self.luck = self._rng.standard_normal(self.num_envs)
        return super().reset(seed)

    def observe_privileged(self, out: Float32) -> None:
        out[:, 0] = self.luck

    def heads(self, actions: Int64) -> Float64:
        return np.asarray(super().heads(actions) + self.luck[:, None])

    def step(self, actions: Int64) -> Transition:
        transition = super().step(actions)
        self.luck = self._rng.standard_normal(self.num_envs)
        return transition


def make_loop(environment: Any = None, *, sees: bool = True, seed: int = 1, **fields: Any) -> Any:
    environment = environment or LuckyBandit(64, T1)
    algorithm = make_algorithm(**{"group_robustness_weight": 0.5, **fields})
    objective = make_objective(algorithm, 2)
    heads = environment.num_heads if objective.uses_groups else 1
    shape = NetworkShape(1, algorithm.hidden_sizes, 3, heads, int(sees))
    brain = Brain.create(shape, seed)
    return TrainingLoop(environment, algorithm, brain, seed=seed, objective=objective)


def freeze(loop: TrainingLoop) -> Policy:
    return freeze_actor(
        loop, loop.averaged_actor, kind="tabular", group_labels=(), config={}, seed=1
    )


@pytest.fixture(scope="module")
def trained() -> Any:
    """Two loops after 12 iterations, with and without a critic that sees the luck."""
    loops = [make_loop(sees=sees) for sees in (True, False)]
    metrics = [[loop.run_iteration(i / 12) for i in range(12)] for loop in loops]
    return loops, metrics


def test_a_critic_that_sees_the_luck_explains_it_and_one_that_does_not_cannot(trained: Any) -> None:
    seeing, blind = (history[-1].explained_variance for history in trained[1])
    assert seeing > 0.8
    assert blind < 0.2
    rollouts = [loop.collector.rollout for loop in trained[0]]
    spreads = [(rollout.rewards - rollout.values)[..., 0].std() for rollout in rollouts]
    assert spreads[0] < 0.6 * spreads[1]


def test_what_is_served_neither_holds_nor_needs_what_the_critic_saw(trained: Any) -> None:
    seeing, blind = (freeze(loop) for loop in trained[0])
    shapes = [{name: t.shape for name, t in p.tensors.items()} for p in (seeing, blind)]
    assert shapes[0] == shapes[1]
    assert seeing.manifest.observation_size == 1
    seeing.act(np.ones((1, 1), dtype=np.float32), np.ones((1, 3), dtype=np.bool_))


def test_actions_do_not_depend_on_what_the_critic_sees() -> None:
    """Until the first update, which is the critic's first chance to matter, both act alike."""
    rollouts = []
    for sees in (True, False):
        loop = make_loop(sees=sees)
        rollouts.append(loop.collector.collect(loop.brain.returns))
    np.testing.assert_array_equal(rollouts[0].actions, rollouts[1].actions)
    np.testing.assert_array_equal(rollouts[0].log_probs, rollouts[1].log_probs)
    assert not np.array_equal(rollouts[0].values, rollouts[1].values)


def test_lock_step_and_a_stop_leave_the_bits_of_a_training_as_they_are() -> None:
    alone, together = ([make_loop(seed=seed) for seed in (1, 2)] for _ in range(2))
    batch = LockStep(together)
    for iteration in range(3):
        batch.run_iteration(iteration / 3)
        for loop in alone:
            loop.run_iteration(iteration / 3)
    for one, member in zip(alone, together, strict=True):
        expected, found = one.brain.learner.save_state(), member.brain.learner.save_state()
        assert all(np.array_equal(array, found[name]) for name, array in expected.items())
    saved = save_loop(alone[0])
    restored = make_loop()
    del saved["seconds"]
    restore_loop(restored, saved | {"seconds": np.array(0.0)})
    assert restored.brain.privileged.count == alone[0].brain.privileged.count > 0
    assert np.array_equal(restored.brain.privileged.mean, alone[0].brain.privileged.mean)


@pytest.mark.parametrize("method", MIXTURES[:2])
def test_weight_zero_is_plain_ppo_to_the_bit_with_a_privileged_critic_too(method: str) -> None:
    loop = make_loop(method=method, group_robustness_weight=0.0)
    mean = make_loop(method="mean", group_robustness_weight=0.0)
    for i in range(3):
        loop.run_iteration(i / 3)
        mean.run_iteration(i / 3)
    assert np.array_equal(loop.averaged_actor, mean.averaged_actor)


def test_hospitals_tell_the_critic_of_care_under_way_and_of_the_units_it_will_free() -> None:
    """Against the state's own arrays, patient by patient."""
    compiled = compile_scenario(load_scenario("rural_hospital"))
    environment = HospitalVectorEnvironment(compiled, 3, np.ones((1, compiled.num_types)))
    _, masks = environment.reset(3)
    generator = np.random.default_rng(4)
    for _ in range(60):
        masks = environment.step(random_allowed(masks, generator)).action_masks
    found = np.zeros((3, environment.privileged_size), dtype=np.float32)
    environment.observe_privileged(found)
    classes, pools = compiled.num_classes, len(compiled.capacity)
    state = environment.state
    care, waited = np.zeros((3, classes)), np.zeros((3, classes))
    soon = np.zeros((3, len(SOON_HOURS), pools))
    for i in range(3):
        for patient in snapshot_of(environment, i).patients:
            waited[i, patient.class_index] += patient.wait_hours
        for position in range(state.counts[i, NUM_EVENTS]):
            slot = state.stacks[i, HEAP, position]
            pending, held = state.links[i, slot, PENDING], state.links[i, slot, ACTIVITY]
            units = np.zeros(pools)
            if pending == COMPLETES:
                care[i, compiled.activity_class[held]] += 1
                units = compiled.activity_needs[held]
            elif pending == IS_CLEAN:
                units[state.links[i, slot, TYPE]] = held
            within = state.heap_times[i, position] - state.clock[i, NOW] <= np.array(SOON_HOURS)
            soon[i] += within[:, None] * units / compiled.capacity
    assert care.sum(axis=1).tolist() == state.counts[:, IN_CARE].tolist()
    assert soon.any()
    assert waited.any()
    expected = np.hstack([np.log1p(care), np.log1p(waited), soon.reshape(3, -1)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_whoever_has_nothing_more_to_show_refuses_a_privileged_critic_by_name() -> None:
    groups = {"kind": "threshold", "feature": 0, "edges": [0.0], "labels": ["left", "right"]}
    config = TrainConfig.parse(
        {
            "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
            "grouping": groups,
            "algorithm": {"privileged_critic": True},
        }
    )
    with pytest.raises(InputError) as refused:
        check_config(config)
    assert refused.value.issues[0].pointer == "/algorithm/privileged_critic"
    with pytest.raises(InputError) as refused:
        GRPOAgent(4, 2, privileged_critic=True)
    assert refused.value.issues[0].pointer == "/privileged_critic"
    with pytest.raises(TypeError, match="RewardGroupBandit has nothing to show"):
        make_loop(RewardGroupBandit(64, T1))
