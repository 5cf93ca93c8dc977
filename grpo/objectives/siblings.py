"""The advantages of environments that share a future, as each other's baseline."""

from __future__ import annotations

import numpy as np

from grpo.objectives.advantages import Bool, Float32, Float64

SAME_MOMENT = 1e-4
"""Hours within which two decisions count as of one moment: clocks are sums of rounded numbers."""


def find_sibling_advantages(
    advantages: Float32, clocks: Float64, count: int
) -> tuple[Float64, Bool]:
    """Return for every decision what its siblings' advantages were from that moment on.

    The mean over the siblings of the advantage of their first decision at or after the moment.
    It depends on the common future and on the siblings' draws, never on the decision's own draw,
    so that subtracting it leaves the policy gradient's expectation as it is.

    Args:
        advantages: [T, N], mean 0.
        clocks: [T, N] hours since all siblings were in one state, not falling along T.
        count: K >= 2, a divisor of N; environment n is of the family n mod N / K.

    Returns:
        baseline [T, N] float64, 0 where unknown, and [T, N] bool, where some sibling still
        decides at or after the moment.

    Source: input-driven baselines (Mao et al. 2019, Variance reduction for reinforcement learning
        in input-driven environments, theorem 1), the input being the common future.
    """
    baseline = np.zeros(advantages.shape)
    found = np.zeros(advantages.shape)
    families = advantages.shape[1] // count
    for family in range(families):
        members = range(family, advantages.shape[1], families)
        for own in members:
            moments = clocks[:, own] - SAME_MOMENT
            for other in members:
                if other == own:
                    continue
                # Moments rise, so that those past the sibling's last decision come last.
                rows = np.searchsorted(clocks[:, other], moments)
                known = int(np.searchsorted(rows, len(rows)))
                baseline[:known, own] += advantages[rows[:known], other]
                found[:known, own] += 1
    known_rows = found > 0
    return baseline / np.where(known_rows, found, 1.0), known_rows


def subtract_baseline(advantages: Float32, baseline: Float64, known: Bool) -> Float32:
    """Return advantages less the multiple of the baseline that leaves the least variance.

    Args:
        advantages: [T, N], mean 0.
        baseline: [T, N], 0 where unknown.
        known: [T, N] where the baseline is known; elsewhere nothing is subtracted.

    Source: control variates with the regression coefficient (Glasserman 2003, Monte Carlo Methods
        in Financial Engineering, equation 4.3). Estimated from the same sample, it costs a bias of
        the order of 1 / sample size.
    """
    squares = float(np.square(baseline[known]).sum())
    if squares == 0:
        return advantages
    coefficient = float((advantages[known] * baseline[known]).sum()) / squares
    return np.asarray(advantages - coefficient * baseline, dtype=np.float32)
