"""Elementwise numba kernels of the hand-written update. They release the GIL and use no BLAS."""

from __future__ import annotations

import math

import numpy as np

from grpo.jit import jit
from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool, Float64

_compile = jit(nogil=True, error_model="numpy")
"""Divisions are IEEE's, as numpy's: without a branch for zero, loops become vector instructions."""


@_compile
def add_bias(
    hidden: Float32, parameters: Float32, start: int
) -> None:  # pragma: no cover - compiled
    """Add the bias of S networks to every row of hidden [S, B, C], in place.

    Args:
        hidden: [S, B, C] float32.
        parameters: [S, P] float32, which hold the biases.
        start: where the bias begins in each.
    """
    width = hidden.shape[2]
    for s in range(hidden.shape[0]):
        rows, bias = hidden[s], parameters[s, start : start + width]
        for i in range(rows.shape[0]):
            for j in range(width):
                rows[i, j] += bias[j]


@_compile
def scale_by_tanh_slope(gradient: Float32, hidden: Float32) -> None:  # pragma: no cover - compiled
    """Multiply gradient [S, B, C] by ``1 − h²``, tanh's slope where it gave h, in place."""
    one = np.float32(1.0)
    for s in range(hidden.shape[0]):
        for i in range(hidden.shape[1]):
            for j in range(hidden.shape[2]):
                gradient[s, i, j] *= one - hidden[s, i, j] * hidden[s, i, j]


@_compile
def spread_output(
    delta: Float32, weights: Float32, spread: Float32
) -> None:  # pragma: no cover - compiled
    """Fill spread [S, B, C] with delta [S, B, 1] times weights [S, C, 1], much faster than BLAS."""
    for s in range(delta.shape[0]):
        for i in range(delta.shape[1]):
            slope, row = delta[s, i, 0], spread[s, i]
            for j in range(len(row)):
                row[j] = slope * weights[s, j, 0]


@_compile
def sum_rows(delta: Float32, gradient: Float32, start: int) -> None:  # pragma: no cover - compiled
    """Add the sum of delta [S, B, C] over its rows, row by row, to a bias's gradient.

    Args:
        delta: [S, B, C] float32.
        gradient: [S, P] float32, which holds the gradients of the biases.
        start: where the bias begins in each.
    """
    width = delta.shape[2]
    for s in range(delta.shape[0]):
        total = gradient[s, start : start + width]
        for i in range(delta.shape[1]):
            for j in range(width):
                total[j] += delta[s, i, j]


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
def gather_rows(
    inputs: Float32, rows: Int64, gathered: Float32
) -> None:  # pragma: no cover - compiled
    """Fill gathered [S, B, O] with inputs [R, O] at rows [S, B], which must be in range."""
    for s in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            source, target = inputs[rows[s, i]], gathered[s, i]
            for j in range(len(source)):
                target[j] = source[j]


@_compile
def gather_decisions(
    rows: Int64,
    masks: Bool,
    actions: Int64,
    log_probs: Float32,
    advantages: Float32,
    gathered: tuple[Bool, Int64, Float32, Float32],
) -> None:  # pragma: no cover - compiled
    """Fill four arrays of B rows with what rows [B] of the batch hold, apart from all arithmetic.

    A processor then fetches many rows at once, which halves the time that the loss takes.
    """
    allowed, chosen, old, wanted = gathered
    for i in range(rows.shape[0]):
        row = rows[i]
        for k in range(masks.shape[1]):
            allowed[i, k] = masks[row, k]
        chosen[i], old[i], wanted[i] = actions[row], log_probs[row], advantages[row]


@jit(nogil=True, fastmath={"nnan", "nsz"})
def mask_logits(logits: Float32, masks: Bool) -> None:  # pragma: no cover - compiled
    """Put logits [B, A] at −1e8 where masks [B, A] forbid; make each row's largest 0.

    A row then needs one more step to be a softmax: ``exp`` of all of it at once, which numpy does
    several values at a time and a kernel only one by one. The loops have no branches, whose outcome
    no processor could guess; so a logit that is not a number may give anything, and a training
    with one is refused after the update.
    """
    for i in range(logits.shape[0]):
        row, allowed = logits[i], masks[i]
        for k in range(len(row)):
            row[k] = row[k] if allowed[k] else np.float32(-1e8)
        top = np.float32(-np.inf)
        for k in range(len(row)):
            top = max(row[k], top)
        for k in range(len(row)):
            row[k] -= top


@_compile
def surrogate_gradient(
    logits: Float32,
    powers: Float32,
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
        actions: [B] int64.
        old_log_probs: [B] float32.
        advantages: [B] float32.
        clip_coef: ε.
        ent_coef: c.
        factor: 1 / minibatch size.
        statistics: [S, 4] float64, rows in S equal parts; the sums of surrogate, entropy, KL
            estimate and clipped of each part are added.
    """
    num_actions = logits.shape[1]
    part = logits.shape[0] // statistics.shape[0]
    for i in range(logits.shape[0]):
        sums = statistics[i // part]
        action, advantage = actions[i], advantages[i]
        total = np.float32(0.0)
        weighted = np.float32(0.0)
        for k in range(num_actions):
            total += powers[i, k]
            weighted += powers[i, k] * logits[i, k]
        log_total = np.float32(math.log(total))
        entropy = log_total - weighted / total
        log_ratio = logits[i, action] - log_total - old_log_probs[i]
        ratio = np.float32(math.exp(log_ratio))
        clipped = min(max(ratio, np.float32(1.0 - clip_coef)), np.float32(1.0 + clip_coef))
        unclipped_wins = ratio * advantage <= clipped * advantage
        slope = np.float32(factor) * advantage * ratio if unclipped_wins else np.float32(0.0)
        bonus = np.float32(factor * ent_coef)
        offset = entropy - log_total
        for k in range(num_actions):
            prob = powers[i, k] / total
            logits[i, k] = prob * (slope + bonus * (logits[i, k] + offset))
        logits[i, action] -= slope
        sums[0] += min(ratio * advantage, clipped * advantage)
        sums[1] += entropy
        sums[2] += ratio - np.float32(1.0) - log_ratio
        sums[3] += abs(ratio - np.float32(1.0)) > np.float32(clip_coef)


@_compile
def squared_error_gradient(
    values: Float32, rows: Int64, returns: Float32, factor: float, statistics: Float64
) -> None:  # pragma: no cover - compiled
    """Replace values [B, H] by ``factor · (values − returns[rows])``.

    Half the squares of each of S equal parts of the rows are added to statistics [S].
    """
    part = values.shape[0] // statistics.shape[0]
    for i in range(values.shape[0]):
        for h in range(values.shape[1]):
            error = values[i, h] - returns[rows[i], h]
            statistics[i // part] += 0.5 * error * error
            values[i, h] = np.float32(factor) * error


@_compile
def adam_step(
    parameters: Float32,
    gradient: Float32,
    first: Float32,
    second: Float32,
    steps: Int64,
    learning_rate: float,
    max_norm: float,
) -> None:  # pragma: no cover - compiled
    """Clip each gradient to a norm, apply one Adam step (.9, .999, 1e-5), and clear it.

    A gradient is the sum of its halves [2, S, P]. Source: Kingma and Ba 2015, Adam, algorithm 1.
    """
    for s in range(parameters.shape[0]):
        weights, slopes, others = parameters[s], gradient[0, s], gradient[1, s]
        means, squares = first[s], second[s]
        steps[s] += 1
        total = 0.0
        for i in range(slopes.shape[0]):
            slopes[i] += others[i]
            total += slopes[i] * slopes[i]
        shrink = np.float32(min(1.0, max_norm / (math.sqrt(total) + 1e-6)))
        size = np.float32(learning_rate / (1.0 - 0.9 ** steps[s]))
        spread = np.float32(1.0 / math.sqrt(1.0 - 0.999 ** steps[s]))
        for i in range(slopes.shape[0]):
            g = slopes[i] * shrink
            means[i] = np.float32(0.9) * means[i] + np.float32(0.1) * g
            squares[i] = np.float32(0.999) * squares[i] + np.float32(0.001) * g * g
            weights[i] -= size * means[i] / (math.sqrt(squares[i]) * spread + np.float32(1e-5))
        slopes[:] = np.float32(0.0)
        others[:] = np.float32(0.0)


@_compile
def follow_episodes(
    rewards: Float64,
    ended: Bool,
    running: Float64,
    lengths: Int64,
    ended_rewards: Float64,
    ended_lengths: Int64,
) -> None:  # pragma: no cover - compiled
    """Add T steps to the episodes of N environments; fill those that end, in their order.

    Args:
        rewards: [T, N] float64.
        ended: [T, N] bool, E of them.
        running: [N] float64, returns of the episodes under way; changed in place.
        lengths: [N] int64, steps of the episodes under way; changed in place.
        ended_rewards: [E] float64, filled.
        ended_lengths: [E] int64, filled.
    """
    episode = 0
    for t in range(rewards.shape[0]):
        for i in range(rewards.shape[1]):
            running[i] += rewards[t, i]
            lengths[i] += 1
            if ended[t, i]:
                ended_rewards[episode], ended_lengths[episode] = running[i], lengths[i]
                running[i], lengths[i] = 0.0, 0
                episode += 1
