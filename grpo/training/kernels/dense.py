"""Forward and backward passes of a network of dense tanh layers, written out by hand, and Adam."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from grpo.blas import add_product_of_transposed, multiply, multiply_by_transposed
from grpo.jit import jit
from grpo.models.parameters import Float32, Int64
from grpo.training.kernels.functions import compiled, internal, tanh

f32 = np.float32
ONE, NOTHING = f32(1.0), f32(0.0)


class Networks(NamedTuple):
    """S networks of one shape: their parameters, and all that Adam keeps of them.

    Attributes:
        layers: [L, 4] int64: inputs and outputs of each, and where weight [in, out] and bias begin.
        flats: [S, P] float32, the parameters.
        gradient: [S, P] float32, gathered since the last step.
        first: [S, P] float32, Adam's first moment.
        second: [S, P] float32, Adam's second moment.
        steps: [S] int64, made so far.
    """

    layers: Int64
    flats: Float32
    gradient: Float32
    first: Float32
    second: Float32
    steps: Int64

    def part(self, start: int, stop: int) -> Networks:
        """Return networks ``start`` to ``stop``, as views."""
        layers, flats, gradient, first, second, steps = self
        rows = slice(start, stop)
        return Networks(layers, flats[rows], gradient[rows], first[rows], second[rows], steps[rows])


@internal
def forward(
    layers: Int64, flat: Float32, memory: Float32, rows: int
) -> int:  # pragma: no cover - compiled
    """Pass rows through all layers; return where in memory the last one's outputs begin.

    Args:
        layers: [L, 4], see ``Networks``.
        flat: [P], the parameters.
        memory: inputs [rows, O] at its start; outputs of each layer are put behind each other.
        rows: how many.
    """
    start, last = 0, len(layers) - 1
    for layer in range(len(layers)):
        width, outputs, weight, bias = layers[layer]
        end = start + rows * width
        below = memory[start:end].reshape(rows, width)
        output = memory[end : end + rows * outputs].reshape(rows, outputs)
        multiply(below, flat[weight : weight + width * outputs].reshape(width, outputs), output)
        if layer < last:
            activate(output, flat[bias : bias + outputs])
        else:
            add_bias(output, flat[bias : bias + outputs])
        start = end
    return start


@internal
def backward(
    layers: Int64, flat: Float32, memory: Float32, rows: int, deltas: Float32, gradient: Float32
) -> None:  # pragma: no cover - compiled
    """Add the gradient of what was passed forward, given that of the outputs.

    Args:
        layers: [L, 4], see ``Networks``.
        flat: [P], the parameters.
        memory: as ``forward`` left it.
        rows: how many.
        deltas: gradient with respect to the last outputs [rows, C] at its start; that with respect
            to the other layers' outputs is put behind.
        gradient: [P], added to.
    """
    start, own = 0, 0
    for layer in range(len(layers)):
        start += rows * layers[layer, 0]
    for layer in range(len(layers) - 1, -1, -1):
        width, outputs, weight, bias = layers[layer]
        start -= rows * width
        delta = deltas[own : own + rows * outputs].reshape(rows, outputs)
        below = memory[start : start + rows * width].reshape(rows, width)
        end = weight + width * outputs
        slopes = gradient[weight:end].reshape(width, outputs)
        add_product_of_transposed(below, delta, slopes)
        sum_rows(delta, gradient[bias : bias + outputs])
        own += rows * outputs
        if layer > 0:
            following = deltas[own : own + rows * width].reshape(rows, width)
            multiply_by_transposed(delta, flat[weight:end].reshape(width, outputs), following)
            scale_by_slope(following, below)


@compiled
def activate(output: Float32, bias: Float32) -> None:  # pragma: no cover - compiled
    """Replace output [B, C] by ``tanh(output + bias)``, bias [C]."""
    for i in range(output.shape[0]):
        row = output[i]
        for j in range(len(bias)):
            row[j] = tanh(row[j] + bias[j])


@internal
def add_bias(output: Float32, bias: Float32) -> None:  # pragma: no cover - compiled
    """Add bias [C] to every row of output [B, C], in place."""
    for i in range(output.shape[0]):
        row = output[i]
        for j in range(len(bias)):
            row[j] += bias[j]


@internal
def scale_by_slope(delta: Float32, hidden: Float32) -> None:  # pragma: no cover - compiled
    """Multiply delta [B, C] by ``1 − h²``, tanh's slope where it gave h, in place."""
    for i in range(delta.shape[0]):
        row, outputs = delta[i], hidden[i]
        for j in range(len(row)):
            row[j] *= ONE - outputs[j] * outputs[j]


@internal
def sum_rows(delta: Float32, total: Float32) -> None:  # pragma: no cover - compiled
    """Add delta [B, C] to total [C], row by row."""
    for i in range(delta.shape[0]):
        row = delta[i]
        for j in range(len(total)):
            total[j] += row[j]


@internal
def copy_rows(source: Float32, target: Float32) -> None:  # pragma: no cover - compiled
    """Copy [B, C]; an assignment would do, and take three seconds to compile."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@compiled
def evaluate(
    layers: Int64, flats: Float32, inputs: Float32, outputs: Float32, memory: Float32, at_once: int
) -> None:  # pragma: no cover - compiled
    """Fill outputs [S, B, C] with what S networks return for inputs [S, B, O].

    Args:
        layers: [L, 4], see ``Networks``; the networks have one shape.
        flats: [S, P], their parameters.
        inputs: any number of rows for each.
        outputs: filled.
        memory: room for what ``forward`` needs for so many rows.
        at_once: rows that pass through the layers at once. What BLAS computes for a row may depend
            on how many rows it is given.
    """
    width, num_outputs = inputs.shape[2], outputs.shape[2]
    for s in range(inputs.shape[0]):
        for start in range(0, inputs.shape[1], at_once):
            rows = min(at_once, inputs.shape[1] - start)
            seen = memory[: rows * width].reshape(rows, width)
            copy_rows(inputs[s, start : start + rows], seen)
            end = forward(layers, flats[s], memory, rows)
            found = memory[end : end + rows * num_outputs].reshape(rows, num_outputs)
            copy_rows(found, outputs[s, start : start + rows])


@jit(nogil=True, fastmath={"contract", "reassoc"}, _nrt=False)
def sum_squares(values: Float32) -> float:  # pragma: no cover - compiled
    """Return the sum of squares in double precision, in the order that is fastest."""
    total = 0.0
    for i in range(len(values)):
        total += np.float64(values[i]) * np.float64(values[i])
    return total


@internal
def adam_step(
    networks: Networks, s: int, learning_rate: float, max_norm: float
) -> None:  # pragma: no cover - compiled
    """Clip network s's gradient to a norm, apply one Adam step (.9, .999, 1e-5), and clear it.

    Source: Kingma and Ba 2015, Adam, algorithm 1.
    """
    weights, slopes = networks.flats[s], networks.gradient[s]
    means, squares = networks.first[s], networks.second[s]
    networks.steps[s] += 1
    steps = networks.steps[s]
    shrink = f32(min(1.0, max_norm / (math.sqrt(sum_squares(slopes)) + 1e-6)))
    size = f32(learning_rate / (1.0 - 0.9**steps))
    spread = f32(1.0 / math.sqrt(1.0 - 0.999**steps))
    for i in range(len(slopes)):
        g = slopes[i] * shrink
        means[i] = f32(0.9) * means[i] + f32(0.1) * g
        squares[i] = f32(0.999) * squares[i] + f32(0.001) * g * g
        weights[i] -= size * means[i] / (math.sqrt(squares[i]) * spread + f32(1e-5))
        slopes[i] = NOTHING
