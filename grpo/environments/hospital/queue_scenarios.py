"""Small scenarios from the numbers of a queueing problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grpo.environments.hospital.scenario_model import (
    HOURS_PER_DAY,
    Acuity,
    Arrivals,
    Attribute,
    Costs,
    Fact,
    Law,
    Pool,
    Scenario,
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
        name: the scenario's name.
    """
    totals = {group: float(sum(by_class)) for group, by_class in rates.items()}
    overall = sum(totals.values())
    acuities = _make_acuities(
        treatments,
        needs or [dict.fromkeys(pools, 1)] * len(treatments),
        patience or [None] * len(treatments),
        costs_per_hour or [1.0] * len(treatments),
        targets_minutes or [None] * len(treatments),
    )
    shares = tuple(total / overall for total in totals.values())
    mix = {group: tuple(r / totals[group] for r in by_class) for group, by_class in rates.items()}
    costs = Costs(
        factor_beyond_target=_given(factor_beyond_target),
        leaving_hours=_given(lump_hours),
        diversion_hours=_given(lump_hours),
    )
    groups = Attribute(name="group", values=tuple(rates), share=_given(shares))
    return _assemble(
        name, pools, waiting_room, _spread(overall, hourly_share), groups, mix, acuities, costs
    )


def _assemble(
    name: str,
    pools: Mapping[str, int],
    waiting_room: int,
    arrivals: Arrivals,
    groups: Attribute,
    mix: dict[str, tuple[float, ...]],
    acuities: tuple[Acuity, ...],
    costs: Costs,
) -> Scenario:
    return Scenario(
        name=name,
        title=name,
        description="A queueing problem given by its numbers.",
        pools=tuple(Pool(name=pool, capacity=_given(units)) for pool, units in pools.items()),
        waiting_room=_given(waiting_room),
        arrivals=arrivals,
        attributes=(groups,),
        mix_by=groups.name,
        acuity_share=_given(mix),
        acuities=acuities,
        costs=costs,
        review_minutes=_given(15.0),
    )


def _make_acuities(
    treatments: Sequence[Law],
    needs: Sequence[Mapping[str, int]],
    patience: Sequence[Law | None],
    costs_per_hour: Sequence[float],
    targets_minutes: Sequence[float | None],
) -> tuple[Acuity, ...]:
    """Make class k the acuity k + 1."""
    rows = zip(treatments, needs, patience, costs_per_hour, targets_minutes, strict=True)
    return tuple(
        Acuity(
            level=level,
            cost_per_hour=_given(cost),
            target_minutes=_given_or_none(target),
            needs=_given(dict(units)),
            treatment=_given(treatment),
            patience=_given_or_none(limit),
        )
        for level, (treatment, units, limit, cost, target) in enumerate(rows, start=1)
    )


def _spread(per_hour: float, hourly_share: Sequence[float] | None) -> Arrivals:
    """Spread arrivals over the day, evenly by default."""
    even = (1 / HOURS_PER_DAY,) * HOURS_PER_DAY
    return Arrivals(
        visits_per_day=_given(per_hour * HOURS_PER_DAY),
        hourly_share=_given(even if hourly_share is None else tuple(hourly_share)),
    )


def _given(value: T) -> Fact[T]:
    return Fact[T](value=value, basis="assumed", source="given by the caller")


def _given_or_none(value: T | None) -> Fact[T] | None:
    return None if value is None else _given(value)
