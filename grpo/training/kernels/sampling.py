"""Drawing actions."""

from __future__ import annotations

import math

from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.kernels.functions import compiled
from grpo.training.kernels.losses import exponentiate, mask_logits


@compiled
def sample_actions(
    logits: Float32, masks: Bool, uniforms: Float64, actions: Int64, log_probs: Float32
) -> None:  # pragma: no cover - compiled
    """Draw one action per row by inverting the distribution function of the masked softmax.

    Where a logit is not a number, some allowed action is drawn, and its log π is no number either.

    Args:
        logits: [N, A] float32, overwritten by exp(logit − max), 0 where masked.
        masks: [N, A] bool, at least one allowed per row.
        uniforms: [N] float64 in [0, 1).
        actions: [N] int64, filled.
        log_probs: [N] float32, filled with log π(a|s).
    """
    mask_logits(logits, masks)
    flat = logits.reshape(logits.size)
    exponentiate(flat, flat)
    for i in range(logits.shape[0]):
        total = 0.0
        for k in range(logits.shape[1]):
            total += logits[i, k]
        threshold = uniforms[i] * total
        reached = 0.0
        chosen = -1
        for k in range(logits.shape[1]):
            if masks[i, k] and (chosen < 0 or logits[i, k] > 0):
                chosen = k
                reached += logits[i, k]
                if reached > threshold:
                    break
        actions[i] = chosen
        log_probs[i] = math.log(logits[i, chosen] / total)
