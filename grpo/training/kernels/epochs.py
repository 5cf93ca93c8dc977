"""Minibatches from first to last in one call: gather, pass forward and backward, step."""

from __future__ import annotations

from typing import NamedTuple

from grpo.models.parameters import Float32, Int64
from grpo.objectives.advantages import Bool, Float64
from grpo.training.kernels.dense import Network, adam_step, backward, forward
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
        rows: [E, R] int64, the rows of a batch in the order of learning, by epoch.
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
    """What actors learn from; see ``Batch``. Without an index term, its features have no rows."""

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
def teach_actor(
    actor: Network,
    decisions: Decisions,
    minibatches: Minibatches,
    step: Step,
    loss: Surrogate,
    memory: Memory,
    sums: Float64,
) -> None:  # pragma: no cover - compiled
    """Make a step by the surrogate loss for each minibatch.

    Args:
        actor: changed in place; the index term's slopes are its last parameters.
        decisions: the batch.
        minibatches: of it.
        step: how.
        loss: which.
        memory: overwritten.
        sums: [E, 4], by epoch; added to, see ``surrogate_gradient``.
    """
    rows, ends, first, last, at_once = minibatches
    for number in range(first, last):
        epoch, m = divmod(number, len(ends) - 1)
        factor = 1.0 / (ends[m + 1] - ends[m])
        for start in range(ends[m], ends[m + 1], at_once):
            chunk = rows[epoch, start : min(start + at_once, ends[m + 1])]
            add_actor_gradient(actor, decisions, chunk, loss, factor, memory, sums[epoch])
        adam_step(actor, step.learning_rate, step.max_norm)


@merged
def add_actor_gradient(
    actor: Network,
    decisions: Decisions,
    chunk: Int64,
    loss: Surrogate,
    factor: float,
    memory: Memory,
    sums: Float64,
) -> None:  # pragma: no cover - compiled
    """Add the gradient of the surrogate loss over some rows; see ``teach_actor``."""
    size, num_actions = len(chunk), decisions.action_masks.shape[1]
    has_index = len(decisions.index_features) > 0
    slopes = len(actor.flat) - num_actions
    masks, actions = memory.masks[:size], memory.actions[:size]
    log_probs, advantages = memory.log_probs[:size], memory.advantages[:size]
    features = memory.features[: size * num_actions].reshape(size, num_actions)
    gather(decisions.observations, chunk, memory.layers)
    gather_decisions(decisions, chunk, masks, actions, log_probs, advantages)
    end = forward(actor.layers, actor.flat, memory.layers, size)
    flat_logits = memory.layers[end : end + size * num_actions]
    logits = flat_logits.reshape(size, num_actions)
    if has_index:
        gather(decisions.index_features, chunk, memory.features)
        add_scaled(logits, features, actor.flat[slopes:])
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
        add_products(gradient, features, actor.gradient[slopes:])
    backward(actor.layers, actor.flat, memory.layers, size, memory.deltas, actor.gradient)


@compiled
def teach_critic(
    critic: Network,
    inputs: Float32,
    returns: Float32,
    minibatches: Minibatches,
    step: Step,
    weight: float,
    memory: Memory,
    sums: Float64,
) -> None:  # pragma: no cover - compiled
    """Make a step by the squared error for each minibatch.

    Args:
        critic: changed in place.
        inputs: [R, O + X], the batch's.
        returns: [R, H].
        minibatches: of the batch.
        step: how.
        weight: of the loss.
        memory: overwritten.
        sums: [E], by epoch; half the squares are added.
    """
    rows, ends, first, last, at_once = minibatches
    for number in range(first, last):
        epoch, m = divmod(number, len(ends) - 1)
        factor = weight / (ends[m + 1] - ends[m])
        for start in range(ends[m], ends[m + 1], at_once):
            chunk = rows[epoch, start : min(start + at_once, ends[m + 1])]
            size, heads, deltas = len(chunk), returns.shape[1], memory.deltas
            gather(inputs, chunk, memory.layers)
            end = forward(critic.layers, critic.flat, memory.layers, size)
            values = memory.layers[end : end + size * heads].reshape(size, heads)
            gradient = deltas[: size * heads].reshape(size, heads)
            sums[epoch] += squared_error_gradient(values, chunk, returns, factor, gradient)
            backward(critic.layers, critic.flat, memory.layers, size, deltas, critic.gradient)
        adam_step(critic, step.learning_rate, step.max_norm)


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
    rows: Int64,
    masks: Bool,
    actions: Int64,
    log_probs: Float32,
    advantages: Float32,
) -> None:  # pragma: no cover - compiled
    """Fill four arrays of B rows with what rows [B] of the batch hold, apart from all arithmetic.

    A processor then fetches many rows at once, which halves the time that the loss takes.
    """
    for i in range(len(rows)):
        row = rows[i]
        for k in range(masks.shape[1]):
            masks[i, k] = decisions.action_masks[row, k]
        actions[i], log_probs[i] = decisions.actions[row], decisions.log_probs[row]
        advantages[i] = decisions.advantages[row]


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
