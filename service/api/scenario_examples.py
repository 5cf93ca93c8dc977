"""Examples of answers about scenarios, for OpenAPI. Plain data."""

from __future__ import annotations

from typing import Any

from service.api.example_scenario import SCENARIO

SUMMARY: dict[str, Any] = {
    "name": "walk_in_clinic",
    "version": 2,
    "built_in": False,
    "owner": "triage-team",
    "created_at": "2026-11-22T14:05:00.120Z",
    "title": "A walk-in clinic",
    "description": "Four rooms and five nurses; residents of two districts, who come alike.",
    "pools": {"room": 4, "nurse": 5},
    "attributes": {"district": ["north", "south"]},
    "acuities": [
        {
            "level": 1,
            "target_minutes": 15.0,
            "cost_per_hour": 6.0,
            "needs": {"room": 1, "nurse": 2},
        }
    ],
    "predicted_stay_bands": ["short", "long"],
    "visits_per_day": 48.0,
    "urls": {"self": "/scenarios/walk_in_clinic?version=2"},
}
SCENARIOS: dict[str, Any] = {"data": [SUMMARY], "has_more": False, "next": None}
CHECK: dict[str, Any] = {
    "pools": [
        {
            "pool": "room",
            "mean_offered": 1.5,
            "mean_staffed": 4.0,
            "load": 0.375,
            "offered_by_hour": [0.0] * 168,
            "staffed_by_hour": [4.0] * 168,
        }
    ],
    "stages": [
        {
            "stage": "ed",
            "patients_per_day": 48.0,
            "mean_stay_hours": 0.75,
            "mean_occupancy": 1.5,
            "occupancy_by_hour": [0.0] * 168,
        }
    ],
    "surges": [],
    "warnings": [
        {
            "code": "overloaded_hours",
            "pointer": "/pools/0",
            "message": "room is asked for more than is staffed in 14 of 168 hours of the week, "
            "most on Mon 15-16 h: 4.31 of 4",
        }
    ],
}
DETAIL: dict[str, Any] = SUMMARY | {
    "document": SCENARIO,
    "facts": [
        {
            "pointer": "/pools/0/capacity",
            "basis": "assumed",
            "source": "Made up for this example.",
        }
    ],
    "basis_counts": {"sourced": 0, "computed": 0, "assumed": 17},
    "check": CHECK,
}
SUBMISSION = {"clinic": {"summary": "A walk-in clinic", "value": SCENARIO}}
