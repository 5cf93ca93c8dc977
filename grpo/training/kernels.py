"""Elementwise numba kernels of the hand-written update. They release the GIL and use no BLAS."""

from __future__ import annotations

import math

import numba
import numpy as np

from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool, Float64

_compile = numba.njit(cache=True, nogil=True)


@_compile
def add_bias(hidden: Float32, bias: Float32) -> None:  # pragma: no cover - compiled
    """Add bias [C] to every row of hidden [B, C], in place."""
    for i in range(hidden.shape[0]):
        for j in range(hidden.shape[1]):
            hidden[i, j] += bias[j]


@_compile
def scale_by_tanh_slope(gradient: Float32, hidden: Float32) -> None:  # pragma: no cover - compiled
    """Multiply gradient [B, C] by ``1 − h²``, the slope of tanh where it gave h, in place."""
    one = np.float32(1.0)
    for i in range(hidden.shape[0]):
        for j in range(hidden.shape[1]):
            gradient[i, j] *= one - hidden[i, j] * hidden[i, j]


@_compile
def sum_rows(gradient: Float32, total: Float32) -> None:  # pragma: no cover - compiled
    """Add the sum of gradient [B, C] over its rows to total [C], row by row."""
    for i in range(gradient.shape[0]):
        for j in range(gradient.shape[1]):
            total[j] += gradient[i, j]


@_compile
def sample_actions(
    logits: Float32, masks: Bool, uniforms: Float64, actions: Int64, log_probs: Float32
) -> None:  # pragma: no cover - compiled
    """Draw one action per row by inverting the distribution function of the masked softmax.

    Args:
        logits: [N, A] float32, overwritten by exp(logit − max).
        masks: [N, A] bool, at least one allowed per row.
        uniforms: [N] float64 in [0, 1).
        actions: [N] int64, filled.
        log_probs: [N] float32, filled with log π(a|s).
    """
    for i in range(logits.shape[0]):
        top = np.float32(-np.inf)
        for k in range(logits.shape[1]):
            if masks[i, k] and logits[i, k] > top:
                top = logits[i, k]
        total = np.float32(0.0)
        for k in range(logits.shape[1]):
            logits[i, k] = math.exp(logits[i, k] - top) if masks[i, k] else np.float32(0.0)
            total += logits[i, k]
        threshold = uniforms[i] * total
        reached = 0.0
        chosen = -1
        for k in range(logits.shape[1]):
            if logits[i, k] > 0:
                chosen = k
                reached += logits[i, k]
                if reached > threshold:
                    break
        actions[i] = chosen
        log_probs[i] = math.log(logits[i, chosen] / total)


@_compile
def mask_logits(logits: Float32, rows: Int64, masks: Bool) -> None:  # pragma: no cover - compiled
    """Put logits [B, A] at −1e8 where masks [S, A] forbid at rows [B]; make each row's largest 0.

    A row then needs one more step to be a softmax: ``exp`` of all of it at once, which numpy does
    several values at a time and a kernel only one by one.
    """
    for i in range(logits.shape[0]):
        top = np.float32(-np.inf)
        for k in range(logits.shape[1]):
            if not masks[rows[i], k]:
                logits[i, k] = np.float32(-1e8)
            top = max(top, logits[i, k])
        for k in range(logits.shape[1]):
            logits[i, k] -= top


@_compile
def surrogate_gradient(
    logits: Float32,
    powers: Float32,
    rows: Int64,
    actions: Int64,
    old_log_probs: Float32,
    advantages: Float32,
    clip_coef: float,
    ent_coef: float,
    factor: float,
    statistics: Float64,
) -> None:  # pragma: no cover - compiled
    """Replace logits [B, A] by the gradient of the clipped surrogate loss with entropy bonus.

    With p the masked softmax, L its logarithm, ρ the ratio and H the entropy:
    ``∂/∂z_k = −A ρ [unclipped] (1{k = a} − p_k) + c p_k (L_k + H)``, times ``factor``.

    Args:
        logits: [B, A] float32, from ``mask_logits``; overwritten.
        powers: [B, A] float32, exp(logits).
        rows: [B] int64, which samples of the arrays below the rows of logits belong to.
        actions: [S] int64.
        old_log_probs: [S] float32.
        advantages: [S] float32.
        clip_coef: ε.
        ent_coef: c.
        factor: 1 / minibatch size.
        statistics: [4] float64; sums of surrogate, entropy, KL estimate, clipped are added.
    """
    num_actions = logits.shape[1]
    for i in range(logits.shape[0]):
        row = rows[i]
        total = np.float32(0.0)
        weighted = np.float32(0.0)
        for k in range(num_actions):
            total += powers[i, k]
            weighted += powers[i, k] * logits[i, k]
        log_total = np.float32(math.log(total))
        entropy = log_total - weighted / total
        log_ratio = logits[i, actions[row]] - log_total - old_log_probs[row]
        ratio = np.float32(math.exp(log_ratio))
        advantage = advantages[row]
        clipped = min(max(ratio, np.float32(1.0 - clip_coef)), np.float32(1.0 + clip_coef))
        unclipped_wins = ratio * advantage <= clipped * advantage
        slope = np.float32(factor) * advantage * ratio if unclipped_wins else np.float32(0.0)
        bonus = np.float32(factor * ent_coef)
        offset = entropy - log_total
        for k in range(num_actions):
            prob = powers[i, k] / total
            logits[i, k] = prob * (slope + bonus * (logits[i, k] + offset))
        logits[i, actions[row]] -= slope
        statistics[0] += min(ratio * advantage, clipped * advantage)
        statistics[1] += entropy
        statistics[2] += ratio - np.float32(1.0) - log_ratio
        statistics[3] += abs(ratio - np.float32(1.0)) > np.float32(clip_coef)


@_compile
def squared_error_gradient(
    values: Float32, rows: Int64, returns: Float32, factor: float, statistics: Float64
) -> None:  # pragma: no cover - compiled
    """Replace values [B, H] by ``factor · (values − returns[rows])``; add half the squares."""
    for i in range(values.shape[0]):
        for h in range(values.shape[1]):
            error = values[i, h] - returns[rows[i], h]
            statistics[0] += 0.5 * error * error
            values[i, h] = np.float32(factor) * error


@_compile
def adam_step(
    parameters: Float32,
    gradient: Float32,
    first: Float32,
    second: Float32,
    step: int,
    learning_rate: float,
    max_norm: float,
) -> float:  # pragma: no cover - compiled
    """Clip the gradient [P] to a norm and apply one Adam step (.9, .999, 1e-5); return the norm.

    Source: Kingma and Ba 2015, Adam, algorithm 1.
    """
    squares = 0.0
    for i in range(gradient.shape[0]):
        squares += gradient[i] * gradient[i]
    norm = math.sqrt(squares)
    shrink = np.float32(min(1.0, max_norm / (norm + 1e-6)))
    size = np.float32(learning_rate / (1.0 - 0.9**step))
    spread = np.float32(1.0 / math.sqrt(1.0 - 0.999**step))
    for i in range(gradient.shape[0]):
        g = gradient[i] * shrink
        first[i] = np.float32(0.9) * first[i] + np.float32(0.1) * g
        second[i] = np.float32(0.999) * second[i] + np.float32(0.001) * g * g
        parameters[i] -= size * first[i] / (math.sqrt(second[i]) * spread + np.float32(1e-5))
    return norm
