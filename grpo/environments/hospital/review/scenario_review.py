"""What a planner should know of a valid scenario before simulating it: loads, warnings, origins.

What makes a scenario impossible is an error of its schema; what makes it doubtful is a warning,
with the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grpo.environments.hospital.model.facts import HOURS_PER_DAY
from grpo.environments.hospital.model.provenance import Origin, list_origins
from grpo.environments.hospital.model.scenario_checks import all_needs
from grpo.environments.hospital.model.scenario_model import Scenario
from grpo.environments.hospital.review.boarding_locks import stages_that_may_lock
from grpo.environments.hospital.review.offered_load import (
    OfferedLoad,
    PoolLoad,
    SurgeLoad,
    offered_load,
    surge_loads,
)
from grpo.errors import make_pointer

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class ScenarioWarning:
    """Something doubtful, at a field.

    Attributes:
        code: unstable, overloaded_hours, needs_above_plan or may_lock; stable.
        pointer: JSON pointer of the field.
        message: what is doubtful, with the numbers.
    """

    code: str
    pointer: str
    message: str


@dataclass(frozen=True, eq=False)
class ScenarioReview:
    """What is known of a scenario without simulating it.

    Attributes:
        load: what is asked of pools and stages over the usual week.
        surges: what each event asks for besides.
        warnings: what is doubtful, possibly nothing.
        origins: where every value comes from.
    """

    load: OfferedLoad
    surges: tuple[SurgeLoad, ...]
    warnings: tuple[ScenarioWarning, ...]
    origins: tuple[Origin, ...]


def review_scenario(scenario: Scenario) -> ScenarioReview:
    """Compute loads, warnings and origins; a fraction of a second for the largest scenarios."""
    load = offered_load(scenario)
    warnings = (
        *_warn_of_loads(scenario, load),
        *_warn_of_needs(scenario, load),
        *_warn_of_locks(scenario),
    )
    return ScenarioReview(load, surge_loads(scenario), warnings, list_origins(scenario))


def name_hour(hour: int) -> str:
    """Name an hour of the week, e.g. ``Mon 13-14 h``."""
    day, start = divmod(hour, HOURS_PER_DAY)
    return f"{DAYS[day]} {start}-{start + 1} h"


def _warn_of_loads(scenario: Scenario, load: OfferedLoad) -> Iterator[ScenarioWarning]:
    endless = [a.level for a in scenario.acuities if a.patience is None]
    for n, pool in enumerate(load.pools):
        pointer = make_pointer(("pools", n))
        if pool.load >= 1:
            levels = ", ".join(map(str, endless))
            bound = (
                f"acuities {levels} wait without limit, so their queue may grow without bound"
                if endless
                else "the queue is bounded only by those who leave"
            )
            message = (
                f"{pool.pool} is asked for {pool.mean_offered:.2f} units on average and has "
                f"{pool.mean_staffed:.2f} (load {pool.load:.2f}): {bound}"
            )
            yield ScenarioWarning("unstable", pointer, message)
        elif (hours := int((pool.offered > pool.staffed).sum())) > 0:
            worst = int(np.argmax(pool.offered - pool.staffed))
            message = (
                f"{pool.pool} is asked for more than is staffed in {hours} of 168 hours of the "
                f"week, most on {name_hour(worst)}: {pool.offered[worst]:.2f} of "
                f"{pool.staffed[worst]:g}"
            )
            yield ScenarioWarning("overloaded_hours", pointer, message)


def _warn_of_needs(scenario: Scenario, load: OfferedLoad) -> Iterator[ScenarioWarning]:
    staffed = {pool.pool: pool.staffed for pool in load.pools}
    for what, needs, where in all_needs(scenario):
        for pool, units in needs.items():
            if hours := int((staffed[pool] < units).sum()):
                message = (
                    f"{what} needs {units} of {pool}; in {hours} of 168 hours of the week fewer "
                    f"are staffed (at least {int(staffed[pool].min())}), and nobody can start"
                )
                yield ScenarioWarning("needs_above_plan", make_pointer((*where, pool)), message)


def _warn_of_locks(scenario: Scenario) -> Iterator[ScenarioWarning]:
    if stages := stages_that_may_lock(scenario):
        message = (
            f"{', '.join(stages)} may lock: a patient keeps his units until the next stage starts, "
            "and all of theirs may be held by patients who wait for each other in a circle; then "
            "none of them ever moves again. Routes without a way back, to stages on pools of their "
            "own, cannot lock"
        )
        yield ScenarioWarning("may_lock", make_pointer(("routes",)), message)


def busiest_hour(pool: PoolLoad) -> int:
    """Return the hour of the week at which the largest share of a pool is asked for."""
    return int(np.argmax(pool.offered / np.maximum(pool.staffed, 0.5)))
