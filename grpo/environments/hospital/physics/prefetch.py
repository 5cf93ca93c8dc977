"""Asking memory for the numbers of the next hospitals while the present one is simulated.

A batch of 1,024 hospitals fills more than a core's own cache, and what a hospital touches first
cannot be foreseen by the processor. Asking changes no number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from grpo.environments.hospital.physics.features import Bool, Float32, Int64
from grpo.environments.hospital.physics.kernel import inlined, merged
from grpo.environments.hospital.physics.state import (
    HEAD,
    HEAP,
    POSITION,
    Parameters,
    State,
)

LINE = 64
# Bytes of a row that are asked for: what is used of a longer one is unknown.
MOST = 512


def _prefetch(typing_context: Any, array: Any, row: Any, offset: Any) -> Any:
    """Compile a request for a cache line; see ``prefetch``."""
    del typing_context, row, offset

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        row_bytes = builder.extract_value(view.strides, 0)
        place = builder.add(builder.mul(arguments[1], row_bytes), arguments[2])
        address = builder.gep(builder.bitcast(view.data, byte), [place])
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        # For writing, to be kept in all levels of the cache, data.
        builder.call(ask, [address, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


prefetch = cast(Callable[[Any, int, int], None], intrinsic(_prefetch))
"""Ask for the cache line that is so many bytes into a row of an array: (array, row, bytes)."""


@inlined
def fetch_row(array: Any, i: int, first: int, most: int) -> None:
    """Ask for ``most`` bytes of row ``i`` of an array from ``first`` on, or for what there is."""
    for offset in range(first, min(array.strides[0], first + most), LINE):
        prefetch(array, i, offset)


@inlined
def fetch_slot(state: State, i: int, slot: int) -> None:
    """Ask for what is known of the patient in a slot."""
    prefetch(state.keys, i, slot * state.keys.strides[1])
    prefetch(state.times, i, slot * state.times.strides[1])
    prefetch(state.links, i, slot * state.links.strides[1])


@merged
def fetch_next(
    state: State, par: Parameters, i: int, actions: Int64, observations: Float32, masks: Bool
) -> None:
    """Ask for what the two hospitals behind ``i`` of those with actions will touch.

    Of the second, all that is not by patient; of the first, the patients who are started or have
    the next event.
    """
    if i + 2 < actions.shape[0]:
        n = i + 2
        fetch_row(state.clock, n, 0, MOST)
        fetch_row(state.counts, n, 0, MOST)
        fetch_row(state.queues, n, 0, MOST)
        fetch_row(state.heads, n, 0, MOST)
        fetch_row(state.streams, n, 0, 2 * LINE)
        fetch_row(state.heap_times, n, 0, 2 * LINE)
        fetch_row(state.stacks, n, 0, LINE)
        fetch_row(state.stacks, n, POSITION * state.stacks.strides[1], MOST)
        fetch_row(observations, n, 0, MOST)
        fetch_row(masks, n, 0, MOST)
    if i + 1 < actions.shape[0]:
        n, action = i + 1, actions[i + 1]
        fetch_slot(state, n, state.stacks[n, HEAP, 0])
        if 0 <= action < par.needs.shape[0]:
            fetch_slot(state, n, state.queues[n, par.activity_class[action], HEAD])
