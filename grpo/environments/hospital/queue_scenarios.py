"""Small scenarios from the numbers of a queueing problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grpo.environments.hospital.model.scenario_model import (
    HOURS_PER_DAY,
    Acuity,
    Arrivals,
    Attribute,
    Costs,
    Fact,
    Law,
    Pool,
    Route,
    Scenario,
    Stage,
)

T = TypeVar("T")


def make_queue_scenario(
    *,
    rates: Mapping[str, Sequence[float]],
    treatments: Sequence[Law],
    pools: Mapping[str, int],
    needs: Sequence[Mapping[str, int]] | None = None,
    patience: Sequence[Law | None] | None = None,
    costs_per_hour: Sequence[float] | None = None,
    targets_minutes: Sequence[float | None] | None = None,
    factor_beyond_target: float = 1.0,
    lump_hours: float = 0.0,
    hourly_share: Sequence[float] | None = None,
    waiting_room: int = 10_000,
    plans: Mapping[str, Sequence[int]] | None = None,
    deterioration_per_hour: Sequence[float] | None = None,
    stages: Sequence[Stage] = (),
    routes: Sequence[Route] = (),
    name: str = "queue",
) -> Scenario:
    """Build a scenario from the numbers of a queueing problem, one acuity per class.

    Args:
        rates: by group, arrivals per hour of each class (class 0 becomes acuity 1).
        treatments: law of the care of each class, hours.
        pools: capacity of each pool; every class needs one unit of each unless ``needs`` says else.
        needs: units that each class takes of the pools.
        patience: law of each class's patience, None for endless.
        costs_per_hour: cost of an hour's waiting by class, 1 by default.
        targets_minutes: target by class, None for none.
        factor_beyond_target: multiplies the cost rate beyond the target.
        lump_hours: leaving and diversion cost so many hours beyond the target.
        hourly_share: share of the day's arrivals by hour; even by default.
        waiting_room: places for waiting patients; beyond them arrivals are diverted.
        plans: staffed units by hour of day or week, of the pools that have a plan.
        deterioration_per_hour: hazard of each class to become the class before it.
        stages: care after the first.
        routes: who goes there, by group.
        name: the scenario's name.
    """
    totals = {group: float(sum(by_class)) for group, by_class in rates.items()}
    overall, number = sum(totals.values()), len(treatments)
    acuities = _make_acuities(
        treatments,
        needs or [dict.fromkeys(pools, 1)] * number,
        patience or [None] * number,
        costs_per_hour or [1.0] * number,
        targets_minutes or [None] * number,
        deterioration_per_hour or [0.0] * number,
    )
    shares = tuple(total / overall for total in totals.values())
    mix = {group: tuple(r / totals[group] for r in by_class) for group, by_class in rates.items()}
    groups = Attribute(name="group", values=tuple(rates), share=given(shares))
    return Scenario(
        name=name,
        title=name,
        description="A queueing problem given by its numbers.",
        pools=_make_pools(pools, plans or {}),
        waiting_room=given(waiting_room),
        arrivals=_spread(overall, hourly_share),
        attributes=(groups,),
        mix_by=groups.name,
        acuity_share=given(mix),
        acuities=acuities,
        stages=tuple(stages),
        routes=tuple(routes),
        costs=_make_costs(factor_beyond_target, lump_hours),
        review_minutes=given(15.0),
    )


def _make_costs(factor_beyond_target: float, lump_hours: float) -> Costs:
    return Costs(
        factor_beyond_target=given(factor_beyond_target),
        leaving_hours=given(lump_hours),
        diversion_hours=given(lump_hours),
    )


def _make_pools(pools: Mapping[str, int], plans: Mapping[str, Sequence[int]]) -> tuple[Pool, ...]:
    return tuple(
        Pool(
            name=pool,
            capacity=given(units),
            plan=given(tuple(plans[pool])) if pool in plans else None,
        )
        for pool, units in pools.items()
    )


def _make_acuities(
    treatments: Sequence[Law],
    needs: Sequence[Mapping[str, int]],
    patience: Sequence[Law | None],
    costs_per_hour: Sequence[float],
    targets_minutes: Sequence[float | None],
    deterioration: Sequence[float],
) -> tuple[Acuity, ...]:
    """Make class k the acuity k + 1."""
    columns = (treatments, needs, patience, costs_per_hour, targets_minutes, deterioration)
    return tuple(
        Acuity(
            level=level,
            cost_per_hour=given(cost),
            target_minutes=_given_or_none(target),
            needs=given(dict(units)),
            treatment=given(treatment),
            patience=_given_or_none(limit),
            deterioration_per_hour=given(hazard) if hazard else None,
        )
        for level, (treatment, units, limit, cost, target, hazard) in enumerate(
            zip(*columns, strict=True), start=1
        )
    )


def _spread(per_hour: float, hourly_share: Sequence[float] | None) -> Arrivals:
    """Spread arrivals over the day, evenly by default."""
    even = (1 / HOURS_PER_DAY,) * HOURS_PER_DAY
    return Arrivals(
        visits_per_day=given(per_hour * HOURS_PER_DAY),
        hourly_share=given(even if hourly_share is None else tuple(hourly_share)),
    )


def given(value: T) -> Fact[T]:
    """Return a value as a fact that the caller gave."""
    return Fact[T](value=value, basis="assumed", source="given by the caller")


def _given_or_none(value: T | None) -> Fact[T] | None:
    return None if value is None else given(value)
