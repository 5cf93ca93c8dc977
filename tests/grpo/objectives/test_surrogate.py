from __future__ import annotations

import math

import pytest
import torch

from grpo.objectives.surrogate import (
    clipped_surrogate,
    masked_entropy,
    masked_log_softmax,
    squared_error,
)


def loss_of_ratio(ratio: float, advantage: float) -> tuple[float, float, float]:
    """Two actions; the taken one had probability 1/2 and now has ratio / 2."""
    prob = ratio / 2
    logits = torch.tensor([[math.log(prob), math.log(1 - prob)]], requires_grad=True)
    parts = clipped_surrogate(
        logits,
        torch.ones(1, 2, dtype=torch.bool),
        torch.tensor([0]),
        torch.tensor([math.log(0.5)]),
        torch.tensor([advantage]),
        clip_coef=0.2,
        ent_coef=0.0,
    )
    torch.autograd.backward(parts.loss)
    assert logits.grad is not None
    return float(parts.loss.detach()), float(logits.grad.abs().sum()), float(parts.clip_fraction)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [
        (1.1, 2.0, -2.2, True),
        (1.5, 2.0, -2.4, False),  # gained enough: clipped at 1.2
        (1.5, -2.0, 3.0, True),  # a mistake is never clipped away
        (0.5, -2.0, 1.6, False),  # unlearned enough: clipped at .8
        (0.5, 2.0, -1.0, True),
    ],
)
def test_clip_takes_effect_only_where_it_makes_the_objective_smaller(
    ratio: float, advantage: float, loss: float, moves: bool
) -> None:
    got, gradient, clipped = loss_of_ratio(ratio, advantage)
    assert got == pytest.approx(loss, rel=1e-5)
    assert (gradient > 0) is moves
    assert clipped == (abs(ratio - 1) > 0.2)


def test_masked_actions_have_no_probability_no_entropy_and_no_gradient() -> None:
    logits = torch.tensor([[1.0, 50.0, 1.0]], requires_grad=True)
    masks = torch.tensor([[True, False, True]])
    log_probs = masked_log_softmax(logits, masks)
    entropy = masked_entropy(log_probs, masks)
    torch.autograd.backward((entropy + log_probs[0, 0]).sum())
    assert logits.grad is not None
    assert log_probs.exp().tolist() == [[pytest.approx(0.5), 0.0, pytest.approx(0.5)]]
    assert float(entropy.detach()) == pytest.approx(math.log(2))
    assert logits.grad[0, 1] == 0


def test_squared_error_sums_heads_and_averages_samples() -> None:
    values = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    returns = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    # half of ((1 + 4) + 4) / 2
    assert float(squared_error(values, returns)) == pytest.approx(2.25)
