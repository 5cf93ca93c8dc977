"""Dense tanh layers with gradients written out by hand, and Adam: BLAS and numba, no autograd.

Networks of one shape are stacked: a batch of seeds passes through every call together, and one
network is a stack of 1. What a network computes does not depend on the others, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grpo.models.parameters import Entries, Float32, Int64, named_views
from grpo.tensors import Tensors, copy_tensor, take_number
from grpo.training.kernels import (
    adam_step,
    add_bias,
    scale_by_tanh_slope,
    spread_output,
    sum_rows,
)

CHUNK = 1024
"""Rows that pass through all layers at once: their activations stay in the second-level cache."""
HALVES = 2
"""Parts of a gradient, gathered apart and added in order: a thread each, and the same bits by one.
"""


@dataclass(frozen=True)
class Parameters:
    """Parameters of S networks with all that Adam keeps of them.

    Attributes:
        flat: [S, P] float32; updates happen in place.
        gradient: [2, S, P] float32, gathered since the last step, by half of the minibatch.
        first: [S, P] float32, Adam's first moment.
        second: [S, P] float32, Adam's second moment.
        steps: [S] int64, made so far.
    """

    flat: Float32
    gradient: Float32
    first: Float32
    second: Float32
    steps: Int64

    @staticmethod
    def create(flat: Float32) -> Parameters:
        """Copy vectors [S, P]."""
        copied = np.array(flat, dtype=np.float32, order="C")
        gradient = np.zeros((HALVES, *copied.shape), dtype=np.float32)
        first, second = np.zeros_like(copied), np.zeros_like(copied)
        steps = np.zeros(len(copied), dtype=np.int64)
        return Parameters(copied, gradient, first, second, steps)

    @staticmethod
    def join(states: Sequence[Parameters]) -> Parameters:
        """Copy the networks of several, one after the other."""
        return Parameters(
            np.concatenate([state.flat for state in states]),
            np.concatenate([state.gradient for state in states], axis=1),
            np.concatenate([state.first for state in states]),
            np.concatenate([state.second for state in states]),
            np.concatenate([state.steps for state in states]),
        )

    def part(self, start: int, stop: int) -> Parameters:
        """Return networks ``start`` to ``stop``, as views."""
        rows = slice(start, stop)
        return Parameters(
            self.flat[rows],
            self.gradient[:, rows],
            self.first[rows],
            self.second[rows],
            self.steps[rows],
        )


class _Buffers:
    """Memory of one chunk of rows, shared by a stack and its parts."""

    def __init__(self, entries: Entries) -> None:
        self._entries = [shape for name, shape in entries if name.endswith("weight")]
        self._memory: dict[tuple[str, int], Float32] = {}
        self._views: dict[tuple[str, int, int, int], Float32] = {}

    def rows(self, name: str, layer: int, count: int, rows: int) -> Float32:
        """Return [count, rows, C], C the inputs (``gathered``) or outputs of a layer."""
        view = self._views.get((name, layer, count, rows))
        if view is None:
            view = self._views[name, layer, count, rows] = self._view(name, layer, count, rows)
        return view

    def _view(self, name: str, layer: int, count: int, rows: int) -> Float32:
        """Cut a contiguous array out of a layer's memory."""
        width = self._entries[layer][name != "gathered"]
        size = count * rows * width
        memory = self._memory.get((name, layer))
        if memory is None or len(memory) < size:
            memory = self._memory[name, layer] = np.empty(max(size, CHUNK * width), np.float32)
        return memory[:size].reshape(count, rows, width)


class DenseNetworks:
    """Forward and backward passes of S networks of dense tanh layers in preallocated buffers.

    Attributes:
        state: parameters and optimiser.
        count: S.
        named: views [S, ...] of the parameters by name.
        named_gradients: likewise of both halves of the gradient.
    """

    def __init__(
        self, entries: Entries, state: Parameters, buffers: _Buffers | None = None
    ) -> None:
        self.state, self.count = state, len(state.flat)
        self._entries, self._buffers = entries, buffers or _Buffers(entries)
        self.named = named_views(entries, state.flat)
        self.named_gradients = [named_views(entries, half) for half in state.gradient]
        names = [name for name in self.named if name.endswith("weight")]
        self._weights = [self.named[name] for name in names]
        self._weight_gradients = [[half[name] for name in names] for half in self.named_gradients]
        self._products = [np.empty(w.shape, dtype=np.float32) for w in self._weights]
        self._bias_starts = _find_biases(entries)
        self._parts: dict[tuple[int, int], DenseNetworks] = {(0, self.count): self}
        self._inputs: Float32 = np.empty((self.count, 0, 0), dtype=np.float32)
        self._outputs: list[Float32] = []

    def part(self, start: int, stop: int) -> DenseNetworks:
        """Return networks ``start`` to ``stop``; they share everything with this stack."""
        if (start, stop) not in self._parts:
            self._parts[start, stop] = DenseNetworks(
                self._entries, self.state.part(start, stop), self._buffers
            )
        return self._parts[start, stop]

    def replicate(self) -> DenseNetworks:
        """Return the same networks with buffers of their own, for another thread."""
        return DenseNetworks(self._entries, self.state)

    def forward(self, inputs: Float32) -> Float32:
        """Return outputs [S, B, C] for inputs [S, B, O]; the next call reuses the memory."""
        self._inputs, self._outputs = inputs, []
        hidden, last = inputs, len(self._weights) - 1
        for layer, weight in enumerate(self._weights):
            output = self._buffers.rows("output", layer, self.count, inputs.shape[1])
            np.matmul(hidden, weight, out=output)
            add_bias(output, self.state.flat, self._bias_starts[layer])
            if layer < last:
                np.tanh(output, out=output)
            self._outputs.append(output)
            hidden = output
        return hidden

    def backward(self, output_gradient: Float32, half: int = 0) -> None:
        """Add the gradient of the last forward pass to a half, given that of its outputs."""
        delta, rows = output_gradient, output_gradient.shape[1]
        for layer in range(len(self._weights) - 1, -1, -1):
            below = self._outputs[layer - 1] if layer else self._inputs
            np.matmul(below.swapaxes(1, 2), delta, out=self._products[layer])
            self._weight_gradients[half][layer] += self._products[layer]
            sum_rows(delta, self.state.gradient[half], self._bias_starts[layer])
            if layer:
                next_delta = self._buffers.rows("delta", layer - 1, self.count, rows)
                if delta.shape[2] == 1:
                    spread_output(delta, self._weights[layer], next_delta)
                else:
                    np.matmul(delta, self._weights[layer].swapaxes(1, 2), out=next_delta)
                scale_by_tanh_slope(next_delta, below)
                delta = next_delta

    def evaluate(self, inputs: Float32, outputs: Float32, at_once: int = CHUNK) -> None:
        """Fill outputs [S, B, C] for any number of inputs [S, B, O], at most so many at once.

        What BLAS computes for a row may depend on how many rows it is given.
        """
        rows = inputs.shape[1]
        for start, stop in split_stack(range(self.count), min(rows, at_once)):
            part = self.part(start, stop)
            for row in range(0, rows, at_once):
                chunk = slice(row, row + at_once)
                outputs[start:stop, chunk] = part.forward(inputs[start:stop, chunk])

    def save_state(self) -> Tensors:
        """Return parameters, Adam's moments and its number of steps of a stack of 1."""
        state = self.state
        return {
            "parameters": state.flat[0].copy(),
            "first": state.first[0].copy(),
            "second": state.second[0].copy(),
            "steps": np.array(float(state.steps[0])),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Let a stack of 1 go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        state = self.state
        copy_tensor(tensors, "parameters", state.flat[0])
        copy_tensor(tensors, "first", state.first[0])
        copy_tensor(tensors, "second", state.second[0])
        state.steps[0] = int(take_number(tensors, "steps"))

    def step(self, learning_rate: float, max_grad_norm: float) -> None:
        """Apply the gathered gradients by Adam, each clipped to a norm, and clear them."""
        state = self.state
        adam_step(
            state.flat,
            state.gradient,
            state.first,
            state.second,
            state.steps,
            learning_rate,
            max_grad_norm,
        )


def split_stack(members: range | list[int], rows: int) -> list[tuple[int, int]]:
    """Return runs (start, stop) of neighbouring members whose rows, so many each, fill a chunk.

    Args:
        members: increasing.
        rows: of each, at least 1.
    """
    most = max(1, CHUNK // max(rows, 1))
    runs: list[tuple[int, int]] = []
    for member in members:
        start, stop = runs[-1] if runs else (-1, -1)
        if member == stop and stop - start < most:
            runs[-1] = (start, stop + 1)
        else:
            runs.append((member, member + 1))
    return runs


def _find_biases(entries: Entries) -> list[int]:
    """Return where each layer's bias begins; the actor's last one is the bias of its index."""
    starts, offset = [], 0
    for name, shape in entries:
        if name.endswith("bias"):
            starts.append(offset)
        offset += int(np.prod(shape))
    return starts
