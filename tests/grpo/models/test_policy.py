from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grpo.errors import ModelError, ShapeError
from grpo.models.parameters import (
    IndexTerm,
    NetworkShape,
    count_parameters,
    initialise_actor,
    initialise_critic,
    named_views,
    pack,
)
from grpo.models.policy import Manifest, Policy, with_serving
from grpo.models.serialization import digest_bytes, dump_policy, load_policy
from grpo.training.fused_update import FusedLearner

SHAPE = NetworkShape(5, (8, 6), 4, 0)
FEATURES = np.array([1, 3, 2, -1])


def make_policy(**fields: Any) -> Any:
    rng = np.random.default_rng(0)
    actor = initialise_actor(SHAPE, rng)
    actor += 0.5 * rng.standard_normal(len(actor)).astype(np.float32)
    tensors = dict(named_views(SHAPE.actor_entries, actor))
    tensors["normalization.mean"] = rng.standard_normal(5).astype(np.float32)
    tensors["normalization.inverse_std"] = rng.uniform(0.5, 2, 5).astype(np.float32)
    tensors["index.feature"] = FEATURES.copy()
    tensors["rule.intercept"] = np.array([3.0, 2.0, 2.0, 0.0])
    tensors["rule.slope"] = np.array([0.0, 0.0, 0.0, 0.0])
    manifest = Manifest(
        kind="hospital",
        config={},
        observation_size=5,
        num_actions=4,
        hidden_sizes=(8, 6),
        rule="c_mu",
        **fields,
    )
    return Policy(manifest, tensors)


def observe(count: int = 6, seed: int = 1) -> Any:
    return np.random.default_rng(seed).uniform(0, 2, (count, 5)).astype(np.float32)


EVERYTHING = np.ones((6, 4), dtype=np.bool_)


def test_numpy_inference_equals_the_trained_network() -> None:
    policy = make_policy()
    observations = observe()
    mean, inverse_std = (
        policy.tensors[f"normalization.{name}"] for name in ("mean", "inverse_std")
    )
    normalized = ((observations - mean) * inverse_std).astype(np.float32)
    critic = initialise_critic(NetworkShape(5, (8, 6), 4, 1), np.random.default_rng(0))
    learner = FusedLearner(
        NetworkShape(5, (8, 6), 4, 1), pack(SHAPE.actor_entries, policy.tensors), critic
    )
    raw = np.column_stack([observations[:, [1, 3, 2]], np.zeros(6)]).astype(np.float32)
    expected = learner.compute_logits(normalized, raw)
    assert np.abs(policy.logits(observations) - expected).max() < 1e-5


def test_probabilities_are_the_softmax_of_sharpened_logits_over_allowed_actions() -> None:
    policy = make_policy(sharpness=2.0)
    observations, masks = observe(), EVERYTHING.copy()
    masks[:, 0] = False
    powers = np.exp(2.0 * policy.logits(observations).astype(np.float64)) * masks
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert policy.probabilities(observations, masks) == pytest.approx(expected, abs=1e-6)


def test_greedy_gives_a_one_at_the_best_allowed_action() -> None:
    policy = make_policy(sharpness="greedy")
    observations, masks = observe(), EVERYTHING.copy()
    masks[np.arange(6), policy.logits(observations).argmax(axis=1)] = False
    probabilities = policy.probabilities(observations, masks)
    assert probabilities.sum(axis=1).tolist() == [1] * 6
    assert (probabilities.argmax(axis=1) == policy.act(observations, masks)).all()
    assert masks[np.arange(6), policy.act(observations, masks)].all()


def test_actions_are_drawn_with_the_served_probabilities() -> None:
    policy = make_policy(sharpness=1.0)
    observations = np.repeat(observe(1), 20_000, axis=0)
    masks = np.tile(np.array([True, False, True, True]), (20_000, 1))
    actions = policy.act(observations, masks, np.random.default_rng(0))
    shares = np.bincount(actions, minlength=4) / 20_000
    expected = policy.probabilities(observations[:1], masks[:1])[0]
    assert np.abs(shares - expected).max() < 4 * np.sqrt(0.25 / 20_000)
    again = policy.act(observations, masks, np.random.default_rng(0))
    assert np.array_equal(actions, again)


def test_rule_is_served_exactly_and_ties_go_to_the_longest_wait() -> None:
    policy = with_serving(make_policy(), served="rule", sharpness="greedy")
    observations = np.zeros((3, 5), dtype=np.float32)
    observations[:, 1], observations[:, 3], observations[:, 2] = 0.1, np.log1p(1), np.log1p(2)
    masks = np.array([[True] * 4, [False, True, True, True], [False, False, False, True]])
    # the largest intercept; then equal intercepts, the third action has waited longer; then HOLD
    assert policy.act(observations, masks).tolist() == [0, 2, 3]
    assert policy.probabilities(observations, masks).sum(axis=1).tolist() == [1, 1, 1]


def test_rule_distinguishes_waits_beside_a_huge_intercept() -> None:
    policy = with_serving(make_policy(), served="rule", sharpness="greedy")
    policy.tensors["rule.intercept"][...] = [-3e6, -3e6, -5e6, 0]
    policy.tensors["rule.slope"][...] = [1, 1, 1, 0]
    observations = np.zeros((1, 5), dtype=np.float32)
    observations[0, [1, 3, 2]] = np.log1p([1.0, 1.001, 20.0])
    assert policy.act(observations, EVERYTHING[:1]).tolist() == [1]


def test_wrong_observation_size_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected \(B, 5\)"):
        make_policy().logits(np.zeros((2, 4), dtype=np.float32))


def test_stored_policy_comes_back_bit_for_bit_and_bytes_are_reproducible() -> None:
    policy = make_policy(sharpness=4.0, feature_names=("a", "b", "c", "d", "e"))
    data = dump_policy(policy)
    assert data == dump_policy(make_policy(sharpness=4.0, feature_names=tuple("abcde")))
    loaded = load_policy(data, digest_bytes(data))
    assert loaded.manifest == policy.manifest
    assert np.array_equal(loaded.logits(observe()), policy.logits(observe()))


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, 0.99])
def test_truncated_models_are_refused(kept: float) -> None:
    data = dump_policy(make_policy())
    cut = data[: int(kept * len(data)) if isinstance(kept, float) else kept]
    with pytest.raises(ModelError):
        load_policy(cut)


def test_altered_models_are_refused_by_their_digest() -> None:
    data = bytearray(dump_policy(make_policy()))
    digest = digest_bytes(bytes(data))
    data[-1] ^= 1
    with pytest.raises(ModelError, match="SHA-256"):
        load_policy(bytes(data), digest)


def test_a_flip_of_any_single_bit_of_a_file_is_noticed() -> None:
    data = dump_policy(make_policy())
    end = 8 + int.from_bytes(data[:8], "little")  # of the header; tensors follow
    assert len(data) - end == sum(tensor.nbytes for tensor in make_policy().tensors.values())
    every_header_byte = [(at, at % 8) for at in range(end)]
    every_tensor_byte = [(at, (3 * at) % 8) for at in range(end, len(data))]
    for at, bit in every_header_byte + every_tensor_byte:
        altered = bytearray(data)
        altered[at] ^= 1 << bit
        with pytest.raises(ModelError):
            load_policy(bytes(altered))
    load_policy(data)


def test_the_same_content_written_in_another_way_is_refused() -> None:
    data = dump_policy(make_policy())
    spaced = data.replace(b'\\"num_actions\\": 4', b'\\"num_actions\\":4 ')
    assert spaced != data
    with pytest.raises(ModelError, match="another way"):
        load_policy(spaced)


def test_a_manifest_of_other_tensors_is_refused() -> None:
    policy = make_policy()
    data = dump_policy(policy)
    wrong = data.replace(b'\\"num_actions\\": 4', b'\\"num_actions\\": 5')
    assert wrong != data
    with pytest.raises(ModelError, match="content does not have its digest"):
        load_policy(wrong)
    five = policy.manifest.model_copy(update={"num_actions": 5})
    with pytest.raises(ModelError, match=r"index.bias: expected \(5,\) float32, got \(4,\)"):
        dump_policy(Policy(five, policy.tensors))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("index.bias", np.full(4, np.nan, dtype=np.float32), "not finite"),
        ("index.feature", np.array([0, 1, 2, 5]), "outside the observation"),
        ("actor.9.weight", np.zeros(1, dtype=np.float32), "unknown tensor"),
    ],
)
def test_impossible_tensors_are_never_stored(name: str, value: NDArray[Any], match: str) -> None:
    policy = make_policy()
    with pytest.raises(ModelError, match=match):
        dump_policy(Policy(policy.manifest, {**policy.tensors, name: value}))


def test_foreign_bytes_are_refused() -> None:
    for data in (b"", b"\x80\x04pickle", b"\xff" * 64, (10).to_bytes(8, "little") + b"[" * 10):
        with pytest.raises(ModelError):
            load_policy(data)


def test_views_pack_back_to_the_same_vector() -> None:
    flat = initialise_actor(SHAPE, np.random.default_rng(3))
    assert len(flat) == count_parameters(SHAPE.actor_entries)
    assert np.array_equal(pack(SHAPE.actor_entries, named_views(SHAPE.actor_entries, flat)), flat)
    with pytest.raises(ShapeError):
        named_views(SHAPE.actor_entries, flat[:-1])


def test_hidden_layers_start_orthogonal_and_the_policy_near_its_index() -> None:
    index = IndexTerm(
        np.array([1, 2, 3, -4], dtype=np.float32), np.ones(4, dtype=np.float32), FEATURES
    )
    shape = NetworkShape(5, (8, 8), 4, 1)
    views = named_views(
        shape.actor_entries, initialise_actor(shape, np.random.default_rng(0), index)
    )
    inner = views["actor.1.weight"]
    assert inner.T @ inner == pytest.approx(2 * np.eye(8), abs=1e-5)
    assert np.abs(views["actor.2.weight"]).max() <= 0.01
    assert views["index.bias"].tolist() == [1, 2, 3, -4]
