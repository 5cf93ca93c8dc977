"""What no single part of a scenario can tell: rules that hold between its parts.

Every function raises ``grpo.schema.field_error`` at the field that is wrong, and returns None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from grpo.environments.hospital.model.facts import (
    Shares,
    require_distinct,
    require_keys,
    require_sum_one,
)
from grpo.schema import field_error

if TYPE_CHECKING:
    from grpo.environments.hospital.model.scenario_model import Scenario

MAX_TYPES = 1024
MAX_VISITS = 64
VISIT_TOLERANCE = 1e-9
FIRST_STAGE = "ed"

Where = tuple[str | int, ...]


def check_scenario(scenario: Scenario) -> None:
    """Check all that a scenario's parts say of each other."""
    require_distinct("pool names", [pool.name for pool in scenario.pools], "pools")
    names = [attribute.name for attribute in scenario.attributes]
    require_distinct("attribute names", names, "attributes")
    if scenario.mix_by not in names:
        raise field_error(
            f"mix_by must be one of the attributes {names}, not {scenario.mix_by!r}", "mix_by"
        )
    _check_acuities(scenario)
    _check_size(scenario)
    _check_tables(scenario)
    _check_triage(scenario)
    _check_stages(scenario)
    _check_surges(scenario)
    _check_needs(scenario)
    _check_boarding(scenario)
    _check_alternatives(scenario)


def _check_acuities(scenario: Scenario) -> None:
    for position, acuity in enumerate(scenario.acuities):
        if acuity.level != position + 1:
            raise field_error(
                "acuity levels must be 1, 2, 3, ... in this order", "acuities", position, "level"
            )
        options = [option.name for option in acuity.options]
        require_distinct("options of an acuity", options, "acuities", position, "options")
    first = scenario.acuities[0].deterioration_per_hour
    if first is not None and first.value > 0:
        raise field_error(
            "no acuity is more urgent than 1", "acuities", 0, "deterioration_per_hour", "value"
        )


def _check_size(scenario: Scenario) -> None:
    bands = 1 if scenario.stay_bands is None else 2
    values = math.prod(len(attribute.values) for attribute in scenario.attributes)
    if (types := len(scenario.acuities) * bands * values) > MAX_TYPES:
        raise field_error(
            f"acuities, stay bands and attributes make {types} types of patients, "
            f"more than {MAX_TYPES}",
            "attributes",
        )


def _check_tables(scenario: Scenario) -> None:
    """Check the tables by value of ``mix_by``."""
    values = scenario.attribute(scenario.mix_by).values
    _check_mix(scenario, "acuity_share", scenario.acuity_share.value, ("acuity_share", "value"))
    for name, fact in (
        ("treatment_factor", scenario.treatment_factor),
        ("deterioration_factor", scenario.deterioration_factor),
    ):
        if fact is not None:
            require_keys(name, fact.value, values, name, "value")
    if scenario.stay_bands is not None:
        table = scenario.stay_bands.long_share.value
        require_keys("long_share", table, values, "stay_bands", "long_share", "value")


def _check_mix(scenario: Scenario, what: str, table: Mapping[str, Shares], where: Where) -> None:
    """Check shares by acuity for every value of ``mix_by``."""
    require_keys(what, table, scenario.attribute(scenario.mix_by).values, *where)
    for value, shares in table.items():
        _require_per_acuity(scenario, f"{what} of {value}", shares, (*where, value))
        require_sum_one(f"{what} of {value}", shares, *where, value)


def _check_triage(scenario: Scenario) -> None:
    if scenario.triage_error is None:
        return
    where = ("triage_error", "value")
    table = scenario.triage_error.value
    require_keys("triage_error", table, scenario.attribute(scenario.mix_by).values, *where)
    for value, rows in table.items():
        if len(rows) != len(scenario.acuities):
            raise field_error(
                f"needs {len(scenario.acuities)} rows, one per true acuity", *where, value
            )
        for n, row in enumerate(rows):
            _require_per_acuity(scenario, "a row of triage_error", row, (*where, value, n))
            require_sum_one("a row of triage_error", row, *where, value, n)


def _check_stages(scenario: Scenario) -> None:
    names = [stage.name for stage in scenario.stages]
    require_distinct("stage names", [FIRST_STAGE, *names], "stages")
    values = scenario.attribute(scenario.mix_by).values
    for n, stage in enumerate(scenario.stages):
        options = [option.name for option in stage.options]
        require_distinct("options of a stage", options, "stages", n, "options")
        if stage.stay_factor is not None:
            where: Where = ("stages", n, "stay_factor", "value")
            require_keys("stay_factor", stage.stay_factor.value, values, *where)
        if not any(route.destination == stage.name for route in scenario.routes):
            raise field_error(f"no route leads to {stage.name}", "stages", n, "name")
    for n, route in enumerate(scenario.routes):
        if route.origin not in (FIRST_STAGE, *names):
            raise field_error(f"no such stage: {route.origin}", "routes", n, "origin")
        if route.destination not in names:
            raise field_error(f"no such stage: {route.destination}", "routes", n, "destination")
        if route.origin == route.destination:
            # Who boards keeps his bed: a full stage of such patients would wait for itself.
            raise field_error("a stage cannot lead to itself", "routes", n, "destination")
        where = ("routes", n, "probability", "value")
        require_keys("probability", route.probability.value, values, *where)
        for value, chances in route.probability.value.items():
            _require_per_acuity(scenario, "probability", chances, (*where, value))
    ends = [f"{route.origin} -> {route.destination}" for route in scenario.routes]
    require_distinct("routes", ends, "routes")
    _check_routing(scenario, names)


def _check_routing(scenario: Scenario, names: list[str]) -> None:
    """Refuse chances above 1 and patients who would never, or hardly ever, go home."""
    for value in scenario.attribute(scenario.mix_by).values:
        for k in range(len(scenario.acuities)):
            chances = {origin: dict.fromkeys(names, 0.0) for origin in (FIRST_STAGE, *names)}
            for route in scenario.routes:
                chances[route.origin][route.destination] = route.probability.value[value][k]
            for origin, by_stage in chances.items():
                if (total := sum(by_stage.values())) > 1 + VISIT_TOLERANCE:
                    raise field_error(
                        f"routes from {origin} for {value}, acuity {k + 1}, "
                        f"add up to {total:.6g}, more than 1",
                        "routes",
                    )
            at = dict(chances[FIRST_STAGE])
            for _ in range(MAX_VISITS):
                at = {
                    to: sum(share * chances[stage][to] for stage, share in at.items())
                    for to in names
                }
            if sum(at.values()) > VISIT_TOLERANCE:
                stuck = sorted(stage for stage, share in at.items() if share > 0)
                raise field_error(
                    f"after {MAX_VISITS} stages a share of {sum(at.values()):.3g} of {value}, "
                    f"acuity {k + 1}, is still in {stuck}: a cycle needs an exit",
                    "routes",
                )


def _check_surges(scenario: Scenario) -> None:
    require_distinct("surge names", [surge.name for surge in scenario.surges], "surges")
    values = scenario.attribute(scenario.mix_by).values
    pools = {pool.name for pool in scenario.pools}
    for n, surge in enumerate(scenario.surges):
        if len(surge.mix_share.value) != len(values):
            raise field_error(
                f"needs one share for each of {list(values)}", "surges", n, "mix_share", "value"
            )
        require_sum_one("mix_share", surge.mix_share.value, "surges", n, "mix_share", "value")
        where = ("surges", n, "acuity_share", "value")
        _check_mix(scenario, "acuity_share", surge.acuity_share.value, where)
        for m, step in enumerate(surge.capacity_steps):
            if step.pool not in pools:
                raise field_error(
                    f"undeclared pool {step.pool}", "surges", n, "capacity_steps", m, "pool"
                )


def peak_units(scenario: Scenario) -> dict[str, int]:
    """Return, by pool, the most units that a plan and surges together could ever staff."""
    peaks = {
        pool.name: pool.capacity.value if pool.plan is None else max(pool.plan.value)
        for pool in scenario.pools
    }
    for surge in scenario.surges:
        for step in surge.capacity_steps:
            peaks[step.pool] += max(step.units.value, 0)
    return peaks


def lowest_units(scenario: Scenario) -> dict[str, int]:
    """Return, by pool, the fewest units that a plan and surges together could ever staff."""
    lows = {
        pool.name: pool.capacity.value if pool.plan is None else min(pool.plan.value)
        for pool in scenario.pools
    }
    for surge in scenario.surges:
        for step in surge.capacity_steps:
            lows[step.pool] = max(lows[step.pool] + min(step.units.value, 0), 0)
    return lows


def all_needs(scenario: Scenario) -> Iterator[tuple[str, Mapping[str, int], Where]]:
    """List every set of needs with what it is for and where it stands."""
    for n, acuity in enumerate(scenario.acuities):
        yield f"acuity {n + 1}", acuity.needs.value, ("acuities", n, "needs", "value")
        for m, option in enumerate(acuity.options):
            where: Where = ("acuities", n, "options", m, "needs", "value")
            yield f"acuity {n + 1} on {option.name}", option.needs.value, where
    for n, stage in enumerate(scenario.stages):
        for m, option in enumerate(stage.options):
            where = ("stages", n, "options", m, "needs", "value")
            yield f"{stage.name} on {option.name}", option.needs.value, where


def _check_needs(scenario: Scenario) -> None:
    peaks = peak_units(scenario)
    for what, needs, where in all_needs(scenario):
        if unknown := sorted(set(needs) - set(peaks)):
            raise field_error(f"{what} needs undeclared pools {unknown}", *where, unknown[0])
        if not any(needs.values()):
            raise field_error(f"{what} must need at least one unit of some pool", *where)
        for pool, units in needs.items():
            if units > peaks[pool]:
                raise field_error(
                    f"{what} needs {units} of {pool}, which never has more than {peaks[pool]}",
                    *where,
                    pool,
                )


def _check_boarding(scenario: Scenario) -> None:
    """Refuse a route on which a patient would wait for units that he holds himself."""
    peaks = peak_units(scenario)
    first = [a.needs.value for a in scenario.acuities]
    first += [option.needs.value for a in scenario.acuities for option in a.options]
    taken = {FIRST_STAGE: first}
    taken |= {s.name: [option.needs.value for option in s.options] for s in scenario.stages}
    for n, route in enumerate(scenario.routes):
        pairs = [(held, more) for held in taken[route.origin] for more in taken[route.destination]]
        goes = any(max(chances) > 0 for chances in route.probability.value.values())
        if goes and all(
            any(units > 0 and held.get(p, 0) + units > peaks[p] for p, units in more.items())
            for held, more in pairs
        ):
            raise field_error(
                f"who is in {route.origin} keeps his units until {route.destination} starts, and "
                "there are never enough for both at once: nobody could ever go on",
                "routes",
                n,
                "destination",
            )


def _check_alternatives(scenario: Scenario) -> None:
    sets = scenario.alternative_costs
    require_distinct("names of cost sets", [costs.name for costs in sets], "alternative_costs")
    stages = {stage.name for stage in scenario.stages}
    for n, costs in enumerate(sets):
        if costs.cost_per_hour is not None:
            where: Where = ("alternative_costs", n, "cost_per_hour", "value")
            _require_per_acuity(scenario, "cost_per_hour", costs.cost_per_hour.value, where)
        waits = costs.waiting_cost_per_hour
        if waits is not None and (unknown := sorted(set(waits.value) - stages)):
            where = ("alternative_costs", n, "waiting_cost_per_hour", "value", unknown[0])
            raise field_error(f"no such stage: {unknown[0]}", *where)


def _require_per_acuity(
    scenario: Scenario, what: str, values: Sequence[float], where: Where
) -> None:
    if len(values) != len(scenario.acuities):
        raise field_error(
            f"{what} must have {len(scenario.acuities)} entries, one per acuity, not {len(values)}",
            *where,
        )
