"""Data structures inside kernels: the event heap and the class queues, all O(log n) or O(1)."""

from __future__ import annotations

from grpo.environments.hospital.kernel import kernel
from grpo.environments.hospital.state import (
    EVENT_AT,
    HEAD,
    HEAP,
    HEAP_POSITION,
    LENGTH,
    NEXT,
    NUM_EVENTS,
    PREVIOUS,
    TAIL,
    State,
)


@kernel
def sift_up(state: State, i: int, position: int, slot: int) -> None:
    """Move a slot from ``position`` towards the root until its parent is not later."""
    at = state.times[i, slot, EVENT_AT]
    while position > 0:
        parent = (position - 1) >> 1
        other = int(state.stacks[i, HEAP, parent])
        if state.times[i, other, EVENT_AT] <= at:
            break
        state.stacks[i, HEAP, position] = other
        state.links[i, other, HEAP_POSITION] = position
        position = parent
    state.stacks[i, HEAP, position] = slot
    state.links[i, slot, HEAP_POSITION] = position


@kernel
def sift_down(state: State, i: int, position: int, slot: int) -> None:
    """Move a slot from ``position`` towards the leaves until no child is earlier."""
    size = state.counts[i, NUM_EVENTS]
    at = state.times[i, slot, EVENT_AT]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        other = int(state.stacks[i, HEAP, child])
        if child + 1 < size:
            right = int(state.stacks[i, HEAP, child + 1])
            if state.times[i, right, EVENT_AT] < state.times[i, other, EVENT_AT]:
                child += 1
                other = right
        if state.times[i, other, EVENT_AT] >= at:
            break
        state.stacks[i, HEAP, position] = other
        state.links[i, other, HEAP_POSITION] = position
        position = child
    state.stacks[i, HEAP, position] = slot
    state.links[i, slot, HEAP_POSITION] = position


@kernel
def schedule(state: State, i: int, slot: int, at: float) -> None:
    """Set, or move, the one pending event of a patient; infinity means that none is pending."""
    position = int(state.links[i, slot, HEAP_POSITION])
    if at == float("inf"):
        if position >= 0:
            unschedule(state, i, slot)
        return
    before = state.times[i, slot, EVENT_AT]
    state.times[i, slot, EVENT_AT] = at
    if position < 0:
        position = state.counts[i, NUM_EVENTS]
        state.counts[i, NUM_EVENTS] = position + 1
        sift_up(state, i, position, slot)
    elif at < before:
        sift_up(state, i, position, slot)
    else:
        sift_down(state, i, position, slot)


@kernel
def unschedule(state: State, i: int, slot: int) -> None:
    """Take a patient's pending event out of the heap; do nothing where none is pending."""
    position = int(state.links[i, slot, HEAP_POSITION])
    if position < 0:
        return
    state.links[i, slot, HEAP_POSITION] = -1
    size = state.counts[i, NUM_EVENTS] - 1
    state.counts[i, NUM_EVENTS] = size
    if position == size:
        return
    last = int(state.stacks[i, HEAP, size])
    if state.times[i, last, EVENT_AT] < state.times[i, slot, EVENT_AT]:
        sift_up(state, i, position, last)
    else:
        sift_down(state, i, position, last)


@kernel
def append(state: State, i: int, k: int, slot: int) -> None:
    """Put a patient at the end of the queue of class ``k``."""
    tail = int(state.queues[i, k, TAIL])
    state.links[i, slot, PREVIOUS] = tail
    state.links[i, slot, NEXT] = -1
    if tail >= 0:
        state.links[i, tail, NEXT] = slot
    else:
        state.queues[i, k, HEAD] = slot
    state.queues[i, k, TAIL] = slot
    state.queues[i, k, LENGTH] += 1


@kernel
def remove(state: State, i: int, k: int, slot: int) -> None:
    """Take a patient out of the queue of class ``k``, wherever he stands in it."""
    previous, following = state.links[i, slot, PREVIOUS], state.links[i, slot, NEXT]
    if previous >= 0:
        state.links[i, previous, NEXT] = following
    else:
        state.queues[i, k, HEAD] = following
    if following >= 0:
        state.links[i, following, PREVIOUS] = previous
    else:
        state.queues[i, k, TAIL] = previous
    state.queues[i, k, LENGTH] -= 1
