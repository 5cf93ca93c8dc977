"""State as named arrays: joined under prefixes, taken apart, and checked before it is copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.errors import CheckpointError

Tensors = dict[str, NDArray[Any]]


def join_tensors(**parts: Tensors) -> Tensors:
    """Return all tensors in one mapping, each named ``part/name``."""
    return {f"{part}/{name}": array for part, own in parts.items() for name, array in own.items()}


def select_tensors(tensors: Tensors, part: str) -> Tensors:
    """Return the tensors of one part under their own names: the inverse of ``join_tensors``."""
    prefix = f"{part}/"
    return {
        name.removeprefix(prefix): array
        for name, array in tensors.items()
        if name.startswith(prefix)
    }


def take_tensor(
    tensors: Tensors, name: str, shape: tuple[int | None, ...], dtype: Any
) -> NDArray[Any]:
    """Return one tensor, writable, after checking its axes and type.

    Args:
        tensors: as stored.
        name: which.
        shape: expected, None for an axis of any length.
        dtype: expected.

    Raises:
        CheckpointError: it is missing or another; names it.
    """
    array = tensors.get(name)
    if array is None:
        raise CheckpointError(f"the stored state has no {name}")
    fits = len(array.shape) == len(shape) and all(
        wanted is None or wanted == given for wanted, given in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != np.dtype(dtype):
        raise CheckpointError(
            f"the stored {name} is {array.dtype}{list(array.shape)}, "
            f"expected {np.dtype(dtype)}{list(shape)}"
        )
    return array.copy()


def copy_tensor(tensors: Tensors, name: str, target: NDArray[Any]) -> None:
    """Fill an array with the tensor of that name, which must have its axes and type.

    Raises:
        CheckpointError: it is missing or another; names it.
    """
    target[...] = take_tensor(tensors, name, target.shape, target.dtype)


def take_number(tensors: Tensors, name: str) -> float:
    """Return a stored number.

    Raises:
        CheckpointError: it is missing or no float64.
    """
    return float(take_tensor(tensors, name, (), np.float64))


def save_generator(generator: np.random.Generator) -> NDArray[np.uint64]:
    """Return the state [6] of a PCG64 generator: 128-bit state, increment, and a spare half."""
    state = generator.bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise CheckpointError(f"cannot store a generator of kind {state['bit_generator']}")
    words = [part for key in ("state", "inc") for part in divmod(state["state"][key], 1 << 64)]
    return np.array([*words, state["has_uint32"], state["uinteger"]], dtype=np.uint64)


def restore_generator(generator: np.random.Generator, tensors: Tensors, name: str) -> None:
    """Let a PCG64 generator go on from a stored state.

    Raises:
        CheckpointError: there is none of that name.
    """
    words = [int(word) for word in take_tensor(tensors, name, (6,), np.uint64)]
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": words[0] << 64 | words[1], "inc": words[2] << 64 | words[3]},
        "has_uint32": words[4],
        "uinteger": words[5],
    }
