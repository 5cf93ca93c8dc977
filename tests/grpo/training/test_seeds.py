"""A batch of seeds in one process against one training after the other: the same bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.errors import InputError
from grpo.models.parameters import NetworkShape
from grpo.training.dense_network import CHUNK, split_stack
from grpo.training.fused_update import FusedLearner, join_learners
from grpo.training.job import train_policy
from grpo.training.lockstep import LockStep, join_plans
from grpo.training.seeds import choose_threads, share_out, train_seeds
from grpo.training.update import make_orders
from tests.grpo.training.bandits import T1, RewardGroupBandit
from tests.grpo.training.test_fused_update import SETTINGS, make_batch, make_parameters
from tests.grpo.training.test_loop import make_algorithm, make_loop

JOB: dict[str, Any] = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {"kind": "threshold", "feature": 2, "edges": [0.0], "labels": ["left", "right"]},
    "algorithm": {"group_robustness_weight": 0.3, "hidden_sizes": [8]},
    "budget": {"total_timesteps": 4096},
    "evaluation": {"episodes": 4},
}


@pytest.mark.parametrize("minibatch", [100, CHUNK + 50])
def test_stacked_learners_make_the_update_of_each_alone(minibatch: int) -> None:
    shape, samples = NetworkShape(7, (16, 24), 5, 3), 2 * minibatch
    alone = [FusedLearner(shape, *make_parameters(shape, seed)) for seed in range(3)]
    members = [FusedLearner(shape, *make_parameters(shape, seed)) for seed in range(3)]
    batches = [make_batch(shape, samples, seed=seed) for seed in range(3)]
    orders = [make_orders(np.random.default_rng(s), samples, minibatch, 4) for s in range(3)]
    for batch, learner in zip(batches, alone, strict=True):
        logits = learner.compute_logits(batch.observations, batch.index_features)
        chosen = logits[np.arange(samples), batch.actions]
        batch.log_probs[...] = chosen - np.log(np.exp(logits).sum(axis=1))
    kwargs: dict[str, Any] = {"learning_rate": 1e-2, "ent_coef": 0.01}
    first_epochs = [
        FusedLearner(shape, *make_parameters(shape, seed)).update(
            batches[seed], orders[seed][:1], settings=SETTINGS, **kwargs
        )
        for seed in range(3)
    ]
    settings = replace(SETTINGS, target_kl=float(np.median([s.approx_kl for s in first_epochs])))
    expected = [
        learner.update(batch, order, settings=settings, **kwargs)
        for learner, batch, order in zip(alone, batches, orders, strict=True)
    ]
    plans = [
        type("Plan", (), {"batch": batch, "orders": order})()
        for batch, order in zip(batches, orders, strict=True)
    ]
    stacked = join_learners(members)
    assert stacked.update(*join_plans(plans), settings=settings, **kwargs) == expected
    assert len({stats.epochs for stats in expected}) > 1  # one stopped after an epoch, one did not
    for one, member in zip(alone, members, strict=True):
        assert np.array_equal(one.actor_parameters, member.actor_parameters)
        assert np.array_equal(one.critic_parameters, member.critic_parameters)
        states = one.save_state(), member.save_state()
        assert all(np.array_equal(value, states[1][name]) for name, value in states[0].items())


def test_loops_in_lock_step_learn_what_each_learns_alone() -> None:
    def make(seed: int) -> Any:
        algorithm = make_algorithm(group_robustness_weight=0.5)
        return make_loop(RewardGroupBandit(64, T1), algorithm, seed=seed)

    alone, together = ([make(seed) for seed in range(3)] for _ in range(2))
    batch = LockStep(together)
    for iteration in range(4):
        metrics = batch.run_iteration(iteration / 4)
        for loop, own, kept in zip(alone, metrics, together, strict=True):
            expected = loop.run_iteration(iteration / 4).to_dict()
            assert expected | {"seconds": 0, "steps_per_second": 0} == own.to_dict() | {
                "seconds": 0,
                "steps_per_second": 0,
            }
            assert np.array_equal(loop.averaged_actor, kept.averaged_actor)


@pytest.mark.usefixtures("threads_share_small_networks")
def test_a_batch_of_seeds_leaves_the_policies_and_reports_of_single_trainings() -> None:
    config = TrainConfig.parse(JOB)
    for seed, batched in zip((5, 3, 4), train_seeds(config, [5, 3, 4], num_threads=2), strict=True):
        if seed == 4:
            continue  # two say it
        single = train_policy(config.model_copy(update={"seed": seed}), num_threads=1)
        assert batched.report == single.report
        assert batched.policy.manifest == single.policy.manifest
        for name, tensor in single.policy.tensors.items():
            assert np.array_equal(batched.policy.tensors[name], tensor)


@pytest.mark.parametrize(
    ("seeds", "fields", "pointer"),
    [
        ([], {}, "/seeds"),
        ([1, 1], {}, "/seeds"),
        ([1], {"budget": {"total_timesteps": 4096, "max_seconds": 5}}, "/budget/max_seconds"),
    ],
)
def test_what_cannot_be_batched_is_refused(
    seeds: list[int], fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InputError) as refused:
        train_seeds(TrainConfig.parse(JOB | fields), seeds)
    assert refused.value.issues[0].pointer == pointer


def test_neighbours_fill_a_chunk_and_stopped_seeds_are_left_out() -> None:
    assert split_stack(range(5), CHUNK // 2) == [(0, 2), (2, 4), (4, 5)]
    assert split_stack([0, 2, 3, 4], CHUNK // 3) == [(0, 1), (2, 5)]
    assert split_stack(range(2), CHUNK) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(("width", "threads"), [(16, 1), (64, 2)])
def test_a_second_thread_takes_part_where_networks_are_large_enough(
    width: int, threads: int
) -> None:
    algorithm = make_algorithm(hidden_sizes=[width, width], minibatch_size=512)
    loops = [make_loop(RewardGroupBandit(64, T1), algorithm, seed=seed) for seed in range(8)]
    assert choose_threads(loops, 2) == threads
    assert choose_threads(loops, 1) == 1


def test_threads_share_seeds_evenly_and_in_order() -> None:
    assert share_out([1, 2, 3, 4, 5], 2) == [[1, 2, 3], [4, 5]]
