"""The state of a training loop as arrays: what the rest of a training depends on, exactly."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np

from grpo.environments.vector import SavesState
from grpo.tensors import (
    Tensors,
    copy_tensor,
    join_tensors,
    restore_generator,
    save_generator,
    select_tensors,
    take_number,
    take_tensor,
)
from grpo.training.loop import TrainingLoop


class _Part(Protocol):
    """What keeps a state of its own."""

    def save_state(self) -> Tensors: ...

    def restore_state(self, tensors: Tensors) -> None: ...


def can_be_saved(loop: TrainingLoop) -> bool:
    """Say whether ``save_loop`` holds all that the next iteration depends on.

    Always where the environments save their state; where they restart, at the iterations after
    which they do.
    """
    if loop.segment:
        return loop.iterations % loop.segment == 0
    return isinstance(loop.environment, SavesState)


def save_loop(loop: TrainingLoop) -> Tensors:
    """Return copies of everything that the rest of the training depends on."""
    own: Tensors = {
        "averaged_actor": loop.averaged_actor.copy(),
        "actions_rng": save_generator(loop.collector.rng),
        "orders_rng": save_generator(loop.orders_rng),
        "numbers": np.array([loop.iterations, loop.timesteps, loop.scale, *loop.means]),
        "seconds": np.array(time.perf_counter() - loop.started),
    }
    parts = {name: part.save_state() for name, part in _parts(loop).items()}
    return own | join_tensors(**parts)


def restore_loop(loop: TrainingLoop, tensors: Tensors) -> None:
    """Let a loop just made for the same training go on from what ``save_loop`` returned.

    Raises:
        CheckpointError: an array is missing or of another size.
    """
    copy_tensor(tensors, "averaged_actor", loop.averaged_actor)
    restore_generator(loop.collector.rng, tensors, "actions_rng")
    restore_generator(loop.orders_rng, tensors, "orders_rng")
    iterations, timesteps, scale, low, high = take_tensor(
        tensors, "numbers", (5,), np.float64
    ).tolist()
    loop.iterations, loop.timesteps = int(iterations), int(timesteps)
    loop.scale, loop.means = scale, (low, high)
    loop.started = time.perf_counter() - take_number(tensors, "seconds")
    for name, part in _parts(loop).items():
        part.restore_state(select_tensors(tensors, name))


def _parts(loop: TrainingLoop) -> dict[str, _Part]:
    """Return what keeps a state of its own."""
    parts: dict[str, _Part] = {
        "learner": loop.brain.learner,
        "normalizer": loop.brain.normalizer,
        "returns": loop.brain.returns,
        "advantage_scale": loop.advantage_scale,
        "tracker": loop.tracker,
        "weigher": loop.weigher,
    }
    if loop.brain.privileged is not None:
        parts["privileged"] = loop.brain.privileged
    if isinstance(loop.environment, SavesState):
        parts["environment"] = loop.environment
    return parts
