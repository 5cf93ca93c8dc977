"""Leaving out care options that a rule would not take either: one class, one set of units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


Rivals = tuple[tuple[Int64, Int64], ...]
"""Pairs of actions and of earlier options of the same class, for every distance between them."""


def find_rivals(earlier: Int64) -> Rivals:
    """Return which earlier options each action gives way to.

    Args:
        earlier: [A] the option just before each action in the same class, -1 for none; always less
            than the action's own number.
    """
    rivals, found = earlier, []
    while (later := np.flatnonzero(rivals >= 0)).size:
        found.append((later, rivals[later]))
        rivals = np.where(rivals >= 0, earlier[rivals], -1)
    return tuple(found)


def forbid_later_options(masks: Bool, rivals: Rivals) -> Bool:
    """Return masks [B, A] without actions whose class could start on an earlier option.

    Dispatch rules start a class on its first option of care that fits. Of two options that both
    fit, a network has to learn again which one costs more; see docs/algorithm.md.

    Args:
        masks: [B, A] bool, actions that fit; not changed.
        rivals: of ``find_rivals``.
    """
    allowed = masks.copy()
    for later, rival in rivals:
        allowed[:, later] &= ~masks[:, rival]
    return allowed
