"""Random hospitals in which every mechanism is on or off by chance, from one seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from grpo.environments.hospital.scenario import Scenario


def fact(value: Any) -> dict[str, Any]:
    return {"value": value, "basis": "assumed", "source": "drawn at random"}


class Draw:
    """A generator with the few draws that a scenario needs."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def amount(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def shares(self, size: int) -> list[float]:
        return [float(share) for share in self.rng.dirichlet(np.ones(size))]

    def law(self, mean: float) -> dict[str, Any]:
        return self.law_of(mean * self.amount(0.5, 2.0), self.amount(0.3, 1.5))

    def stage_law(self, mean: float) -> dict[str, Any]:
        """Draw one of few laws: what is left of a stay is computed once for each."""
        return self.law_of(mean * round(self.amount(0.5, 2.0)), 0.4 + round(self.amount(0, 1)))

    def law_of(self, mean: float, cv: float) -> dict[str, Any]:
        laws: list[dict[str, Any]] = [
            {"kind": "exponential", "mean_hours": mean},
            {"kind": "lognormal", "mean_hours": mean, "cv": cv},
            {"kind": "gamma", "mean_hours": mean, "cv": cv},
            {"kind": "weibull", "mean_hours": mean, "cv": cv},
            {"kind": "constant", "hours": mean},
            {"kind": "empirical", "quantile_hours": [0.1 * mean, mean, 2 * mean]},
        ]
        return laws[self.whole(0, 5)]


def random_scenario(seed: int, *, everything: bool = False) -> Scenario:
    """Return a small hospital with one to three acuities, two groups and up to two later stages.

    Args:
        seed: decides everything.
        everything: switch every mechanism on.
    """
    draw = Draw(seed)
    on: Callable[[], bool] = (lambda: True) if everything else draw.chance
    levels, groups = draw.whole(2 if everything else 1, 3), ("young", "old")
    per_acuity = {group: draw.shares(levels) for group in groups}
    scenario: dict[str, Any] = {
        "name": "random",
        "title": "Random",
        "description": "Drawn at random.",
        "pools": _pools(draw, on),
        "waiting_room": fact(draw.whole(0, 12)),
        "arrivals": {
            "visits_per_day": fact(draw.amount(10, 90)),
            "hourly_share": fact(draw.shares(24)),
            "weekday_factor": fact([draw.amount(0.5, 2) for _ in range(7)]) if on() else None,
        },
        "attributes": [{"name": "age", "values": groups, "share": fact(draw.shares(2))}],
        "mix_by": "age",
        "acuity_share": fact(per_acuity),
        "acuities": [_acuity(draw, on, level) for level in range(1, levels + 1)],
        "costs": {
            "factor_beyond_target": fact(draw.amount(1, 3)),
            "leaving_hours": fact(draw.amount(0, 10)),
            "diversion_hours": fact(draw.amount(0, 10)),
            "deterioration_hours": fact(draw.amount(0, 5)),
            "cost_per_death": fact(draw.amount(0, 50)) if on() else None,
        },
        "review_minutes": fact(15.0),
    }
    if on():
        rows = {group: [draw.shares(levels) for _ in range(levels)] for group in groups}
        scenario["triage_error"] = fact(rows)
    if on():
        scenario["stay_bands"] = {
            "long_share": fact({group: draw.amount(0, 1) for group in groups}),
            "short_factor": fact(0.6),
        }
    if on():
        scenario |= _later_stages(draw, on, groups, levels)
    if on():
        scenario["surges"] = [_surge(draw, groups, levels)]
    return Scenario.model_validate(scenario)


def _pools(draw: Draw, on: Callable[[], bool]) -> list[dict[str, Any]]:
    beds, nurses = draw.whole(2, 6), draw.whole(3, 9)
    by_day = [beds if 8 <= hour < 20 else beds - 1 for hour in range(24)]
    by_week = [nurses if hour % 24 >= 6 else nurses - 1 for hour in range(168)]
    return [
        {
            "name": "bed",
            "capacity": fact(beds),
            "plan": fact(by_day) if on() else None,
            "turnaround": fact(draw.law(0.5)) if on() else None,
        },
        {
            "name": "nurse",
            "capacity": fact(nurses),
            "plan": fact(by_week) if on() else None,
        },
        {"name": "crew", "capacity": fact(draw.whole(1, 2))},
        {
            "name": "ward_bed",
            "capacity": fact(draw.whole(1, 4)),
            "turnaround": fact(draw.law(0.5)) if on() else None,
        },
    ]


def _acuity(draw: Draw, on: Callable[[], bool], level: int) -> dict[str, Any]:
    return {
        "level": level,
        "cost_per_hour": fact(draw.amount(0.1, 10)),
        "target_minutes": fact(draw.amount(0, 120)) if on() else None,
        "needs": fact({"bed": 1, "nurse": draw.whole(0, 2)}),
        "treatment": fact(draw.law(2.0)),
        "patience": fact(draw.law(3.0)) if on() else None,
        "options": [
            {"name": "hall", "needs": fact({"nurse": 1}), "cost_per_start": fact(draw.amount(0, 5))}
        ]
        if on()
        else [],
        "deterioration_per_hour": fact(draw.amount(0.05, 0.5)) if level > 1 and on() else None,
    }


def _later_stages(
    draw: Draw, on: Callable[[], bool], groups: tuple[str, ...], levels: int
) -> dict[str, Any]:
    def chances(most: float) -> dict[str, Any]:
        table = {group: [draw.amount(0, most) for _ in range(levels)] for group in groups}
        return fact(table)

    ward = {
        "name": "ward",
        "options": [
            {"name": "own", "needs": fact({"ward_bed": 1})},
            {"name": "over", "needs": fact({"nurse": 1}), "cost_per_start": fact(1.0)},
        ],
        "stay": fact(draw.stage_law(6.0)),
        "stay_factor": fact({group: draw.amount(0.5, 2) for group in groups}) if on() else None,
        "waiting_cost_per_hour": fact(draw.amount(0, 3)),
    }
    transfer = {
        "name": "transfer",
        "options": [{"name": "own", "needs": fact({"crew": 1})}],
        "stay": fact(draw.stage_law(1.0)),
        "waiting_cost_per_hour": fact(draw.amount(0, 3)),
        "outcome": "transferred",
    }
    routes = [
        {"origin": "ed", "destination": "ward", "probability": chances(0.5)},
        {"origin": "ed", "destination": "transfer", "probability": chances(0.3)},
        {"origin": "ward", "destination": "transfer", "probability": chances(0.3)},
    ]
    curve = {"hours": [1.0, 4.0], "added_probability": [0.0, 0.1]}
    return {"stages": [ward, transfer], "routes": routes, "harm": fact(curve) if on() else None}


def _surge(draw: Draw, groups: tuple[str, ...], levels: int) -> dict[str, Any]:
    steps = [
        {
            "pool": "nurse",
            "after_minutes": fact(draw.amount(0, 90)),
            "hours": fact(draw.amount(1, 5)),
            "units": fact(draw.whole(-2, 5)),
        }
    ]
    return {
        "name": "event",
        "first_hour": fact(draw.amount(0, 10)),
        "every_hours": fact(draw.amount(9, 20)),
        "duration_hours": fact(draw.amount(0.5, 3)),
        "patients": fact(draw.amount(0, 15)),
        "mix_share": fact(draw.shares(2)),
        "acuity_share": fact({group: draw.shares(levels) for group in groups}),
        "capacity_steps": steps,
    }
