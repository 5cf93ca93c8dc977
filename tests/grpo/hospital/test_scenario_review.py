"""Warnings with their numbers, origins, documents, and mistakes named at their fields."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from grpo.environments.hospital.event_trace import EVENT_NAMES, trace_episode
from grpo.environments.hospital.model.documents import format_document
from grpo.environments.hospital.model.provenance import count_bases, list_origins
from grpo.environments.hospital.review.scenario_review import (
    ScenarioWarning,
    busiest_hour,
    name_hour,
    review_scenario,
)
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import (
    Scenario,
    compile_scenario,
    list_scenarios,
    load_scenario,
    starting_point,
)
from grpo.errors import InputError
from tests.grpo.hospital.bad_scenarios import (
    MISTAKES,
    Mistake,
    bad_document,
    full_document,
    good_document,
    route,
    stage,
)
from tests.grpo.hospital.documents import fact


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_refused_at_its_field(mistake: Mistake) -> None:
    with pytest.raises(InputError) as refused:
        Scenario.parse(bad_document(mistake))
    issues = refused.value.issues
    assert mistake.pointer in {issue.pointer for issue in issues}, issues
    assert mistake.words in str(refused.value)


def test_the_documents_that_the_mistakes_are_made_in_are_accepted() -> None:
    for document in (good_document(), full_document()):
        Scenario.parse(document)


def changed(**values: Any) -> Scenario:
    document = good_document()
    for name, value in values.items():
        inner: Any = document
        *parts, last = name.split("__")
        for part in parts:
            inner = inner[int(part)] if part.isdigit() else inner[part]
        inner[last] = value
    return Scenario.parse(document)


def warnings_of(scenario: Scenario) -> dict[str, ScenarioWarning]:
    return {warning.code: warning for warning in review_scenario(scenario).warnings}


def test_the_starting_point_has_no_warning_and_compiles() -> None:
    assert warnings_of(starting_point()) == {}
    assert compile_scenario(starting_point()).num_types == 3 * 2 * 3 * 2


def test_more_work_than_staff_is_a_warning_with_the_numbers() -> None:
    review = review_scenario(changed(arrivals__visits_per_day__value=80.0))
    (space,) = (w for w in review.warnings if w.pointer == "/pools/0")
    pool = review.load.pools[0]
    assert space.code == "unstable"
    # (8 x 5 + 14 x 8 + 2 x 7) / 24 = 6.92
    assert f"asked for {pool.mean_offered:.2f} units on average and has 6.92" in space.message
    assert f"(load {pool.load:.2f})" in space.message
    assert pool.load == pytest.approx(
        2 * review_scenario(starting_point()).load.pools[0].load, rel=1e-9
    )
    assert "bounded only by those who leave" in space.message
    patient = changed(arrivals__visits_per_day__value=80.0, acuities__0__patience=None)
    assert "acuities 1 wait without limit" in warnings_of(patient)["unstable"].message


def test_hours_with_more_work_than_staff_are_named() -> None:
    warning = warnings_of(changed(pools__0__plan__value=[8] * 12 + [4] * 2 + [8] * 10))
    (found,) = warning.values()
    assert found.code == "overloaded_hours"
    assert "in 14 of 168 hours" in found.message  # two hours of each day
    assert "most on Mon 13-14 h" in found.message
    assert "of 4" in found.message


def test_needs_beyond_a_shift_are_named() -> None:
    found = warnings_of(changed(pools__1__plan__value=[1] * 6 + [14] * 18))["needs_above_plan"]
    assert found.pointer == "/acuities/0/needs/value/nurse_unit"
    assert "acuity 1 needs 2 of nurse_unit; in 42 of 168 hours" in found.message


def two_wards(first: str, *second: str, back: float) -> Scenario:
    """Two wards, on these pools, from the first to the second and, by chance, back."""
    return changed(
        pools=[*good_document()["pools"], *({"name": n, "capacity": fact(2)} for n in ("a", "b"))],
        stages=[stage("one", first), stage("other", *second)],
        routes=[route("ed", "one", 0.3), route("one", "other", 0.5), route("other", "one", back)],
    )


def test_wards_that_may_wait_for_each_other_for_ever_are_named_and_really_lock() -> None:
    locked = two_wards("a", "b", back=0.5)
    found = warnings_of(locked)["may_lock"]
    assert found.pointer == "/routes"
    assert found.message.startswith("one, other may lock")
    compiled = compile_scenario(locked)
    trace = trace_episode(compiled, make_rule("fcfs", compiled), seed=1, horizon_hours=4000)
    last = {name: trace.hours[trace.kind == n].max() for n, name in enumerate(EVENT_NAMES[:6])}
    assert last["started"] < 1000
    assert max(last["arrived"], last["diverted"], last["left"]) > 3900


def test_wards_lock_on_one_pool_too_but_not_without_a_way_back_on_pools_of_their_own() -> None:
    assert "other may lock" in warnings_of(two_wards("a", "a", back=0.0))["may_lock"].message
    assert "may_lock" not in warnings_of(two_wards("a", "a", "b", back=0.0))
    assert "may_lock" not in warnings_of(two_wards("a", "b", back=0.0))
    for name in list_scenarios():
        assert "may_lock" not in warnings_of(load_scenario(name))


def test_hours_have_names() -> None:
    assert [name_hour(h) for h in (0, 23, 24, 167)] == [
        "Mon 0-1 h",
        "Mon 23-24 h",
        "Tue 0-1 h",
        "Sun 23-24 h",
    ]
    pool = review_scenario(starting_point()).load.pools[0]
    share = pool.offered / pool.staffed
    assert share[busiest_hour(pool)] == share.max()


@pytest.mark.parametrize("name", [*list_scenarios(), ""])
def test_every_value_of_a_document_has_its_origin(name: str) -> None:
    scenario = load_scenario(name) if name else starting_point()
    origins = list_origins(scenario)
    document = scenario.model_dump(mode="json", exclude_none=True)
    assert len(origins) == json.dumps(document).count('"basis"')
    assert sum(count_bases(origins).values()) == len(origins)
    for origin in origins:
        inner: Any = document
        for part in origin.pointer.split("/")[1:]:
            inner = inner[int(part)] if isinstance(inner, list) else inner[part]
        assert (inner["basis"], inner["source"]) == (origin.basis, origin.source)


def test_documents_keep_their_data_and_break_only_long_lines() -> None:
    data = {"a": [1, 2.5, None], "b": {"c": "é" * 150, "d": []}, "e": list(range(60))}
    text = format_document(data)
    assert json.loads(text) == data
    assert text.endswith("}\n")
    assert '"a": [1, 2.5, null]' in text
    assert max(map(len, text.splitlines())) < 170
    # {, a, b {, c, d, }, e [, 0 to 33 and more, the rest, ], }
    assert len(text.splitlines()) == 11
    with pytest.raises(ValueError, match="not JSON compliant"):
        format_document({"a": math.nan})
