"""Data structures inside kernels: the event heap and the class queues, all O(log n) or O(1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from grpo.environments.hospital.physics.kernel import inlined, internal
from grpo.environments.hospital.physics.state import (
    HEAD,
    HEAP,
    LENGTH,
    NEXT,
    NUM_EVENTS,
    NUM_VACANT,
    POSITION,
    PRESENT,
    PREVIOUS,
    SERIAL,
    TAIL,
    VACANT,
    Float64,
    Int32,
    Int64,
)

count_trailing_zeros = cast(Callable[[np.int64], np.uint64], trailing_zeros)


@inlined
def sift_up(due: Float64, stacks: Int32, i: int, position: int, slot: int, at: float) -> None:
    """Move a slot from ``position`` towards the root until its parent is not later."""
    while position > 0:
        parent = (position - 1) >> 1
        if due[i, parent] <= at:
            break
        other = stacks[i, HEAP, parent]
        due[i, position] = due[i, parent]
        stacks[i, HEAP, position] = other
        stacks[i, POSITION, other] = position
        position = parent
    due[i, position] = at
    stacks[i, HEAP, position] = slot
    stacks[i, POSITION, slot] = position


@inlined
def sift_down(
    due: Float64,
    stacks: Int32,
    i: int,
    size: int,
    position: int,
    slot: int,
    at: float,
) -> None:
    """Move a slot from ``position`` towards the leaves until no child is earlier."""
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and due[i, child + 1] < due[i, child]:
            child += 1
        if due[i, child] >= at:
            break
        other = stacks[i, HEAP, child]
        due[i, position] = due[i, child]
        stacks[i, HEAP, position] = other
        stacks[i, POSITION, other] = position
        position = child
    due[i, position] = at
    stacks[i, HEAP, position] = slot
    stacks[i, POSITION, slot] = position


@internal
def schedule(due: Float64, stacks: Int32, counts: Int64, i: int, slot: int, at: float) -> None:
    """Set, or move, the one pending event of a slot; infinity takes it out of the heap.

    Args:
        due: State.heap_times.
        stacks: State.stacks.
        counts: State.counts.
        i: which hospital.
        slot: whose event.
        at: when, in hours.
    """
    position = stacks[i, POSITION, slot]
    size = counts[i, NUM_EVENTS]
    if at == np.inf:
        if position < 0:
            return
        # The last event fills the place.
        stacks[i, POSITION, slot] = -1
        size -= 1
        counts[i, NUM_EVENTS] = size
        if position == size:
            return
        slot = stacks[i, HEAP, size]
        at = due[i, size]
    elif position < 0:
        position = size
        size += 1
        counts[i, NUM_EVENTS] = size
    if position > 0 and at < due[i, (position - 1) >> 1]:
        sift_up(due, stacks, i, position, slot, at)
    else:
        sift_down(due, stacks, i, size, position, slot, at)


@inlined
def occupy(counts: Int64, stacks: Int32, i: int) -> int:
    """Take a free slot; there must be one."""
    left = counts[i, NUM_VACANT] - 1
    counts[i, NUM_VACANT] = left
    slot = stacks[i, VACANT, left]
    return int(slot)


@inlined
def vacate(counts: Int64, stacks: Int32, i: int, slot: int) -> None:
    """Give a slot back."""
    stacks[i, VACANT, counts[i, NUM_VACANT]] = slot
    counts[i, NUM_VACANT] += 1


@inlined
def serial_of(keys: NDArray[np.uint64], i: int, slot: int) -> int:
    """Return a patient's number in order of arrival, below 0 if he was there at the start."""
    return int(np.int64(keys[i, slot, SERIAL]))


@inlined
def next_present(counts: Int64, num_classes: int, i: int, k: int) -> int:
    """Return the first class from ``k`` on in which somebody waits; ``num_classes`` for none."""
    while k < num_classes:
        word = counts[i, PRESENT + (k >> 6)] & (np.int64(-1) << np.int64(k & 63))
        if word != 0:
            return (k & ~63) + int(count_trailing_zeros(word))
        k = (k | 63) + 1
    return num_classes


@inlined
def mark_present(counts: Int64, i: int, k: int) -> None:
    """Note that somebody waits in class ``k``."""
    counts[i, PRESENT + (k >> 6)] |= np.int64(1) << np.int64(k & 63)


@inlined
def mark_empty(counts: Int64, i: int, k: int) -> None:
    """Note that nobody waits in class ``k`` any more."""
    counts[i, PRESENT + (k >> 6)] &= ~(np.int64(1) << np.int64(k & 63))


@inlined
def append(queues: Int32, counts: Int64, links: Int32, i: int, k: int, slot: int) -> None:
    """Put a patient at the end of the queue of class ``k``."""
    tail = queues[i, k, TAIL]
    links[i, slot, PREVIOUS] = tail
    links[i, slot, NEXT] = -1
    if tail >= 0:
        links[i, tail, NEXT] = slot
    else:
        queues[i, k, HEAD] = slot
        mark_present(counts, i, k)
    queues[i, k, TAIL] = slot
    queues[i, k, LENGTH] += 1


@inlined
def insert_by_arrival(
    queues: Int32,
    counts: Int64,
    links: Int32,
    keys: NDArray[np.uint64],
    i: int,
    k: int,
    slot: int,
) -> None:
    """Put a patient into the queue of class ``k`` before all who came after him.

    Who gets worse has waited, so the search from the head is short.
    """
    serial = serial_of(keys, i, slot)
    following = int(queues[i, k, HEAD])
    previous = -1
    if following < 0:
        mark_present(counts, i, k)
    while following >= 0 and serial_of(keys, i, following) < serial:
        previous = following
        following = int(links[i, following, NEXT])
    links[i, slot, PREVIOUS] = previous
    links[i, slot, NEXT] = following
    if previous >= 0:
        links[i, previous, NEXT] = slot
    else:
        queues[i, k, HEAD] = slot
    if following >= 0:
        links[i, following, PREVIOUS] = slot
    else:
        queues[i, k, TAIL] = slot
    queues[i, k, LENGTH] += 1


@inlined
def remove(queues: Int32, counts: Int64, links: Int32, i: int, k: int, slot: int) -> None:
    """Take a patient out of the queue of class ``k``, wherever he stands in it."""
    previous, following = links[i, slot, PREVIOUS], links[i, slot, NEXT]
    if previous >= 0:
        links[i, previous, NEXT] = following
    else:
        queues[i, k, HEAD] = following
    if following >= 0:
        links[i, following, PREVIOUS] = previous
    else:
        queues[i, k, TAIL] = previous
    left = queues[i, k, LENGTH] - 1
    queues[i, k, LENGTH] = left
    if left == 0:
        mark_empty(counts, i, k)
