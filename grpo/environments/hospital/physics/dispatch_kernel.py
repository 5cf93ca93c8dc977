"""Whom to start, inside the kernel: what a rule chooses, or whether somebody is to be asked."""

from __future__ import annotations

import math

from grpo.environments.hospital.compiling.parameters import HOLD
from grpo.environments.hospital.physics.features import activity_fits
from grpo.environments.hospital.physics.kernel import inlined, internal
from grpo.environments.hospital.physics.queues import next_present, serial_of
from grpo.environments.hospital.physics.rule_table import (
    COUNT_SLOPE,
    DEBT_HEAD,
    DEBT_SLOPE,
    INTERCEPT,
    RESERVE,
    SLOPE,
    RuleTable,
)
from grpo.environments.hospital.physics.state import (
    ARRIVED_AT,
    CHOICES,
    FREE,
    HEAD,
    LENGTH,
    NOW,
    TOTAL,
    Parameters,
    State,
)
from grpo.environments.hospital.physics.streams import draw_uniform

NO_ACTION, ASK = -1, -2


@inlined
def find_option(state: State, par: Parameters, i: int, table: RuleTable, rule: int, k: int) -> int:
    """Return the first option that class ``k`` may start on now, -1 if none or nobody waits.

    An option may start if all its needs fit and what the rule reserves for others stays free.
    """
    if state.queues[i, k, LENGTH] == 0:
        return -1
    for a in range(par.first_activity[k], par.first_activity[k + 1]):
        fits = True
        for p in range(par.needs.shape[1]):
            need = par.needs[a, p]
            if need > 0 and need + table.limits[rule, k, RESERVE + p] > state.counts[i, FREE + p]:
                fits = False
                break
        if fits:
            return a
    return -1


@inlined
def class_index(state: State, i: int, table: RuleTable, rule: int, k: int) -> float:
    """Return the index of class ``k``, in which somebody waits."""
    wait = state.clock[i, NOW] - state.times[i, state.queues[i, k, HEAD], ARRIVED_AT]
    index = table.coefficients[rule, k, INTERCEPT] + table.coefficients[rule, k, SLOPE] * wait
    index += table.coefficients[rule, k, COUNT_SLOPE] * state.queues[i, k, LENGTH]
    head = table.limits[rule, k, DEBT_HEAD]
    if head >= 0:
        index -= table.coefficients[rule, k, DEBT_SLOPE] * state.heads[i, head, TOTAL]
    return float(index)


@inlined
def choose_activity(state: State, par: Parameters, i: int, table: RuleTable, rule: int) -> int:
    """Return the activity that a rule starts now, -1 if it starts none.

    Equal indices go to whoever arrived first, never to the order of the classes.

    Args:
        state: the hospitals; a rule that draws advances the stream CHOICES of hospital ``i``.
        par: their parameters.
        i: which hospital.
        table: the rules.
        rule: row of the rule.
    """
    if table.drawn[rule] > 0:
        return draw_activity(state, par, i, table, rule)
    best, best_index, best_serial = -1, -math.inf, 0
    num_classes = state.queues.shape[1]
    k = next_present(state.counts, num_classes, i, 0)
    while k < num_classes:
        option = find_option(state, par, i, table, rule, k)
        if option >= 0:
            index = class_index(state, i, table, rule, k)
            serial = serial_of(state.keys, i, state.queues[i, k, HEAD])
            if best < 0 or index > best_index or (index == best_index and serial < best_serial):
                best, best_index, best_serial = option, index, serial
        k = next_present(state.counts, num_classes, i, k + 1)
    return best


@internal
def draw_activity(state: State, par: Parameters, i: int, table: RuleTable, rule: int) -> int:
    """Draw a class that may start in proportion to its index; if all are 0, who arrived first."""
    total, first, first_serial = 0.0, -1, 0
    for k in range(state.queues.shape[1]):
        option = find_option(state, par, i, table, rule, k)
        if option >= 0:
            total += max(class_index(state, i, table, rule, k), 0.0)
            serial = serial_of(state.keys, i, state.queues[i, k, HEAD])
            if first < 0 or serial < first_serial:
                first, first_serial = option, serial
    if total <= 0.0:
        return first
    left = total * draw_uniform(state.streams, i, CHOICES)
    chosen = first
    for k in range(state.queues.shape[1]):
        option = find_option(state, par, i, table, rule, k)
        if option >= 0:
            index = max(class_index(state, i, table, rule, k), 0.0)
            if index > 0.0:
                chosen = option
                if left < index:
                    return option
                left -= index
    return chosen


@inlined
def find_choice(state: State, par: Parameters, i: int) -> int:
    """Return the activity that is forced, NO_ACTION where nothing fits, ASK where a choice is due.

    Where HOLD is off and a single activity fits, there is nothing to choose.
    """
    found = NO_ACTION
    num_classes = state.queues.shape[1]
    k = next_present(state.counts, num_classes, i, 0)
    while k < num_classes:
        for a in range(par.first_activity[k], par.first_activity[k + 1]):
            if activity_fits(state.counts, FREE, par.needs, i, a):
                if found >= 0 or par.settings[HOLD] > 0.0:
                    return ASK
                found = a
        k = next_present(state.counts, num_classes, i, k + 1)
    return found
