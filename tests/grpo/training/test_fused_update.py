"""The hand-written update against autograd, and against itself on several threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grpo.errors import ShapeError
from grpo.models.parameters import (
    NetworkShape,
    initialise_actor,
    initialise_critic,
    named_views,
)
from grpo.objectives.surrogate import clipped_surrogate
from grpo.training.dense_network import CHUNK
from grpo.training.fused_update import FusedLearner
from grpo.training.kernels.dense import Networks
from grpo.training.kernels.losses import exponentiate, mask_logits, surrogate_gradient
from grpo.training.kernels.sampling import sample_actions
from grpo.training.torch_update import TorchLearner
from grpo.training.update import (
    Batch,
    MinibatchOrder,
    UpdateArguments,
    UpdateSettings,
    make_learner,
    make_order,
)
from grpo.training.update_epochs import Lesson, cut_lesson

SETTINGS = UpdateSettings(clip_coef=0.2, vf_coef=0.5, max_grad_norm=0.5, target_kl=None)


def make_shape(hidden: tuple[int, ...] = (16, 24), num_heads: int = 3) -> Any:
    return NetworkShape(7, hidden, 5, num_heads)


def make_batch(shape: NetworkShape, samples: int, *, features: bool = True, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    masks = rng.random((samples, shape.num_actions)) < 0.6
    actions = rng.integers(0, shape.num_actions, samples)
    masks[np.arange(samples), actions] = True
    normal = rng.standard_normal

    def draw(*size: Any) -> Any:
        return normal(size).astype(np.float32)

    return Batch(
        draw(samples, shape.observation_size),
        np.abs(draw(samples, shape.num_actions)) if features else None,
        masks,
        actions,
        np.log(rng.uniform(0.1, 0.9, samples)).astype(np.float32),
        draw(samples),
        draw(samples, shape.num_heads),
    )


def make_parameters(shape: NetworkShape, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    actor, critic = initialise_actor(shape, rng), initialise_critic(shape, rng)
    actor += 0.3 * rng.standard_normal(len(actor)).astype(np.float32)
    return actor, critic


def make_pair(shape: NetworkShape) -> Any:
    actor, critic = make_parameters(shape)
    return FusedLearner(shape, actor, critic), TorchLearner(shape, actor, critic)


def measure_actor_gradient(learner: FusedLearner, batch: Batch) -> Any:
    """Return the gradient [P] over a whole batch: ten times Adam's first moment after one step."""
    order = MinibatchOrder(np.arange(len(batch.actions))[None], np.array([0, len(batch.actions)]))
    settings = replace(SETTINGS, max_grad_norm=np.inf)
    learner.update(batch, order, learning_rate=0.0, ent_coef=0.01, settings=settings)
    return 10 * learner.actor.kernel.first[0]


def test_surrogate_gradient_equals_autograd() -> None:
    shape = make_shape()
    batch = make_batch(shape, 300)
    logits = np.random.default_rng(4).standard_normal((300, 5)).astype(np.float32)
    reference = torch.from_numpy(logits.copy()).requires_grad_()
    parts = clipped_surrogate(
        reference,
        torch.from_numpy(batch.action_masks),
        torch.from_numpy(batch.actions),
        torch.from_numpy(batch.log_probs),
        torch.from_numpy(batch.advantages),
        clip_coef=0.2,
        ent_coef=0.01,
    )
    torch.autograd.backward(parts.loss)
    assert reference.grad is not None
    sums, powers, gradient = np.zeros(4), np.empty_like(logits), np.empty_like(logits)
    mask_logits(logits, batch.action_masks)
    exponentiate(logits.reshape(-1), powers.reshape(-1))
    surrogate_gradient(
        logits,
        powers,
        batch.actions,
        batch.log_probs,
        batch.advantages,
        0.2,
        0.01,
        1 / 300,
        gradient,
        sums,
    )
    assert np.abs(gradient - reference.grad.numpy()).max() < 1e-7
    expected = [-float(parts.policy_loss.detach()), *(float(part.detach()) for part in parts[2:])]
    assert sums / 300 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("hidden", [(8,), (16, 24), (8, 8, 8)])
@pytest.mark.parametrize("features", [True, False])
def test_actor_gradient_through_all_layers_equals_autograd(
    hidden: tuple[int, ...], features: bool
) -> None:
    shape = make_shape(hidden)
    fused, reference = make_pair(shape)
    samples = CHUNK + 100  # more than one chunk
    batch = make_batch(shape, samples, features=features)
    found = measure_actor_gradient(fused, batch)
    loss = clipped_surrogate(
        reference.network.actor(
            torch.from_numpy(batch.observations),
            reference._index_features(batch.index_features, samples),
        ),
        torch.from_numpy(batch.action_masks),
        torch.from_numpy(batch.actions),
        torch.from_numpy(batch.log_probs),
        torch.from_numpy(batch.advantages),
        clip_coef=0.2,
        ent_coef=0.01,
    ).loss
    torch.autograd.backward(loss)
    gradient = reference.network.actor.flat.grad
    assert gradient is not None
    expected = gradient.numpy()
    assert np.abs(found - expected).max() < 1e-6 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(("target_kl", "num_heads"), [(None, 3), (None, 1), (1e-4, 3)])
def test_whole_update_agrees_with_the_torch_reference(
    target_kl: float | None, num_heads: int
) -> None:
    shape = make_shape(num_heads=num_heads)
    fused, reference = make_pair(shape)
    batch = make_batch(shape, 600)
    logits = fused.compute_logits(batch.observations, batch.index_features).copy()
    drawn, log_probs = np.empty(600, dtype=np.int64), np.empty(600, dtype=np.float32)
    sample_actions(
        logits, batch.action_masks, np.random.default_rng(0).random(600), drawn, log_probs
    )
    batch = replace(batch, actions=drawn, log_probs=log_probs)
    settings = replace(SETTINGS, target_kl=target_kl)
    order = make_order(np.random.default_rng(1), 600, 200, 3)
    kwargs = {"learning_rate": 1e-3, "ent_coef": 0.01, "settings": settings}
    stats = fused.update(batch, order, **kwargs)
    expected = reference.update(batch, order, **kwargs)
    assert np.abs(fused.actor_parameters - reference.actor_parameters).max() < 2e-5
    assert np.abs(fused.critic_parameters - reference.critic_parameters).max() < 2e-5
    assert stats.epochs == expected.epochs
    assert (stats.epochs < 3) is (target_kl is not None)
    for name in ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction"):
        assert getattr(stats, name) == pytest.approx(getattr(expected, name), rel=1e-3, abs=1e-5)


@pytest.mark.usefixtures("threads_share_small_networks")
@pytest.mark.parametrize("minibatch", [500, CHUNK + 276, 3 * CHUNK])
@pytest.mark.parametrize("target_kl", [None, 1e-3])
def test_number_of_threads_does_not_change_a_bit(minibatch: int, target_kl: float | None) -> None:
    shape, samples = make_shape(), 2 * minibatch
    actor, critic = make_parameters(shape)
    batch = make_batch(shape, samples)
    logits = FusedLearner(shape, actor, critic).compute_logits(
        batch.observations, batch.index_features
    )
    chosen = logits[np.arange(samples), batch.actions]
    batch.log_probs[...] = chosen - np.log(np.exp(logits).sum(axis=1))
    settings = replace(SETTINGS, target_kl=target_kl)
    order = make_order(np.random.default_rng(1), samples, minibatch, 4)
    results, kept = [], []
    for num_threads in (1, 2):
        learner = FusedLearner(shape, actor, critic, num_threads=num_threads)
        results.append(
            learner.update(batch, order, learning_rate=1e-2, ent_coef=0.01, settings=settings)
        )
        kept.append((learner.actor_parameters.copy(), learner.critic_parameters.copy()))
    assert results[0] == results[1]
    assert (results[0].epochs < 4) is (target_kl is not None)
    assert np.array_equal(kept[0][0], kept[1][0])
    assert np.array_equal(kept[0][1], kept[1][1])


@pytest.mark.usefixtures("threads_share_small_networks")
@pytest.mark.parametrize("failing", ["actor", "critic"])
def test_a_failure_in_either_thread_ends_the_update(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise OverflowError(failing)

    shape = make_shape()
    learner = FusedLearner(shape, *make_parameters(shape), num_threads=2)
    order = make_order(np.random.default_rng(1), 600, 300, 2)
    monkeypatch.setattr(f"grpo.training.update_epochs.teach_{failing}s", fail)
    with pytest.raises(OverflowError, match=failing):
        learner.update(
            make_batch(shape, 600), order, learning_rate=1e-2, ent_coef=0.01, settings=SETTINGS
        )


@pytest.mark.parametrize("target_kl", [None, 1e-3])
def test_cutting_an_update_into_calls_does_not_change_a_bit(
    target_kl: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, samples = make_shape(), 1000
    actor, critic = make_parameters(shape)
    batch = make_batch(shape, samples)
    order = make_order(np.random.default_rng(1), samples, 200, 3)
    settings, results, kept = replace(SETTINGS, target_kl=target_kl), [], []
    for work in (1, 2 * 200 * len(actor), 10**9):  # one minibatch a call, two, all
        monkeypatch.setattr("grpo.training.update_epochs.WORK_AT_ONCE", work)
        learner = FusedLearner(shape, actor, critic)
        results.append(
            learner.update(batch, order, learning_rate=1e-2, ent_coef=0.01, settings=settings)
        )
        kept.append((learner.actor_parameters.copy(), learner.critic_parameters.copy()))
    assert results[0] == results[1] == results[2]
    for mine, theirs in zip(kept[0], kept[2], strict=True):
        assert np.array_equal(mine, theirs)
    for mine, theirs in zip(kept[1], kept[2], strict=True):
        assert np.array_equal(mine, theirs)


@given(
    samples=st.integers(1, 300),
    minibatch=st.integers(1, 100),
    epochs=st.integers(1, 4),
    work=st.integers(1, 1000),
    by_epoch=st.booleans(),
)
def test_calls_take_every_minibatch_once_in_order_and_end_with_epochs_where_asked(
    samples: int, minibatch: int, epochs: int, work: int, by_epoch: bool
) -> None:
    order = make_order(np.random.default_rng(0), samples, minibatch, epochs)
    per_epoch, vector = len(order.ends) - 1, np.zeros((1, 1), dtype=np.float32)
    layers, steps = np.zeros((0, 4), dtype=np.int64), np.zeros(1, dtype=np.int64)
    shape, arguments = (
        make_shape(),
        UpdateArguments(learning_rate=1.0, ent_coef=0.0, settings=SETTINGS, update_actor=True),
    )
    lesson = Lesson.of([make_batch(shape, samples)], [order], arguments)
    one_parameter = Networks(layers, vector, vector, vector, vector, steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grpo.training.update_epochs.WORK_AT_ONCE", work)
        parts = list(cut_lesson(lesson, one_parameter, by_epoch=by_epoch))
    taken = [number for part in parts for number in range(part.first, part.last)]
    assert taken == list(range(epochs * per_epoch))
    if by_epoch:
        assert all(part.first // per_epoch == (part.last - 1) // per_epoch for part in parts)
    largest = int(np.diff(order.ends).max())
    assert all((part.last - part.first) * largest <= max(work, largest) for part in parts)


def test_critic_alone_leaves_the_actor_as_it_is() -> None:
    shape = make_shape()
    for learner in make_pair(shape):
        before = learner.actor_parameters.copy()
        order = make_order(np.random.default_rng(1), 200, 100, 1)
        learner.update(
            make_batch(shape, 200),
            order,
            learning_rate=1e-2,
            ent_coef=0.0,
            settings=SETTINGS,
            update_actor=False,
        )
        assert np.array_equal(before, learner.actor_parameters)


def test_rescaling_changes_values_as_asked() -> None:
    shape = make_shape()
    observations = make_batch(shape, 50).observations
    factor, shift = np.array([2, 0.5, 1], dtype=np.float32), np.array([0, 1, -3], dtype=np.float32)
    for learner in make_pair(shape):
        before = learner.compute_values(observations).copy()
        learner.rescale_values(factor, shift)
        after = learner.compute_values(observations)
        assert np.abs(after - (factor * before + shift)).max() < 1e-5


def test_both_learners_compute_the_same_logits_and_values() -> None:
    shape = make_shape()
    fused, reference = make_pair(shape)
    batch = make_batch(shape, 2 * CHUNK + 1)
    ours = fused.compute_logits(batch.observations, batch.index_features)
    theirs = reference.compute_logits(batch.observations, batch.index_features)
    assert np.abs(ours - theirs).max() < 1e-5
    values = fused.compute_values(batch.observations)
    assert np.abs(values - reference.compute_values(batch.observations)).max() < 1e-5


def test_minibatches_of_an_epoch_hold_every_row_once() -> None:
    order = make_order(np.random.default_rng(0), 1000, 300, 2)
    for epoch in (0, 1):
        minibatches = order.split(epoch)
        assert [len(rows) for rows in minibatches] == [334, 333, 333]
        assert sorted(np.concatenate(minibatches).tolist()) == list(range(1000))
    assert not np.array_equal(order.rows[0], order.rows[1])


def test_actions_are_drawn_with_the_masked_softmax_probabilities() -> None:
    draws = 40_000
    logits = np.tile(np.array([0.0, 1.0, 9.0, -1.0], dtype=np.float32), (draws, 1))
    masks = np.tile(np.array([True, True, False, True]), (draws, 1))
    actions, log_probs = np.empty(draws, dtype=np.int64), np.empty(draws, dtype=np.float32)
    sample_actions(logits, masks, np.random.default_rng(0).random(draws), actions, log_probs)
    powers = np.array([1.0, np.e, 0.0, 1 / np.e])
    probs = powers / powers.sum()
    shares = np.bincount(actions, minlength=4) / draws
    assert np.abs(shares - probs).max() < 4 * np.sqrt(0.25 / draws)
    assert np.exp(log_probs) == pytest.approx(probs[actions], rel=1e-5)


def test_a_logit_that_is_no_number_draws_an_allowed_action_without_a_probability() -> None:
    logits = np.full((4, 3), np.nan, dtype=np.float32)
    logits[2:] = [[0.0, np.nan, 1.0], [np.nan, 0.0, 0.0]]
    masks = np.array([[False, True, True], [False, False, True], [True, True, False]] * 2)[:4]
    actions, log_probs = np.empty(4, dtype=np.int64), np.empty(4, dtype=np.float32)
    sample_actions(logits, masks, np.full(4, 0.5), actions, log_probs)
    assert masks[np.arange(4), actions].all()
    assert np.isnan(log_probs[:3]).all()


def test_inputs_of_another_width_are_refused() -> None:
    shape = make_shape()
    learner, _ = make_pair(shape)
    wrong = np.zeros((3, shape.observation_size - 1), dtype=np.float32)
    with pytest.raises(ShapeError, match=r"expected \(\.\.\., 7\), got \(3, 6\)"):
        learner.compute_values(wrong)
    batch = replace(make_batch(shape, 10), observations=np.zeros((10, 8), dtype=np.float32))
    order = make_order(np.random.default_rng(0), 10, 10, 1)
    with pytest.raises(ShapeError, match="got"):
        learner.update(batch, order, learning_rate=1e-3, ent_coef=0.0, settings=SETTINGS)


def test_one_thread_values_what_all_do_to_the_bit() -> None:
    shape = make_shape()
    learner = FusedLearner(shape, *make_parameters(shape), num_threads=2)
    observations = make_batch(shape, 3 * CHUNK + 7).observations
    expected = learner.compute_values(observations)
    for thread in (0, 1):
        assert np.array_equal(learner.compute_values(observations, thread), expected)


def test_other_devices_get_the_torch_learner() -> None:
    shape = make_shape()
    actor, critic = make_parameters(shape)
    assert isinstance(make_learner(shape, actor, critic), FusedLearner)
    assert isinstance(make_learner(shape, actor, critic, device="meta"), TorchLearner)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: there is no CUDA device here")
def test_cuda_learner_computes_and_learns_what_the_cpu_does() -> None:
    shape = make_shape()
    actor, critic = make_parameters(shape)
    batch = make_batch(shape, 600)
    order = make_order(np.random.default_rng(1), 600, 200, 3)
    learners = [TorchLearner(shape, actor, critic, device=name) for name in ("cpu", "cuda")]
    for learner in learners:
        learner.update(batch, order, learning_rate=1e-3, ent_coef=0.01, settings=SETTINGS)
    cpu, cuda = learners
    assert np.abs(cpu.actor_parameters - cuda.actor_parameters).max() < 1e-4
    assert np.abs(cpu.critic_parameters - cuda.critic_parameters).max() < 1e-4
    logits = [one.compute_logits(batch.observations, batch.index_features) for one in learners]
    assert np.abs(logits[0] - logits[1]).max() < 1e-2


def test_index_slope_is_part_of_the_actor() -> None:
    shape = make_shape()
    fused, _ = make_pair(shape)
    views = named_views(shape.actor_entries, fused.actor_parameters)
    views["index.slope"][...] = 2.0
    batch = make_batch(shape, 10)
    without = fused.compute_logits(batch.observations, None).copy()
    with_features = fused.compute_logits(batch.observations, batch.index_features)
    assert with_features == pytest.approx(without + 2.0 * batch.index_features, abs=1e-5)


def test_both_learners_make_the_same_update_of_a_critic_that_sees_more() -> None:
    shape = NetworkShape(7, (16, 24), 5, 3, privileged_size=4)
    batch = make_batch(shape, 600)
    more = np.random.default_rng(1).standard_normal((600, 4)).astype(np.float32)
    batch = replace(batch, critic_inputs=np.concatenate([batch.observations, more], axis=1))
    fused, reference = make_pair(shape)
    order = make_order(np.random.default_rng(2), 600, 200, 2)
    for learner in (fused, reference):
        learner.update(batch, order, learning_rate=1e-3, ent_coef=0.01, settings=SETTINGS)
    assert np.abs(fused.critic_parameters - reference.critic_parameters).max() < 1e-5
    values = fused.compute_values(batch.seen_by_critic)
    assert np.abs(values - reference.compute_values(batch.seen_by_critic)).max() < 1e-4
