"""Two threads collect and learn together; what comes of it is what one thread gives, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.training.lane import divide_rows
from grpo.training.problems import make_problem
from grpo.training.setup import make_loop
from grpo.training.update import ROWS_AT_ONCE
from tests.grpo.hospital.problems import random_allowed, rural

HOSPITALS = ROWS_AT_ONCE + 16
JOB: dict[str, Any] = {
    "environment": {"kind": "hospital", "scenario": "rural_hospital"},
    "grouping": {"kind": "attribute", "attributes": ["age_group"]},
    "algorithm": {
        "group_robustness_weight": 0.5,
        "hidden_sizes": [8],
        "num_envs": HOSPITALS,
        "num_steps": 16,
        "minibatch_size": HOSPITALS * 16,
        "start_rule": "fcfs",
    },
}


@pytest.mark.usefixtures("threads_share_small_networks")
def test_hospitals_collected_and_learned_from_by_two_threads_give_the_bits_of_one() -> None:
    config = TrainConfig.parse(JOB)
    problem = make_problem(config)
    one, two = (make_loop(config, problem, threads) for threads in (1, 2))
    assert [len(loop.collector.lanes) for loop in (one, two)] == [1, 2]
    for iteration in range(3):
        records = [loop.run_iteration(iteration / 3).to_dict() for loop in (one, two)]
        for record in records:
            record |= {"seconds": 0, "steps_per_second": 0}
        assert records[0] == records[1]
        for name, array in vars(one.collector.rollout).items():
            assert np.array_equal(array, getattr(two.collector.rollout, name))
        assert np.array_equal(one.averaged_actor, two.averaged_actor)


def test_parts_of_the_hospitals_step_as_the_whole_does() -> None:
    compiled = rural()
    whole, divided = (
        HospitalVectorEnvironment(compiled, 7, np.ones((2, compiled.num_types))) for _ in range(2)
    )
    _, masks = whole.reset(3)
    divided.reset(3)
    parts = divided.divide([2, 7])
    generator = np.random.default_rng(0)
    for _ in range(20):
        actions = random_allowed(masks, generator)
        expected = whole.step(actions)
        got = [parts[1].step(actions[2:]), parts[0].step(actions[:2])][::-1]
        for name, array in expected._asdict().items():
            assert np.array_equal(array, np.concatenate([getattr(part, name) for part in got]))
        masks = expected.action_masks
    assert np.array_equal(whole.total_rewards, divided.total_rewards)
    assert np.array_equal(whole.clocks, divided.clocks)


@pytest.mark.parametrize(
    ("rows", "parts", "ends"),
    [
        (256, 1, [256]),
        (256, 2, [128, 256]),
        (64, 2, [64]),
        (300, 2, [128, 300]),
        (1024, 2, [512, 1024]),
        (129, 2, [128, 129]),
    ],
)
def test_parts_end_at_multiples_of_the_rows_looked_at_at_once(
    rows: int, parts: int, ends: list[int]
) -> None:
    assert divide_rows(rows, parts) == ends
