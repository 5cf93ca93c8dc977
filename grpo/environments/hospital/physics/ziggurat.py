"""Tables of the ziggurat, by which most normal and exponential numbers cost one multiplication.

256 layers of equal area under the density; layer 0 holds the tail.
Source: Marsaglia and Tsang, The ziggurat method, 2000; Doornik, An improved ziggurat method, 2005.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LAYERS = 256
NORMAL_TAIL = 3.6541528853610088
NORMAL_AREA = 0.00492867323399
EXPONENTIAL_TAIL = 7.69711747013104972
EXPONENTIAL_AREA = 0.0039496598225815571993


def _edges(tail: float, area: float, *, normal: bool) -> NDArray[np.float64]:
    """Return [257] right edges of the layers, from the widest to 0."""

    def density(x: float) -> float:
        return math.exp(-0.5 * x * x if normal else -x)

    def inverse(height: float) -> float:
        return math.sqrt(-2 * math.log(height)) if normal else -math.log(height)

    edges = np.zeros(LAYERS + 1)
    edges[0], edges[1] = area / density(tail), tail
    for layer in range(2, LAYERS):
        edges[layer] = inverse(area / edges[layer - 1] + density(edges[layer - 1]))
    return edges


NORMAL_EDGES = _edges(NORMAL_TAIL, NORMAL_AREA, normal=True)
EXPONENTIAL_EDGES = _edges(EXPONENTIAL_TAIL, EXPONENTIAL_AREA, normal=False)
