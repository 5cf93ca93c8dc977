"""Later options of care stand back while an earlier one fits: in training, and when served."""

from __future__ import annotations

import numpy as np

from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.models.options import find_rivals, forbid_later_options
from grpo.models.policy import Manifest, Policy, check_tensors
from grpo.training.starting_rule import find_earlier_options

EARLIER = np.array([-1, 0, 1, -1, 3, -1])


def test_a_later_option_is_left_out_while_any_earlier_one_of_its_class_fits() -> None:
    masks = np.array(
        [[1, 1, 1, 0, 1, 1], [1, 0, 1, 1, 1, 0], [0, 1, 1, 0, 0, 1], [0, 0, 1, 1, 0, 1]], bool
    )
    expected = [[1, 0, 0, 0, 1, 1], [1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 1], [0, 0, 1, 1, 0, 1]]
    assert forbid_later_options(masks, find_rivals(EARLIER)).astype(int).tolist() == expected
    assert masks[0, 1]  # what was given is not changed


def test_hospitals_made_so_never_offer_a_second_choice_beside_the_first() -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"))
    earlier = find_earlier_options(compiled)
    second = np.flatnonzero(earlier >= 0)
    names = compiled.action_labels
    assert all(names[a].startswith(f"{names[a - 1]}:") for a in second)
    weights = np.ones((1, compiled.num_types))
    hospitals = HospitalVectorEnvironment(compiled, 16, weights, earlier_options=earlier)
    _, masks = hospitals.reset(3)
    offered = 0
    for _ in range(150):
        masks = hospitals.step(masks.argmax(axis=1)).action_masks
        assert not (masks[:, second] & masks[:, second - 1]).any()
        offered += int(masks[:, second].sum())
    assert offered > 0


def make_policy(earlier: tuple[int, ...]) -> Policy:
    manifest = Manifest(
        kind="hospital",
        config={},
        observation_size=1,
        num_actions=6,
        hidden_sizes=(1,),
        earlier_options=earlier,
    )
    tensors: dict[str, np.ndarray] = {
        "actor.0.weight": np.zeros((1, 1), np.float32),
        "actor.0.bias": np.zeros(1, np.float32),
        "actor.1.weight": np.zeros((1, 6), np.float32),
        "index.bias": np.arange(6, dtype=np.float32),  # the later, the rather
        "index.slope": np.zeros(6, np.float32),
        "index.feature": np.full(6, -1, np.int64),
        "normalization.mean": np.zeros(1, np.float32),
        "normalization.inverse_std": np.ones(1, np.float32),
    }
    return Policy(manifest, tensors)


def test_a_policy_leaves_out_what_it_was_trained_without() -> None:
    observations, masks = np.zeros((2, 1), np.float32), np.ones((2, 6), bool)
    masks[:, 5] = False
    masks[1, 3] = False
    assert make_policy(()).act(observations, masks).tolist() == [4, 4]
    narrow = make_policy(tuple(EARLIER.tolist()))
    assert narrow.act(observations, masks).tolist() == [3, 4]
    assert narrow.probabilities(observations, masks).argmax(axis=1).tolist() == [3, 4]


def test_a_manifest_with_options_that_lead_nowhere_is_refused() -> None:
    assert check_tensors(make_policy(tuple(EARLIER.tolist()))) == []
    for wrong in ((-1, 0), (-1, 0, 1, -1, 4, -1), (-1, 0, 1, -2, 3, -1)):
        assert "earlier_options" in check_tensors(make_policy(wrong))[0]
