"""PPO's losses in torch: the reference that the hand-written gradients are tested against."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MASKED_LOGIT = -1e8
"""Logit of an action that is not allowed: its probability is exactly 0 in float32."""


class SurrogateLoss(NamedTuple):
    """The policy's loss and what it says about the step.

    Attributes:
        loss: scalar, minus the mean clipped surrogate minus ``ent_coef`` times the entropy.
        policy_loss: scalar, minus the mean clipped surrogate.
        entropy: scalar, mean entropy over allowed actions, nats.
        approx_kl: scalar, mean of ``ratio − 1 − log ratio``, at least 0.
        clip_fraction: scalar, share of samples whose ratio lies outside the clip range.
    """

    loss: Tensor
    policy_loss: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


def masked_log_softmax(logits: Tensor, action_masks: Tensor) -> Tensor:
    """Return log probabilities [B, A] over allowed actions; others get about -1e8.

    Args:
        logits: [B, A] float.
        action_masks: [B, A] bool, at least one allowed per row.

    Source: Huang and Ontañón 2022, A closer look at invalid action masking, section 3.
    """
    return torch.log_softmax(torch.where(action_masks, logits, MASKED_LOGIT), dim=-1)


def masked_entropy(log_probs: Tensor, action_masks: Tensor) -> Tensor:
    """Return the entropy [B] of masked log probabilities [B, A] over allowed actions, nats.

    Source: Shannon 1948, A mathematical theory of communication, section 6.
    """
    terms = torch.where(action_masks, log_probs.exp() * log_probs, 0.0)
    return -terms.sum(-1)


def clipped_surrogate(
    logits: Tensor,
    action_masks: Tensor,
    actions: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    clip_coef: float,
    ent_coef: float,
) -> SurrogateLoss:
    """Return PPO's clipped loss with an entropy bonus, to be minimised.

    ``−mean min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) − c H`` with ``ρ = π(a|s) / π_old(a|s)``.

    Args:
        logits: [B, A] float, of the policy that is updated.
        action_masks: [B, A] bool, as stored when acting.
        actions: [B] int64, allowed ones.
        old_log_probs: [B] float, log π_old(a|s).
        advantages: [B] float, used as they are.
        clip_coef: ε > 0.
        ent_coef: c >= 0.

    Source: Schulman et al. 2017, Proximal policy optimization algorithms, equations 7 and 9; the
        KL estimate is Schulman 2020, Approximating KL divergence, k3.
    """
    log_probs = masked_log_softmax(logits, action_masks)
    log_ratios = log_probs.gather(-1, actions[:, None]).squeeze(-1) - old_log_probs
    ratios = log_ratios.exp()
    clipped = ratios.clamp(1 - clip_coef, 1 + clip_coef)
    policy_loss = -torch.minimum(ratios * advantages, clipped * advantages).mean()
    entropy = masked_entropy(log_probs, action_masks).mean()
    with torch.no_grad():
        approx_kl = (ratios - 1 - log_ratios).mean()
        clip_fraction = ((ratios - 1).abs() > clip_coef).to(ratios.dtype).mean()
    return SurrogateLoss(
        policy_loss - ent_coef * entropy, policy_loss, entropy, approx_kl, clip_fraction
    )


def squared_error(values: Tensor, returns: Tensor) -> Tensor:
    """Return half the mean squared error, summed over heads: the critic's loss.

    Args:
        values: [B, H] float, in units of each head's return scale.
        returns: [B, H] float, in the same units.

    Source: Schulman et al. 2017, Proximal policy optimization algorithms, equation 9, L^VF.
    """
    return 0.5 * (values - returns).square().sum(-1).mean()
