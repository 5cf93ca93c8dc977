"""Scenarios that contradict themselves: each is refused with the field that is wrong, at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from grpo.environments.hospital.scenario import Scenario
from grpo.errors import InputError
from tests.grpo.hospital.random_scenarios import random_scenario

Change = Callable[[dict[str, Any]], None]


def everything() -> dict[str, Any]:
    return dict(random_scenario(5, everything=True).model_dump(mode="json"))


def put(*path: str | int, value: Any) -> Change:
    def change(scenario: dict[str, Any]) -> None:
        place: Any = scenario
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def cycle(scenario: dict[str, Any]) -> None:
    ones = [1.0] * len(scenario["acuities"])
    sure = dict.fromkeys(("young", "old"), ones)
    fact = {"value": sure, "basis": "assumed", "source": "x"}
    scenario["routes"] = [
        {"origin": origin, "destination": destination, "probability": fact}
        for origin, destination in (("ed", "ward"), ("ward", "transfer"), ("transfer", "ward"))
    ]


def too_likely(scenario: dict[str, Any]) -> None:
    for route in scenario["routes"]:
        chances = route["probability"]["value"]
        chances["old"] = [0.6] * len(scenario["acuities"])


def twice(name: str) -> Change:
    def change(scenario: dict[str, Any]) -> None:
        scenario[name].append(scenario[name][0])

    return change


REFUSED: list[tuple[str, Change, str]] = [
    ("negative rate", put("arrivals", "visits_per_day", "value", value=-1.0),
     "/arrivals/visits_per_day/value"),
    ("NaN rate", put("arrivals", "visits_per_day", "value", value=math.nan),
     "/arrivals/visits_per_day/value"),
    ("a million an hour", put("arrivals", "visits_per_day", "value", value=24e6),
     "/arrivals/visits_per_day/value"),
    ("a surge of a million an hour", put("surges", 0, "patients", "value", value=1e5),
     "/surges/0/patients/value"),
    ("negative hazard", put("acuities", 1, "deterioration_per_hour", "value", value=-0.1),
     "/acuities/1/deterioration_per_hour/value"),
    ("infinite stay", put("stages", 0, "stay", "value",
                          value={"kind": "exponential", "mean_hours": math.inf}),
     "/stages/0/stay/value/mean_hours"),
    ("zero capacity", put("pools", 0, "capacity", "value", value=0), "/pools/0/capacity/value"),
    ("a plan of 23 hours", put("pools", 0, "plan", "value", value=[1] * 23),
     "/pools/0/plan/value"),
    ("a plan above the capacity", put("pools", 0, "plan", "value", value=[1] * 23 + [99]),
     "/pools/0/plan/value/23"),
    ("23 hourly shares", put("arrivals", "hourly_share", "value", value=[1 / 23] * 23),
     "/arrivals/hourly_share/value"),
    ("six weekdays", put("arrivals", "weekday_factor", "value", value=[1.0] * 6),
     "/arrivals/weekday_factor/value"),
    ("shares of 0.9", put("arrivals", "hourly_share", "value", value=[0.9 / 24] * 24),
     "/arrivals/hourly_share/value"),
    ("shares of too few acuities", put("acuity_share", "value", "old", value=[1.0]),
     "/acuity_share/value/old"),
    ("triage rows of 1.2", put("triage_error", "value", "old", 0, value=[0.6, 0.6]),
     "/triage_error/value/old/0"),
    ("routes above 1", too_likely, "/routes"),
    ("a route to nowhere", put("routes", 2, "destination", value="moon"),
     "/routes/2/destination"),
    ("a cycle without exit", cycle, "/routes"),
    ("a stage that leads to itself", put("routes", 2, "destination", value="ward"),
     "/routes/2/destination"),
    ("a stage nobody comes to", lambda s: s["routes"].clear(), "/stages/0/name"),
    ("needs above capacity", put("acuities", 0, "needs", "value", "bed", value=99),
     "/acuities/0/needs/value/bed"),
    ("an unknown pool", put("stages", 0, "options", 0, "needs", "value", "moon", value=1),
     "/stages/0/options/0/needs/value/moon"),
    ("no needs at all", put("acuities", 0, "needs", "value", value={"bed": 0}),
     "/acuities/0/needs/value"),
    ("a surge on an unknown pool", put("surges", 0, "capacity_steps", 0, "pool", value="moon"),
     "/surges/0/capacity_steps/0/pool"),
    ("a surge that overlaps itself", put("surges", 0, "every_hours", "value", value=1.0),
     "/surges/0/every_hours/value"),
    ("a pool twice", twice("pools"), "/pools"),
    ("a stage twice", twice("stages"), "/stages"),
    ("an attribute twice", twice("attributes"), "/attributes"),
    ("a value twice", put("attributes", 0, "values", value=["old", "old"]),
     "/attributes/0/values"),
    ("no groups", put("attributes", value=[]), "/attributes"),
    ("no values", put("attributes", 0, "values", value=[]), "/attributes/0/values"),
    ("a control character in a title", put("title", value="bell\x07"), "/title"),
    ("a control character in a name", put("pools", 0, "name", value="bed\x00"),
     "/pools/0/name"),
    ("a falling harm curve's hours", put("harm", "value", "hours", value=[4.0, 1.0]),
     "/harm/value/hours/1"),
    ("falling quantiles", put("acuities", 0, "treatment", "value",
                              value={"kind": "empirical", "quantile_hours": [2.0, 1.0]}),
     "/acuities/0/treatment/value/quantile_hours/1"),
    ("deterioration beyond the most urgent",
     put("acuities", 0, "deterioration_per_hour",
         value={"value": 0.1, "basis": "assumed", "source": "x"}),
     "/acuities/0/deterioration_per_hour/value"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "pointer"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_contradiction_is_refused_at_its_field_and_at_once(change: Change, pointer: str) -> None:
    scenario = everything()
    change(scenario)
    started = time.monotonic()
    with pytest.raises(InputError) as refused:
        Scenario.parse(scenario)
    assert pointer in [issue.pointer for issue in refused.value.issues]
    assert time.monotonic() - started < 5.0


def test_the_scenario_that_the_changes_start_from_is_accepted() -> None:
    Scenario.parse(everything())
