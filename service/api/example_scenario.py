"""A small hospital as a job may hold it, for OpenAPI. Plain data; its numbers are made up."""

from __future__ import annotations

from typing import Any


def _assumed(value: Any, source: str = "Made up for this example.") -> dict[str, Any]:
    """Write a value with its basis."""
    return {"value": value, "basis": "assumed", "source": source}


def _acuity(level: int, cost: float, target: float, nurses: int, hours: float) -> dict[str, Any]:
    """Write one level of urgency."""
    return {
        "level": level,
        "cost_per_hour": _assumed(cost),
        "target_minutes": _assumed(target),
        "needs": _assumed({"room": 1, "nurse": nurses}),
        "treatment": _assumed({"kind": "lognormal", "mean_hours": hours, "cv": 0.8}),
        "patience": _assumed({"kind": "exponential", "mean_hours": 20.0}),
    }


SCENARIO: dict[str, Any] = {
    "schema_version": 1,
    "name": "walk_in_clinic",
    "title": "A walk-in clinic",
    "description": "Four rooms and five nurses; residents of two districts, who come alike.",
    "pools": [
        {"name": "room", "capacity": _assumed(4)},
        {"name": "nurse", "capacity": _assumed(5)},
    ],
    "waiting_room": _assumed(40),
    "arrivals": {
        "visits_per_day": _assumed(48.0),
        "hourly_share": _assumed([0.0] * 8 + [0.1] * 8 + [0.05] * 4 + [0.0] * 4),
    },
    "attributes": [
        {
            "name": "district",
            "values": ["north", "south"],
            "protected": True,
            "share": _assumed([0.7, 0.3]),
        }
    ],
    "mix_by": "district",
    "acuity_share": _assumed({"north": [0.3, 0.7], "south": [0.4, 0.6]}),
    "acuities": [_acuity(1, 6.0, 15.0, 2, 1.2), _acuity(2, 1.0, 60.0, 1, 0.6)],
    "stay_bands": {
        "long_share": _assumed({"north": 0.3, "south": 0.5}),
        "short_factor": _assumed(0.7),
    },
    "costs": {
        "factor_beyond_target": _assumed(2.0),
        "leaving_hours": _assumed(14.0),
        "diversion_hours": _assumed(18.0),
    },
    "review_minutes": _assumed(15.0),
}
