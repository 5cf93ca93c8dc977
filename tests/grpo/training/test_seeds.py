"""A batch of seeds in one process against one training after the other: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.errors import InputError
from grpo.models.parameters import NetworkShape
from grpo.training import seeds as seeds_module
from grpo.training.fused_update import FusedLearner
from grpo.training.job import train_policy
from grpo.training.learner_stack import LearnerStack
from grpo.training.lockstep import LockStep
from grpo.training.observer import TrainingDiverged
from grpo.training.seeds import share_out, train_seeds
from grpo.training.update import ROWS_AT_ONCE, make_order
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


def test_stacked_actors_give_the_logits_of_each_alone_and_learn_on() -> None:
    shape, rows = NetworkShape(7, (16, 24), 5, 3), 2 * ROWS_AT_ONCE + 30
    members = [FusedLearner(shape, *make_parameters(shape, seed)) for seed in range(3)]
    batches = [make_batch(shape, rows, seed=seed) for seed in range(3)]
    stack = LearnerStack(members)
    observations = np.stack([batch.observations for batch in batches])
    features = np.stack([batch.index_features for batch in batches])
    order = make_order(np.random.default_rng(0), rows, 100, 1)
    for _ in range(2):
        together = stack.compute_logits(observations, features)
        for own, learner, batch in zip(together, members, batches, strict=True):
            alone = learner.compute_logits(batch.observations, batch.index_features)
            assert np.array_equal(own, alone)
            learner.update(batch, order, learning_rate=0.1, ent_coef=0.0, settings=SETTINGS)


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


def test_a_seed_that_diverges_ends_the_trainings_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig.parse(JOB | {"budget": {"total_timesteps": 20_000_000}})
    steps, run = [0, 0], LockStep.run_iteration

    def diverge_in_the_second(batch: LockStep, progress: float) -> Any:
        own = 0 if batch.loops[0].orders_rng is first_rng else 1
        steps[own] += 1
        if own and steps[1] == 3:
            raise TrainingDiverged("seed 2 diverged")
        return run(batch, progress)

    first_rng, prepare = None, seeds_module._prepare

    def remember_the_first(own: TrainConfig) -> Any:
        nonlocal first_rng
        member = prepare(own)
        first_rng = first_rng or member.loop.orders_rng
        return member

    monkeypatch.setattr(seeds_module, "_prepare", remember_the_first)
    monkeypatch.setattr(LockStep, "run_iteration", diverge_in_the_second)
    with pytest.raises(TrainingDiverged, match="seed 2"):
        train_seeds(config, [1, 2], num_threads=2)
    assert steps[1] == 3
    assert steps[0] < 1000  # of nearly 10,000


def test_threads_share_seeds_evenly_and_in_order() -> None:
    assert share_out([1, 2, 3, 4, 5], 2) == [[1, 2, 3], [4, 5]]
