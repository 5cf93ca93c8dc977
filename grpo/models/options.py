"""Leaving out care options that a rule would not take either: one class, one set of units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


def forbid_later_options(masks: Bool, earlier: Int64) -> Bool:
    """Return masks [B, A] without actions whose class could start on an earlier option.

    Dispatch rules start a class on its first option of care that fits. Of two options that both
    fit, a network has to learn again which one costs more; see docs/algorithm.md.

    Args:
        masks: [B, A] bool, actions that fit; not changed.
        earlier: [A] int64, the option just before each action in the same class, -1 for none;
            always less than the action's own number.
    """
    allowed = masks.copy()
    rivals = earlier
    while (later := np.flatnonzero(rivals >= 0)).size:
        allowed[:, later] &= ~masks[:, rivals[later]]
        rivals = np.where(rivals >= 0, earlier[rivals], -1)
    return allowed
