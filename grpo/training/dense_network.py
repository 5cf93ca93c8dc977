"""A network of dense tanh layers whose gradients are written out by hand: BLAS and numba."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from grpo.models.parameters import Entries, Float32, Int64, NetworkShape, named_views
from grpo.tensors import Tensors, copy_tensor, take_number
from grpo.training.kernels.dense import Network, evaluate
from grpo.training.kernels.epochs import Memory

CHUNK = 256
"""Rows that pass through all layers at once: what they leave stays in the second-level cache."""


class DenseNetwork:
    """One network with all that Adam keeps of it.

    Attributes:
        kernel: the same as kernels take it; updates happen in place.
        named: views of the parameters by name.
    """

    def __init__(self, entries: Entries, flat: Float32) -> None:
        """Copy a vector [P]."""
        gradient, first, second = (np.zeros(len(flat), dtype=np.float32) for _ in range(3))
        steps = np.zeros(1, dtype=np.int64)
        self._entries = entries
        self.kernel = Network(find_layers(entries), flat.copy(), gradient, first, second, steps)
        self.named = named_views(entries, self.kernel.flat)

    @property
    def flat(self) -> Float32:
        """[P] float32, the parameters themselves."""
        return self.kernel.flat

    def move_to(self, flat: Float32) -> None:
        """Keep the parameters in an array [P] of the caller from now on."""
        flat[...] = self.flat
        self.kernel = self.kernel._replace(flat=flat)
        self.named = named_views(self._entries, flat)

    def evaluate(self, inputs: Float32, outputs: Float32, memory: Memory, at_once: int) -> None:
        """Fill outputs [B, C] for any number of inputs [B, O], so many at once, at most CHUNK."""
        layers, flat = self.kernel.layers, self.kernel.flat
        evaluate(layers, flat[None], inputs[None], outputs[None], memory.layers, at_once)

    def save_state(self) -> Tensors:
        """Return parameters, Adam's moments and its number of steps."""
        kept = self.kernel
        return {
            "parameters": kept.flat.copy(),
            "first": kept.first.copy(),
            "second": kept.second.copy(),
            "steps": np.array(float(kept.steps[0])),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        kept = self.kernel
        copy_tensor(tensors, "parameters", kept.flat)
        copy_tensor(tensors, "first", kept.first)
        copy_tensor(tensors, "second", kept.second)
        kept.steps[0] = int(take_number(tensors, "steps"))


def find_layers(entries: Entries) -> Int64:
    """Return inputs and outputs of each layer, and where its weight and its bias begin [L, 4].

    The entry behind a weight is its bias; the actor's last one is the bias of its index term.
    """
    layers, start = [], 0
    for (name, shape), (_, bias) in pairwise(entries):
        size = int(np.prod(shape))
        if name.endswith("weight"):
            layers.append((shape[0], bias[0], start, start + size))
        start += size
    return np.array(layers, dtype=np.int64)


def make_memory(shape: NetworkShape, rows: int = CHUNK) -> Memory:
    """Allocate what one thread needs for so many rows of either network."""
    num_actions, sizes = shape.num_actions, (shape.actor_sizes, shape.critic_sizes)

    def room(width: int) -> Float32:
        return np.empty(rows * width, dtype=np.float32)

    return Memory(
        layers=room(max(map(sum, sizes))),
        deltas=room(max(sum(widths[1:]) for widths in sizes)),
        features=room(num_actions),
        powers=room(num_actions),
        masks=np.empty((rows, num_actions), dtype=np.bool_),
        actions=np.empty(rows, dtype=np.int64),
        log_probs=np.empty(rows, dtype=np.float32),
        advantages=np.empty(rows, dtype=np.float32),
    )
