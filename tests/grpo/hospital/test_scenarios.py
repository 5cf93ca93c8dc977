"""Scenario files: what they must say, and that what they yield is what was published."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from grpo.environments.hospital.dispatch_rules import make_rule
from grpo.environments.hospital.laws import law_mean
from grpo.environments.hospital.scenario import (
    Scenario,
    compile_scenario,
    list_scenarios,
    load_scenario,
)
from grpo.environments.hospital.simulate import Outcome, simulate
from grpo.errors import InputError


def raw(name: str = "rural_hospital") -> dict[str, Any]:
    path = files("grpo.environments.hospital") / "scenarios" / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_the_built_in_scenarios_are_listed_and_others_refused_by_field() -> None:
    assert list_scenarios() == (
        "emergency_surge",
        "pediatric_hospital",
        "rural_hospital",
        "urban_hospital",
    )
    with pytest.raises(InputError, match=r"/environment/scenario.*rural_hospital"):
        load_scenario("mars_hospital")


@pytest.mark.parametrize("name", list_scenarios())
def test_every_number_says_where_it_comes_from(name: str) -> None:
    """Outside facts there are only names, levels and the schema's version."""

    def bare(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            if "basis" in value:
                assert len(value["source"]) > 10, path
                return []
            return [p for key, inner in value.items() for p in bare(inner, f"{path}/{key}")]
        if isinstance(value, list):
            return [p for n, inner in enumerate(value) for p in bare(inner, f"{path}/{n}")]
        return [path] if isinstance(value, int | float) and not isinstance(value, bool) else []

    numbers = {path.rsplit("/", 1)[-1] for path in bare(raw(name), "")}
    assert numbers == {"schema_version", "level"}


@pytest.mark.parametrize(
    ("name", "visits", "treatment_hours", "admitted", "load"),
    [
        ("rural_hospital", 25, 3.03, 0.142, 0.69),
        ("urban_hospital", 205, 2.99, 0.134, 0.78),
        ("pediatric_hospital", 164, 1.97, 0.092, 0.78),
        ("emergency_surge", 266.5, 2.99, 0.134, 1.01),
    ],
)
def test_means_over_all_patients_are_the_published_ones(
    name: str, visits: float, treatment_hours: float, admitted: float, load: float
) -> None:
    compiled = compile_scenario(load_scenario(name))
    rates = compiled.type_rates
    assert rates.sum() * 24 == pytest.approx(visits)
    assert compiled.hourly_rates.sum() == pytest.approx(visits)
    treatment = sum(rates * [law_mean(row) for row in compiled.stay_laws]) / rates.sum()
    assert treatment == pytest.approx(treatment_hours, abs=0.005)
    admission = (rates @ compiled.admission_probability) / rates.sum()
    assert admission == pytest.approx(admitted, abs=0.0005)
    beds = sum(rates * compiled.class_mean_stay[compiled.type_class]) / compiled.capacity[0]
    assert beds == pytest.approx(load, abs=0.01)


def test_bands_keep_the_mean_at_each_acuity_and_carry_the_difference_by_age() -> None:
    """Published factors by age: 0.8 / 1.0 / 1.25 of an adult; the bands come close to them."""
    compiled = compile_scenario(load_scenario("rural_hospital"))
    means = np.array([law_mean(row) for row in compiled.stay_laws])
    published = [3.0, 3.6, 3.4, 1.7, 1.1]
    age = compiled.attribute_values["age_group"]
    factors = np.array([0.8, 1.0, 1.25])
    for acuity, hours in enumerate(published, start=1):
        here = compiled.type_acuity == acuity
        rates = compiled.type_rates * here
        population = (rates @ factors[age]) / rates.sum()
        assert (rates @ means) / rates.sum() == pytest.approx(hours * population)
        by_age = [(rates * (age == a)) @ means / rates[age == a].sum() for a in range(3)]
        assert by_age[0] < by_age[1] < by_age[2]
        # Given acuity and band, age makes no difference.
        for band in (0, 1):
            assert np.ptp(means[here & (compiled.type_band == band)]) < 1e-12


def test_a_surge_is_the_urban_hospital_with_1_3_times_its_arrivals_and_dearer_leaving() -> None:
    surge, urban = raw("emergency_surge"), raw("urban_hospital")
    assert surge["arrivals"]["visits_per_day"]["value"] == pytest.approx(1.3 * 205)
    changed = {key for key in urban if surge[key] != urban[key]}
    assert changed == {"name", "title", "description", "arrivals", "costs"}
    assert surge["arrivals"]["hourly_share"] == urban["arrivals"]["hourly_share"]
    assert surge["costs"]["factor_beyond_target"] == urban["costs"]["factor_beyond_target"]
    for lump in ("leaving_hours", "diversion_hours"):
        assert surge["costs"][lump]["value"] == 2 * urban["costs"][lump]["value"]


def test_children_differ_by_age_in_bands_and_admission_only() -> None:
    """0.8 of an adult's treatment and a quarter long over all children, as in other hospitals."""
    scenario = load_scenario("pediatric_hospital")
    share = dict(zip(scenario.attribute("age_group").values, (0.12, 0.36, 0.3, 0.19), strict=False))
    assert scenario.treatment_factor is not None
    assert scenario.stay_bands is not None
    factor, long_share = scenario.treatment_factor.value, scenario.stay_bands.long_share.value
    assert sum(share[a] * factor[a] for a in share) / 0.97 == pytest.approx(0.8, abs=0.005)
    assert sum(share[a] * long_share[a] for a in share) / 0.97 == pytest.approx(0.25, abs=0.005)
    assert len({scenario.acuity_share.value[age] for age in share}) == 1
    assert sorted(share, key=factor.__getitem__) == ["toddler", "child", "infant", "adolescent"]
    assert sorted(share, key=long_share.__getitem__) == ["toddler", "child", "infant", "adolescent"]


@pytest.mark.parametrize(
    ("name", "minutes", "left"),
    [
        ("pediatric_hospital", (20, 32), (0.015, 0.032)),
        ("emergency_surge", (90, 150), (0.05, 0.12)),
    ],
)
def test_waits_first_come_first_served_are_plausible(
    name: str, minutes: tuple[float, float], left: tuple[float, float]
) -> None:
    """A rough count of one pool gives 32 min and 3.2% for 19 pediatric spaces.

    It is above ours as in the other hospitals (urban 26 against 21 min). With more work than the
    spaces can give, waits are bounded by those who leave: 1 to 2.5 hours, and more than the median
    hospital's 2.1%, about the worst ones' 10%.
    """
    compiled = compile_scenario(load_scenario(name))
    log = simulate(compiled, make_rule("fcfs", compiled), episodes=30, seed=5)
    assert minutes[0] <= 60 * log.wait_hours.mean() <= minutes[1]
    assert left[0] <= float((log.outcome == Outcome.LEFT).mean()) <= left[1]


def test_default_classes_are_acuity_and_band_and_age_joins_only_when_asked() -> None:
    blind = compile_scenario(load_scenario("rural_hospital"))
    assert blind.class_labels[:3] == ("ed.1.short", "ed.1.long", "ed.2.short")
    assert blind.num_classes == 10
    aware = compile_scenario(load_scenario("rural_hospital"), group_aware=True)
    assert aware.num_classes == 30
    assert "ed.3.long.elderly" in aware.class_labels
    assert blind.needs[:, 1].tolist() == [4, 4, 2, 2, 1, 1, 1, 1, 1, 1]


def test_simulated_arrivals_have_the_declared_mix() -> None:
    compiled = compile_scenario(load_scenario("urban_hospital"))
    log = simulate(compiled, make_rule("fcfs", compiled), episodes=20, seed=2)
    counts = np.bincount(log.type, minlength=compiled.num_types)
    expected = compiled.type_rates * 20 * 336
    assert np.all(np.abs(counts - expected) <= 4.5 * np.sqrt(expected) + 1)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("acuities", 0, "needs", "value"), {"ed_space": 6}, "needs 6 of ed_space"),
        (("acuities", 0, "needs", "value"), {"ward": 1}, "undeclared pools"),
        (("acuities", 0, "needs", "value"), {}, "at least one unit"),
        (("mix_by",), "sex", "mix_by must be one of"),
        (("acuity_share", "value", "adult"), [0.5, 0.4, 0.3, 0.2, 0.1], "add up to 1"),
        (("acuity_share", "value", "adult"), [0.5, 0.5], "one per acuity"),
        (("attributes", 0, "share", "value"), [0.5, 0.5], "one share for each"),
        (("stay_bands", "long_share", "value"), {"adult": 0.4}, "exactly the keys"),
        (("waiting_room", "value"), -1, "/waiting_room/value"),
        (("pools", 0, "capacity", "basis"), "guessed", "/pools/0/capacity/basis"),
        (("arrivals", "hourly_share", "value"), [0.1] * 23, "hourly_share"),
        (("acuities", 1, "level"), 3, "levels must be 1, 2, 3"),
        (("surprise",), 1, "/surprise"),
    ],
)
def test_an_inconsistent_scenario_is_refused(
    path: tuple[str | int, ...], value: Any, message: str
) -> None:
    data: Any = raw()
    inner = data
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(InputError) as refused:
        Scenario.parse(data)
    assert message in str(refused.value)
