"""A network of dense tanh layers whose gradients are written out by hand: BLAS and numba."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from grpo.errors import ShapeError
from grpo.models.parameters import Entries, Float32, Int64, NetworkShape, named_views
from grpo.tensors import Tensors, copy_tensor, take_number
from grpo.training.kernels.dense import Networks, evaluate
from grpo.training.kernels.epochs import Memory

CHUNK = 256
"""Rows that pass through all layers at once: what they leave stays in the second-level cache."""


class DenseNetwork:
    """One network with all that Adam keeps of it.

    Attributes:
        kernel: the same as kernels take it, a stack of 1; updates happen in place.
        named: views of the parameters by name.
    """

    def __init__(self, entries: Entries, flat: Float32) -> None:
        """Copy a vector [P]."""
        gradient, first, second = (np.zeros((1, len(flat)), dtype=np.float32) for _ in range(3))
        steps, self._entries = np.zeros(1, dtype=np.int64), entries
        layers = find_layers(entries)
        self._keep(Networks(layers, flat[None].copy(), gradient, first, second, steps))

    def _keep(self, kernel: Networks) -> None:
        """Take a stack of 1 for the network from now on."""
        self.kernel = kernel
        self.named = named_views(self._entries, self.flat)

    @property
    def flat(self) -> Float32:
        """[P] float32, the parameters themselves."""
        flat: Float32 = self.kernel.flats[0]
        return flat

    def evaluate(self, inputs: Float32, outputs: Float32, memory: Memory, at_once: int) -> None:
        """Fill outputs [B, C] for any number of inputs [B, O], so many at once, at most CHUNK.

        Raises:
            ShapeError: inputs are not as wide as the first layer.
        """
        layers, flats = self.kernel.layers, self.kernel.flats
        check_width(self.kernel, inputs)
        evaluate(layers, flats, inputs[None], outputs[None], memory.layers, at_once)

    def save_state(self) -> Tensors:
        """Return parameters, Adam's moments and its number of steps."""
        kept = self.kernel
        return {
            "parameters": kept.flats[0].copy(),
            "first": kept.first[0].copy(),
            "second": kept.second[0].copy(),
            "steps": np.array(float(kept.steps[0])),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        kept = self.kernel
        copy_tensor(tensors, "parameters", kept.flats[0])
        copy_tensor(tensors, "first", kept.first[0])
        copy_tensor(tensors, "second", kept.second[0])
        kept.steps[0] = int(take_number(tensors, "steps"))


def stack_networks(members: Sequence[DenseNetwork]) -> Networks:
    """Return networks of one shape as one stack; each goes on as its part of it."""
    kernels = [member.kernel for member in members]
    stack = Networks(
        kernels[0].layers,
        np.concatenate([kernel.flats for kernel in kernels]),
        np.concatenate([kernel.gradient for kernel in kernels]),
        np.concatenate([kernel.first for kernel in kernels]),
        np.concatenate([kernel.second for kernel in kernels]),
        np.concatenate([kernel.steps for kernel in kernels]),
    )
    for i, member in enumerate(members):
        member._keep(stack.part(i, i + 1))
    return stack


def check_width(networks: Networks, inputs: Float32) -> None:
    """Refuse inputs [..., O] that are not as wide as the first layer: kernels check no bounds.

    Raises:
        ShapeError: names both.
    """
    wanted = networks.layers[0, 0]
    if inputs.shape[-1] != wanted:
        raise ShapeError(f"inputs: expected (..., {wanted}), got {inputs.shape}")


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
