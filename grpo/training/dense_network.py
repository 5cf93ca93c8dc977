"""Dense tanh layers with gradients written out by hand, and Adam: BLAS and numba, no autograd."""

from __future__ import annotations

import numpy as np

from grpo.models.parameters import Entries, Float32, Int64, named_views
from grpo.tensors import Tensors, copy_tensor, take_number
from grpo.training.kernels import adam_step, add_bias, scale_by_tanh_slope, sum_rows

CHUNK = 1024
"""Rows that pass through all layers at once: their activations stay in the second-level cache."""


class DenseNetwork:
    """Forward and backward passes of dense tanh layers in preallocated buffers.

    Attributes:
        flat: [P] float32, the parameters; updates happen in place.
        gradient: [P] float32, same layout.
    """

    def __init__(self, entries: Entries, flat: Float32) -> None:
        """Copy the vector [P] and allocate buffers for ``CHUNK`` rows."""
        self.flat: Float32 = np.array(flat, dtype=np.float32)
        self.gradient: Float32 = np.zeros_like(self.flat)
        self._first = np.zeros_like(self.flat)
        self._second = np.zeros_like(self.flat)
        self._steps = 0
        self.named = named_views(entries, self.flat)
        self.named_gradient = named_views(entries, self.gradient)
        self._weights = [view for name, view in self.named.items() if name.endswith("weight")]
        self._biases = _biases(self.named)
        self._weight_gradients = [
            view for name, view in self.named_gradient.items() if name.endswith("weight")
        ]
        self._bias_gradients = _biases(self.named_gradient)
        widths = [weight.shape[1] for weight in self._weights]
        self._outputs = [np.empty((CHUNK, width), dtype=np.float32) for width in widths]
        self._deltas = [np.empty((CHUNK, width), dtype=np.float32) for width in widths[:-1]]
        self._products = [np.empty_like(weight) for weight in self._weights]
        fan_in = self._weights[0].shape[0]
        self._inputs: Float32 = np.empty((0, fan_in), dtype=np.float32)
        self._gathered: Float32 = np.empty((CHUNK, fan_in), dtype=np.float32)

    def gather(self, inputs: Float32, rows: Int64) -> Float32:
        """Return inputs [S, O] at rows [B], B <= CHUNK; the next call reuses the memory."""
        gathered = self._gathered[: len(rows)]
        return inputs.take(rows, axis=0, out=gathered, mode="clip")

    def forward(self, inputs: Float32) -> Float32:
        """Return outputs [B, C] for inputs [B, O], B <= CHUNK; the next call reuses the memory."""
        self._inputs = inputs
        hidden, rows, last = inputs, len(inputs), len(self._weights) - 1
        for layer, weight in enumerate(self._weights):
            output = self._outputs[layer][:rows]
            np.matmul(hidden, weight, out=output)
            add_bias(output, self._biases[layer])
            if layer < last:
                np.tanh(output, out=output)
            hidden = output
        return hidden

    def backward(self, output_gradient: Float32) -> None:
        """Add the gradient of the last forward pass, given that of its outputs [B, C]."""
        delta, rows = output_gradient, len(output_gradient)
        for layer in range(len(self._weights) - 1, -1, -1):
            below = self._outputs[layer - 1][:rows] if layer else self._inputs
            np.matmul(below.T, delta, out=self._products[layer])
            self._weight_gradients[layer] += self._products[layer]
            sum_rows(delta, self._bias_gradients[layer])
            if layer:
                next_delta = self._deltas[layer - 1][:rows]
                np.matmul(delta, self._weights[layer].T, out=next_delta)
                scale_by_tanh_slope(next_delta, below)
                delta = next_delta

    def evaluate(self, inputs: Float32, outputs: Float32) -> None:
        """Fill outputs [B, C] for any number of inputs [B, O]."""
        for start in range(0, len(inputs), CHUNK):
            outputs[start : start + CHUNK] = self.forward(inputs[start : start + CHUNK])

    def save_state(self) -> Tensors:
        """Return parameters, Adam's moments and its number of steps."""
        return {
            "parameters": self.flat.copy(),
            "first": self._first.copy(),
            "second": self._second.copy(),
            "steps": np.array(float(self._steps)),
        }

    def restore_state(self, tensors: Tensors) -> None:
        """Go on from what ``save_state`` returned.

        Raises:
            CheckpointError: an array is missing or of another size.
        """
        copy_tensor(tensors, "parameters", self.flat)
        copy_tensor(tensors, "first", self._first)
        copy_tensor(tensors, "second", self._second)
        self._steps = int(take_number(tensors, "steps"))

    def step(self, learning_rate: float, max_grad_norm: float) -> float:
        """Apply the gathered gradient by Adam, clear it, and return its norm."""
        self._steps += 1
        norm = adam_step(
            self.flat,
            self.gradient,
            self._first,
            self._second,
            self._steps,
            learning_rate,
            max_grad_norm,
        )
        self.gradient[...] = 0.0
        return float(norm)


def _biases(views: dict[str, Float32]) -> list[Float32]:
    """Return the bias of each layer; the actor's last one is the bias of its index."""
    return [view for name, view in views.items() if name.endswith("bias")]
