"""Stages that can wait for each other for ever, because who boards keeps his units.

A patient whose care ended holds his units until his next stage starts. If all units of ward A are
held by patients who wait for ward B, and all of B's by patients who wait for A, nobody ever moves
again. Such a hospital may run for years before it locks.
"""

from __future__ import annotations

from grpo.environments.hospital.model.scenario_checks import FIRST_STAGE
from grpo.environments.hospital.model.scenario_model import Scenario


def stages_that_may_lock(scenario: Scenario) -> tuple[str, ...]:
    """Return the stages, in their order, whose start could be waited for in vain.

    A pool is sure to come free if everybody who may hold it goes, after care, home or to stages
    that are sure to start; a stage is sure to start if one of its options takes only such pools.
    Starting from nothing, pools and stages are found sure until no more are. What is left may
    lock: the units of all its options may be held by patients who wait in a circle.
    """
    holders = _waited_for_by_holders(scenario)
    sure: set[str] = set()
    while True:
        free = {pool for pool, waited_for in holders.items() if waited_for <= sure}
        found = {
            stage.name
            for stage in scenario.stages
            if any(_taken(option.needs.value) <= free for option in stage.options)
        }
        if found <= sure:
            return tuple(name for name in _names(scenario) if name not in sure)
        sure |= found


def _waited_for_by_holders(scenario: Scenario) -> dict[str, set[str]]:
    """Return, by pool, the stages for which those who hold its units may wait."""
    onward: dict[str, set[str]] = {name: set() for name in (FIRST_STAGE, *_names(scenario))}
    for route in scenario.routes:
        if any(max(chances) > 0 for chances in route.probability.value.values()):
            onward[route.origin].add(route.destination)
    holders: dict[str, set[str]] = {pool.name: set() for pool in scenario.pools}
    needs = [(FIRST_STAGE, acuity.needs.value) for acuity in scenario.acuities]
    needs += [(FIRST_STAGE, o.needs.value) for a in scenario.acuities for o in a.options]
    needs += [(stage.name, o.needs.value) for stage in scenario.stages for o in stage.options]
    for stage, units in needs:
        for pool in _taken(units):
            holders[pool] |= onward[stage]
    return holders


def _names(scenario: Scenario) -> tuple[str, ...]:
    return tuple(stage.name for stage in scenario.stages)


def _taken(needs: dict[str, int]) -> set[str]:
    """Return the pools of which units are taken."""
    return {pool for pool, units in needs.items() if units > 0}
