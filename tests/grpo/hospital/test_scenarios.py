"""Scenario files: what they must say, and that what they yield is what was published."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from grpo.environments.hospital.compiling.laws import law_mean
from grpo.environments.hospital.review.offered_load import offered_load
from grpo.environments.hospital.review.scenario_review import review_scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import (
    compile_scenario,
    list_scenarios,
    load_scenario,
)
from grpo.environments.hospital.simulate import simulate
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
    ("name", "visits", "treatment_hours", "admitted"),
    [
        ("rural_hospital", 25, 3.03, 0.142),
        ("urban_hospital", 205, 2.99, 0.134),
        ("pediatric_hospital", 164, 1.97, 0.092),
    ],
)
def test_means_over_all_patients_are_the_published_ones(
    name: str, visits: float, treatment_hours: float, admitted: float
) -> None:
    compiled = compile_scenario(load_scenario(name))
    rates, stays = compiled.type_rates, compiled.laws.mean_stays[0]
    assert rates.sum() * 24 == pytest.approx(visits)
    assert compiled.hourly_rates.sum() == pytest.approx(7 * visits)  # by hour of the week
    assert rates @ stays / rates.sum() == pytest.approx(treatment_hours, abs=0.005)
    admission = compiled.routes[0].sum(axis=1)
    assert rates @ admission / rates.sum() == pytest.approx(admitted, abs=0.0005)


@pytest.mark.parametrize(
    ("name", "pool", "beds", "load"),
    [
        ("rural_hospital", "ward_bed", 12, 9.8),
        ("urban_hospital", "ward_bed", 142, 129),
        ("urban_hospital", "icu_bed", 16, 13.0),
        ("pediatric_hospital", "ward_bed", 54, 48.5),
        ("pediatric_hospital", "picu_bed", 12, 9.2),
    ],
)
def test_beds_are_as_full_as_they_were_counted(
    name: str, pool: str, beds: int, load: float
) -> None:
    """Loads of a count by hand, within 4%: ours has an hour of cleaning, and rounded stays."""
    found = {p.pool: p for p in offered_load(load_scenario(name)).pools}[pool]
    assert found.mean_staffed == beds
    assert found.mean_offered == pytest.approx(load, rel=0.04)


@pytest.mark.parametrize("name", list_scenarios())
def test_no_pool_is_asked_for_more_than_it_has_and_every_shift_meets_every_need(name: str) -> None:
    codes = {warning.code for warning in review_scenario(load_scenario(name)).warnings}
    assert codes <= {"overloaded_hours"}


def test_bands_keep_the_mean_at_each_acuity_and_carry_the_difference_by_age() -> None:
    """Published factors by age: 0.8 / 1.0 / 1.25 of an adult; the bands come close to them."""
    compiled = compile_scenario(load_scenario("rural_hospital"))
    means = np.array([law_mean(row) for row in compiled.laws.stays[0]])
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


def test_the_surge_is_the_urban_hospital_with_an_event_every_second_week() -> None:
    surge, urban = raw("emergency_surge"), raw("urban_hospital")
    changed = {key for key in surge if surge[key] != urban.get(key)}
    assert changed == {"name", "title", "description", "waiting_room", "surges"}
    (event,) = load_scenario("emergency_surge").surges
    assert (event.patients.value, event.duration_hours.value) == (150, 3)
    assert event.every_hours is not None
    assert event.every_hours.value == 2 * 168
    assert event.acuity_share.value["adult"] == (0.29, 0.25, 0.0, 0.46, 0.0)  # red, yellow, green
    steps = {(s.pool, s.after_minutes.value): s.units.value for s in event.capacity_steps}
    assert steps["nurse_unit", 75] == 44  # +100% after 75 min
    assert steps["ed_space", 30] == 16  # hallway
    # 16 -> 19 -> 32 beds of intensive care, 10 -> 14 ventilators, ward +20%
    assert [u for (pool, _), u in steps.items() if pool == "icu_bed"] == [3, 13]
    assert steps["ventilator", 120] == 4
    assert steps["ward_bed", 120] == round(0.2 * 142)
    # Two weeks' worth of 205 a day, and 150 once.
    rates = compile_scenario(load_scenario("emergency_surge")).type_rates
    assert rates.sum() * 336 == pytest.approx(14 * 205 + 150)


def test_children_differ_by_age_in_stays_admission_and_deterioration_only() -> None:
    """0.8 of an adult's treatment and a quarter long over all children, as in other hospitals."""
    scenario = load_scenario("pediatric_hospital")
    share = dict(zip(scenario.attribute("age_group").values, (0.12, 0.36, 0.3, 0.19), strict=False))
    assert scenario.treatment_factor is not None
    assert scenario.stay_bands is not None
    assert scenario.deterioration_factor is not None
    factor, long_share = scenario.treatment_factor.value, scenario.stay_bands.long_share.value
    assert sum(share[a] * factor[a] for a in share) / 0.97 == pytest.approx(0.8, abs=0.005)
    assert sum(share[a] * long_share[a] for a in share) / 0.97 == pytest.approx(0.25, abs=0.005)
    assert len({scenario.acuity_share.value[age] for age in share}) == 1
    assert sorted(share, key=factor.__getitem__) == ["toddler", "child", "infant", "adolescent"]
    assert sorted(share, key=long_share.__getitem__) == ["toddler", "child", "infant", "adolescent"]
    ward = scenario.stages[0]
    assert ward.stay_factor is not None
    assert len(set(ward.stay_factor.value.values())) == 5
    worse = scenario.deterioration_factor.value
    assert [age for age, factor in worse.items() if factor != 1] == ["infant"]
    assumed = {ward.stay_factor.basis, scenario.deterioration_factor.basis}
    assert assumed == {"assumed"}


def test_default_classes_are_acuity_and_band_and_age_joins_only_when_asked() -> None:
    blind = compile_scenario(load_scenario("rural_hospital"))
    assert blind.class_labels[:3] == ("ed.1.short", "ed.1.long", "ed.2.short")
    # 5 x 2 in the department, 5 for the ward, 3 for a transfer: acuities 4 and 5 never go there.
    assert blind.num_classes == 10 + 5 + 3
    assert blind.class_labels[10:] == (
        *(f"ward.{level}" for level in range(1, 6)),
        *(f"transfer.{level}" for level in range(1, 4)),
    )
    aware = compile_scenario(load_scenario("rural_hospital"), group_aware=True)
    assert aware.num_classes == 3 * 18
    assert "ed.3.long.elderly" in aware.class_labels
    assert blind.needs[:10, 1].tolist() == [4, 4, 2, 2, 1, 1, 1, 1, 1, 1]
    second = [label for label in blind.action_labels if ":" in label]
    assert second == [
        *(f"ed.{level}.{band}:short_staffed" for level in (1, 2) for band in ("short", "long")),
        *(f"ward.{level}:swing" for level in range(1, 6)),
    ]


def test_simulated_arrivals_have_the_declared_mix() -> None:
    compiled = compile_scenario(load_scenario("urban_hospital"))
    log = simulate(compiled, make_rule("fcfs", compiled), episodes=20, seed=2)
    counts = np.bincount(log.type, minlength=compiled.num_types)
    expected = compiled.type_rates * 20 * 336
    assert np.all(np.abs(counts - expected) <= 4.5 * np.sqrt(expected) + 1)
