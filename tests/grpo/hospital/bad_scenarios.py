"""Mistakes that a scenario may hold, with the field that an error must name."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

from grpo.environments.hospital.scenario import starting_point
from tests.grpo.hospital.documents import fact
from tests.grpo.hospital.random_scenarios import random_scenario

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mistake:
    """A change that makes the starting point wrong.

    Attributes:
        name: what is wrong.
        path: what is set.
        value: to this.
        pointer: the field that the error names.
        words: some of its message.
        more: what else is set.
        everything: the document is one with every mechanism, not the starting point.
    """

    name: str
    path: Path
    value: Any
    pointer: str
    words: str
    more: tuple[tuple[Path, Any], ...] = ()
    everything: bool = False


def full_document() -> dict[str, Any]:
    """A hospital with surges, deterioration, triage error and all else, as plain data."""
    return dict(random_scenario(5, everything=True).model_dump(mode="json", exclude_none=True))


def good_document() -> dict[str, Any]:
    """The starting point as plain data, under a name of its own."""
    plain = starting_point().model_dump(mode="json", exclude_none=True)
    return copy.deepcopy(plain) | {"name": "mistaken"}


def bad_document(mistake: Mistake) -> dict[str, Any]:
    """A good document with the mistake."""
    document = full_document() if mistake.everything else good_document()
    for path, value in ((mistake.path, mistake.value), *mistake.more):
        inner: Any = document
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value
    return document


def route(origin: str, destination: str, chance: float) -> dict[str, Any]:
    """A route with one chance for all."""
    by_age = {age: [chance] * 3 for age in ("child", "adult", "elderly")}
    return {"origin": origin, "destination": destination, "probability": fact(by_age)}


def stage(name: str, *pools: str) -> dict[str, Any]:
    """A stage that may start on a unit of any of these pools, on a ward bed if none is given."""
    return {
        "name": name,
        "options": [
            {"name": f"in_{pool}", "needs": fact({pool: 1})} for pool in pools or ("ward_bed",)
        ],
        "stay": fact({"kind": "exponential", "mean_hours": 24.0}),
        "waiting_cost_per_hour": fact(1.0),
    }


VISITS: Path = ("arrivals", "visits_per_day", "value")
NEEDS: Path = ("acuities", 0, "needs", "value")
MISTAKES = [
    Mistake("negative rate", VISITS, -1.0, "/arrivals/visits_per_day/value", "greater"),
    Mistake("NaN rate", VISITS, math.nan, "/arrivals/visits_per_day/value", "finite"),
    Mistake("infinite rate", VISITS, math.inf, "/arrivals/visits_per_day/value", "finite"),
    Mistake("10^6 arrivals an hour", VISITS, 24e6, "/arrivals/visits_per_day/value", "100000"),
    Mistake(
        "negative hazard",
        ("acuities", 1, "deterioration_per_hour", "value"),
        -0.1,
        "/acuities/1/deterioration_per_hour/value",
        "greater",
    ),
    Mistake(
        "negative stay",
        ("acuities", 0, "treatment", "value"),
        {"kind": "lognormal", "mean_hours": -1.0, "cv": 1.0},
        "/acuities/0/treatment/value/mean_hours",
        "greater",
    ),
    Mistake(
        "unknown law",
        ("acuities", 0, "treatment", "value"),
        {"kind": "pareto", "mean_hours": 1.0},
        "/acuities/0/treatment/value/kind",
        "",
    ),
    Mistake(
        "zero capacity", ("pools", 0, "capacity", "value"), 0, "/pools/0/capacity/value", "greater"
    ),
    Mistake(
        "a plan above the capacity",
        ("pools", 0, "plan", "value"),
        [9] * 24,
        "/pools/0/plan/value/0",
        "ed_space",
    ),
    Mistake(
        "a plan of 23 hours",
        ("pools", 0, "plan", "value"),
        [8] * 23,
        "/pools/0/plan/value",
        "23",
    ),
    Mistake(
        "23 hourly shares",
        ("arrivals", "hourly_share", "value"),
        [1 / 23] * 23,
        "/arrivals/hourly_share/value",
        "24",
    ),
    Mistake(
        "hourly shares of 0.9",
        ("arrivals", "hourly_share", "value"),
        [0.9 / 24] * 24,
        "/arrivals/hourly_share/value",
        "0.9",
    ),
    Mistake(
        "six weekdays",
        ("arrivals", "weekday_factor", "value"),
        [1.0] * 6,
        "/arrivals/weekday_factor/value",
        "7",
    ),
    Mistake(
        "acuity shares of 1.1",
        ("acuity_share", "value", "adult"),
        [0.1, 0.7, 0.3],
        "/acuity_share/value/adult",
        "1.1",
    ),
    Mistake(
        "group shares of 0.9",
        ("attributes", 0, "share", "value"),
        [0.2, 0.5, 0.2],
        "/attributes/0/share/value",
        "0.9",
    ),
    Mistake(
        "needs above capacity",
        NEEDS,
        {"ed_space": 1, "nurse_unit": 15},
        "/acuities/0/needs/value/nurse_unit",
        "never has more than 14",
    ),
    Mistake("an unknown pool", NEEDS, {"bed": 1}, "/acuities/0/needs/value/bed", "bed"),
    Mistake("no needs", NEEDS, {}, "/acuities/0/needs/value", "at least one"),
    Mistake(
        "an unknown stage",
        ("routes",),
        [route("ed", "ward", 0.1), route("ed", "icu", 0.1)],
        "/routes/1/destination",
        "icu",
    ),
    Mistake(
        "routes above 1",
        ("routes", 0, "probability", "value", "adult"),
        [1.2, 0.1, 0.1],
        "/routes/0/probability/value/adult/0",
        "less than or equal to 1",
    ),
    Mistake(
        "a cycle without exit",
        ("routes",),
        [route("ed", "ward", 0.1), route("ward", "icu", 1.0), route("icu", "ward", 1.0)],
        "/routes",
        "a cycle needs an exit",
        more=((("stages",), [stage("ward"), stage("icu")]),),
    ),
    Mistake(
        "a stage that leads to itself",
        ("routes",),
        [route("ed", "ward", 0.1), route("ward", "ward", 0.1)],
        "/routes/1/destination",
        "ward",
    ),
    Mistake("two pools of one name", ("pools", 1, "name"), "ed_space", "/pools", "ed_space"),
    Mistake(
        "two values of one name",
        ("attributes", 0, "values"),
        ["child", "adult", "adult"],
        "/attributes/0/values",
        "adult",
    ),
    Mistake(
        "two attributes of one name",
        ("attributes", 1, "name"),
        "age_group",
        "/attributes",
        "age_group",
    ),
    Mistake("no group", ("attributes", 0, "values"), [], "/attributes/0/values", "1"),
    Mistake("an unknown attribute", ("mix_by",), "sex", "/mix_by", "age_group"),
    Mistake("a name with a control character", ("name",), "our\x00hospital", "/name", "pattern"),
    Mistake(
        "a title with a control character", ("title",), "Our\x1b[31m hospital", "/title", "pattern"
    ),
    Mistake(
        "a pool with a control character", ("pools", 0, "name"), "ed\n", "/pools/0/name", "pattern"
    ),
    Mistake("a gap in the levels", ("acuities", 1, "level"), 3, "/acuities/1/level", "1, 2, 3"),
    Mistake(
        "two shares for three acuities",
        ("acuity_share", "value", "adult"),
        [0.5, 0.5],
        "/acuity_share/value/adult",
        "one per acuity",
    ),
    Mistake(
        "a group left out",
        ("stay_bands", "long_share", "value"),
        {"adult": 0.4},
        "/stay_bands/long_share/value",
        "exactly the keys",
    ),
    Mistake("a guess", ("pools", 0, "capacity", "basis"), "guessed", "/pools/0/capacity/basis", ""),
    Mistake("a missing part", ("costs",), {}, "/costs/factor_beyond_target", "required"),
    Mistake("a number as text", VISITS, "40", "/arrivals/visits_per_day/value", "number"),
    *(
        Mistake(name, path, value, pointer, words, everything=True)
        for name, path, value, pointer, words in (
            (
                "a surge of a million an hour",
                ("surges", 0, "patients", "value"),
                1e5,
                "/surges/0/patients/value",
                "",
            ),
            (
                "an infinite stay",
                ("stages", 0, "stay", "value"),
                {"kind": "exponential", "mean_hours": math.inf},
                "/stages/0/stay/value/mean_hours",
                "finite",
            ),
            (
                "triage rows of 1.2",
                ("triage_error", "value", "old", 0),
                [0.6, 0.6, 0.0],
                "/triage_error/value/old/0",
                "1.2",
            ),
            ("a stage nobody comes to", ("routes",), [], "/stages/0/name", "no route"),
            (
                "a stage on an unknown pool",
                ("stages", 0, "options", 0, "needs", "value", "moon"),
                1,
                "/stages/0/options/0/needs/value/moon",
                "moon",
            ),
            (
                "a surge on an unknown pool",
                ("surges", 0, "capacity_steps", 0, "pool"),
                "moon",
                "/surges/0/capacity_steps/0/pool",
                "moon",
            ),
            (
                "a surge that overlaps itself",
                ("surges", 0, "every_hours", "value"),
                1.0,
                "/surges/0/every_hours/value",
                "",
            ),
            (
                "harm at falling hours",
                ("harm", "value", "hours"),
                [4.0, 1.0],
                "/harm/value/hours/1",
                "",
            ),
            (
                "falling quantiles",
                ("acuities", 0, "treatment", "value"),
                {"kind": "empirical", "quantile_hours": [2.0, 1.0]},
                "/acuities/0/treatment/value/quantile_hours/1",
                "",
            ),
            (
                "deterioration beyond the most urgent",
                ("acuities", 0, "deterioration_per_hour"),
                fact(0.1),
                "/acuities/0/deterioration_per_hour/value",
                "more urgent",
            ),
        )
    ),
    Mistake(
        "a stage that waits for the units of its own patients",
        ("routes",),
        [route("ed", "ward", 0.1), route("ward", "hostel", 0.5)],
        "/routes/1/destination",
        "nobody could ever go on",
        more=(
            (("stages",), [stage("ward"), stage("hostel")]),
            (("pools", 2, "capacity", "value"), 1),
        ),
    ),
]
