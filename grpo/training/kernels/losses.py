"""Gradients of both losses with respect to what the networks return, in closed form."""

from __future__ import annotations

import math

import numpy as np

from grpo.jit import jit
from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.kernels.functions import compiled, exp_of_negative, internal

f32 = np.float32


@jit(nogil=True, fastmath={"nnan", "nsz"}, _nrt=False)
def mask_logits(logits: Float32, masks: Bool) -> None:  # pragma: no cover - compiled
    """Put logits [B, A] at −1e8 where masks [B, A] forbid; make each row's largest 0.

    The loops have no branches, whose outcome no processor could guess; so a logit that is not a
    number may give anything, and a training with one is refused after the update.
    """
    for i in range(logits.shape[0]):
        row, allowed = logits[i], masks[i]
        for k in range(len(row)):
            row[k] = row[k] if allowed[k] else f32(-1e8)
        top = f32(-np.inf)
        for k in range(len(row)):
            top = max(row[k], top)
        for k in range(len(row)):
            row[k] -= top


@compiled
def exponentiate(logits: Float32, powers: Float32) -> None:  # pragma: no cover - compiled
    """Fill powers [B A] with exp(logits), none of which is positive; a row may be of any length."""
    for i in range(len(logits)):
        powers[i] = exp_of_negative(logits[i])


@compiled
def surrogate_gradient(
    logits: Float32,
    powers: Float32,
    actions: Int64,
    old_log_probs: Float32,
    advantages: Float32,
    clip_coef: float,
    ent_coef: float,
    factor: float,
    gradient: Float32,
    sums: Float64,
) -> None:  # pragma: no cover - compiled
    """Fill gradient [B, A] with that of the clipped surrogate loss with entropy bonus.

    With p the masked softmax, L its logarithm, ρ the ratio and H the entropy:
    ``∂/∂z_k = −A ρ [unclipped] (1{k = a} − p_k) + c p_k (L_k + H)``, times ``factor``.

    Args:
        logits: [B, A] float32, from ``mask_logits``.
        powers: [B, A] float32, exp(logits).
        actions: [B] int64.
        old_log_probs: [B] float32.
        advantages: [B] float32.
        clip_coef: ε.
        ent_coef: c.
        factor: 1 / minibatch size.
        gradient: [B, A] float32.
        sums: [4] float64; those of surrogate, entropy, KL estimate and clipped are added.
    """
    num_actions = logits.shape[1]
    low, high = f32(1.0 - clip_coef), f32(1.0 + clip_coef)
    for i in range(logits.shape[0]):
        action, advantage = actions[i], advantages[i]
        total = weighted = f32(0.0)
        for k in range(num_actions):
            total += powers[i, k]
            weighted += powers[i, k] * logits[i, k]
        log_total = f32(math.log(total))
        entropy = log_total - weighted / total
        log_ratio = logits[i, action] - log_total - old_log_probs[i]
        ratio = f32(math.exp(log_ratio))
        clipped = min(max(ratio, low), high)
        unclipped_wins = ratio * advantage <= clipped * advantage
        slope = f32(factor) * advantage * ratio if unclipped_wins else f32(0.0)
        bonus = f32(factor * ent_coef)
        offset = entropy - log_total
        for k in range(num_actions):
            prob = powers[i, k] / total
            gradient[i, k] = prob * (slope + bonus * (logits[i, k] + offset))
        gradient[i, action] -= slope
        sums[0] += min(ratio * advantage, clipped * advantage)
        sums[1] += entropy
        sums[2] += ratio - f32(1.0) - log_ratio
        sums[3] += abs(ratio - f32(1.0)) > f32(clip_coef)


@internal
def squared_error_gradient(
    values: Float32, rows: Int64, returns: Float32, factor: float, gradient: Float32
) -> float:  # pragma: no cover - compiled
    """Fill gradient [B, H] with ``factor · (values − returns[rows])``; return half the squares."""
    half_squares = 0.0
    for i in range(values.shape[0]):
        for h in range(values.shape[1]):
            error = values[i, h] - returns[rows[i], h]
            half_squares += 0.5 * error * error
            gradient[i, h] = f32(factor) * error
    return half_squares
