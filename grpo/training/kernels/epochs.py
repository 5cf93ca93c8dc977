"""Minibatches from first to last in one call: gather, pass forward and backward, step."""

from __future__ import annotations

from typing import NamedTuple

from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.kernels.dense import Networks, adam_step, backward, forward
from grpo.training.kernels.functions import compiled, internal, merged
from grpo.training.kernels.losses import (
    exponentiate,
    mask_logits,
    squared_error_gradient,
    surrogate_gradient,
)


class Minibatches(NamedTuple):
    """What one call learns from.

    Attributes:
        rows: [S, E, R] int64, the rows of each seed's batch in the order of learning, by epoch.
        ends: [M + 1] int64: minibatch m of an epoch holds its rows ``ends[m]`` to ``ends[m + 1]``.
        first, last: which of the E M minibatches, the last one not included.
        at_once: rows that pass through all layers at once: what they leave stays in the cache.
    """

    rows: Int64
    ends: Int64
    first: int
    last: int
    at_once: int


class Decisions(NamedTuple):
    """What the actors of S seeds learn from, [S, R, ...]; see ``Batch``.

    Without an index term, its features are [S, 0, A].
    """

    observations: Float32
    index_features: Float32
    action_masks: Bool
    actions: Int64
    log_probs: Float32
    advantages: Float32


class Step(NamedTuple):
    """How networks learn from a gradient: Adam's learning rate, and the norm it is clipped to."""

    learning_rate: float
    max_norm: float


class Surrogate(NamedTuple):
    """The actor's loss: the clip range, and the weight of the entropy."""

    clip_coef: float
    ent_coef: float


class Memory(NamedTuple):
    """Room for ``at_once`` rows, used by one network at a time.

    Attributes:
        layers: inputs and outputs of all layers, see ``forward``.
        deltas: gradients with respect to the outputs, see ``backward``.
        features: [R A] of the index term.
        powers: [R A] float32.
        masks: [R, A] bool.
        actions: [R] int64.
        log_probs: [R] float32.
        advantages: [R] float32.
    """

    layers: Float32
    deltas: Float32
    features: Float32
    powers: Float32
    masks: Bool
    actions: Int64
    log_probs: Float32
    advantages: Float32


@compiled
def teach_actors(
    actors: Networks,
    decisions: Decisions,
    minibatches: Minibatches,
    step: Step,
    loss: Surrogate,
    learning: Bool,
    memory: Memory,
    sums: Float64,
) -> None:  # pragma: no cover - compiled
    """Make a step of each seed's actor by the surrogate loss for each minibatch.

    Args:
        actors: changed in place; the index terms' slopes are their last parameters.
        decisions: the batches.
        minibatches: of them.
        step: how.
        loss: which.
        learning: [S], whose actors learn.
        memory: overwritten.
        sums: [S, E, 4], by epoch; added to, see ``surrogate_gradient``.
    """
    rows, ends, first, last, at_once = minibatches
    for s in range(len(learning)):
        if not learning[s]:
            continue
        for number in range(first, last):
            epoch, m = divmod(number, len(ends) - 1)
            factor = 1.0 / (ends[m + 1] - ends[m])
            for start in range(ends[m], ends[m + 1], at_once):
                chunk = rows[s, epoch, start : min(start + at_once, ends[m + 1])]
                add_actor_gradient(
                    actors, decisions, s, chunk, loss, factor, memory, sums[s, epoch]
                )
            adam_step(actors, s, step.learning_rate, step.max_norm)


@merged
def add_actor_gradient(
    actors: Networks,
    decisions: Decisions,
    s: int,
    chunk: Int64,
    loss: Surrogate,
    factor: float,
    memory: Memory,
    sums: Float64,
) -> None:  # pragma: no cover - compiled
    """Add the gradient of seed s's surrogate loss over some rows; see ``teach_actors``."""
    size, num_actions = len(chunk), decisions.action_masks.shape[2]
    has_index = decisions.index_features.shape[1] > 0
    flat, total, slopes = actors.flats[s], actors.gradient[s], actors.flats.shape[1] - num_actions
    masks, actions = memory.masks[:size], memory.actions[:size]
    log_probs, advantages = memory.log_probs[:size], memory.advantages[:size]
    features = memory.features[: size * num_actions].reshape(size, num_actions)
    gather(decisions.observations[s], chunk, memory.layers)
    gather_decisions(decisions, s, chunk, masks, actions, log_probs, advantages)
    end = forward(actors.layers, flat, memory.layers, size)
    flat_logits = memory.layers[end : end + size * num_actions]
    logits = flat_logits.reshape(size, num_actions)
    if has_index:
        gather(decisions.index_features[s], chunk, memory.features)
        add_scaled(logits, features, flat[slopes:])
    mask_logits(logits, masks)
    flat_powers = memory.powers[: size * num_actions]
    exponentiate(flat_logits, flat_powers)
    powers = flat_powers.reshape(size, num_actions)
    gradient = memory.deltas[: size * num_actions].reshape(size, num_actions)
    surrogate_gradient(
        logits,
        powers,
        actions,
        log_probs,
        advantages,
        loss.clip_coef,
        loss.ent_coef,
        factor,
        gradient,
        sums,
    )
    if has_index:
        add_products(gradient, features, total[slopes:])
    backward(actors.layers, flat, memory.layers, size, memory.deltas, total)


@compiled
def teach_critics(
    critics: Networks,
    inputs: Float32,
    returns: Float32,
    minibatches: Minibatches,
    step: Step,
    weight: float,
    memory: Memory,
    sums: Float64,
) -> None:  # pragma: no cover - compiled
    """Make a step of each seed's critic by the squared error for each minibatch.

    Args:
        critics: changed in place.
        inputs: [S, R, O + X], the batches'.
        returns: [S, R, H].
        minibatches: of the batches.
        step: how.
        weight: of the loss.
        memory: overwritten.
        sums: [S, E], by epoch; half the squares are added.
    """
    rows, ends, first, last, at_once = minibatches
    layers, deltas, heads = critics.layers, memory.deltas, returns.shape[2]
    for s in range(len(rows)):
        flat, total = critics.flats[s], critics.gradient[s]
        for number in range(first, last):
            epoch, m = divmod(number, len(ends) - 1)
            factor = weight / (ends[m + 1] - ends[m])
            for start in range(ends[m], ends[m + 1], at_once):
                chunk = rows[s, epoch, start : min(start + at_once, ends[m + 1])]
                size = len(chunk)
                gather(inputs[s], chunk, memory.layers)
                end = forward(layers, flat, memory.layers, size)
                values = memory.layers[end : end + size * heads].reshape(size, heads)
                gradient = deltas[: size * heads].reshape(size, heads)
                sums[s, epoch] += squared_error_gradient(
                    values, chunk, returns[s], factor, gradient
                )
                backward(layers, flat, memory.layers, size, deltas, total)
            adam_step(critics, s, step.learning_rate, step.max_norm)


@internal
def gather(source: Float32, rows: Int64, target: Float32) -> None:  # pragma: no cover - compiled
    """Put source [R, C] at rows [B], which must be in range, at the start of target."""
    width = source.shape[1]
    gathered = target[: len(rows) * width].reshape(len(rows), width)
    for i in range(len(rows)):
        given, kept = source[rows[i]], gathered[i]
        for j in range(width):
            kept[j] = given[j]


@internal
def gather_decisions(
    decisions: Decisions,
    s: int,
    rows: Int64,
    masks: Bool,
    actions: Int64,
    log_probs: Float32,
    advantages: Float32,
) -> None:  # pragma: no cover - compiled
    """Fill four arrays of B rows with what rows [B] of batch s hold, apart from all arithmetic.

    A processor then fetches many rows at once, which halves the time that the loss takes.
    """
    for i in range(len(rows)):
        row = rows[i]
        for k in range(masks.shape[1]):
            masks[i, k] = decisions.action_masks[s, row, k]
        actions[i], log_probs[i] = decisions.actions[s, row], decisions.log_probs[s, row]
        advantages[i] = decisions.advantages[s, row]


@internal
def add_scaled(
    logits: Float32, features: Float32, slopes: Float32
) -> None:  # pragma: no cover - compiled
    """Add slopes [A] times features [B, A] to logits [B, A], in place."""
    for i in range(logits.shape[0]):
        for k in range(len(slopes)):
            logits[i, k] += slopes[k] * features[i, k]


@internal
def add_products(
    gradient: Float32, features: Float32, slopes: Float32
) -> None:  # pragma: no cover - compiled
    """Add gradient times features, both [B, A], summed over rows, to slopes [A]."""
    for i in range(gradient.shape[0]):
        for k in range(len(slopes)):
            slopes[k] += gradient[i, k] * features[i, k]
