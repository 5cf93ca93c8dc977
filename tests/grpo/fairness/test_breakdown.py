"""Parity, inequality and intersections as the report shows them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from grpo.fairness.assessment import assess_patients
from grpo.fairness.report import FairnessReport, Inequality, Parity, Value
from tests.grpo.fairness.records import HAND, LABELS, draw_patients, make_patients, make_provenance


@pytest.fixture(scope="module")
def by_hand() -> FairnessReport:
    acuity = np.array([row[2] for row in HAND]) * 2 + 1  # cells 0 and 1 hold acuities 1 and 3
    patients = replace(make_patients(HAND), acuity=acuity)
    provenance = make_provenance(episodes=2, merged_acuities=[[1], [3]])
    return assess_patients({"policy": patients}, LABELS, provenance)


def find(report: FairnessReport, name: str, acuities: tuple[int, ...] = ()) -> Parity:
    return next(p for p in report.policy.parity if (p.name, p.acuities) == (name, acuities))


def test_treatment_parity_is_judged_at_equal_acuity(by_hand: FairnessReport) -> None:
    # Seen: young 1 of 1 and 1 of 2, old 2 of 2 and 0 of 2. With the mix 1/4, 3/4: 5/8 and 1/4.
    overall = find(by_hand, "treatment")
    assert overall.rates == {"young": pytest.approx(5 / 8), "old": pytest.approx(1 / 4)}
    assert overall.difference.value == pytest.approx(3 / 8)
    assert overall.ratio.value == pytest.approx(2 / 5)
    assert find(by_hand, "treatment", (1,)).difference.value == 0
    assert find(by_hand, "treatment", (3,)).difference.value == pytest.approx(1 / 2)


def test_admission_parity_is_about_who_was_let_in(by_hand: FairnessReport) -> None:
    # One of the two old of acuity 3 was turned away: 1/4 + 3/4 * 1/2 = 5/8 against 1.
    assert find(by_hand, "admission").ratio.value == pytest.approx(5 / 8)


def test_equal_opportunity_is_about_the_urgent_alone(by_hand: FairnessReport) -> None:
    # Acuity 1, target 30 min: the young one was seen after 20; of the old after 5 and after 45.
    found = find(by_hand, "equal_opportunity", (1,))
    assert found.rates == {"young": 1, "old": 0.5}
    assert found.difference.value == pytest.approx(0.5)


def test_where_everybody_was_let_in_admission_is_at_parity_without_further_ado() -> None:
    report = assess_patients({"policy": draw_patients(5)}, LABELS, make_provenance())
    admissions = [p for p in report.policy.parity if p.name == "admission"]
    assert len(admissions) == 1
    assert admissions[0].difference == Value(value=0, low=0, high=0)
    assert admissions[0].ratio == Value(value=1, low=1, high=1)


def test_a_rate_difference_stands_beside_what_chance_shows() -> None:
    # 5% of patients leave whatever their group: about 400 patients a group, so the range of three
    # rates of standard error .011 is .018 on average; a doubled shuffle quantile is never reached.
    found = find(
        assess_patients({"policy": draw_patients(5)}, LABELS, make_provenance()), "treatment"
    )
    assert found.null_95 is not None
    assert found.difference.value is not None
    assert 0.015 < found.null_95 < 0.06
    assert found.difference.value < 2 * found.null_95


def test_raw_targets_leave_parity_standardised() -> None:
    raw = make_provenance(group_target="raw", judged_by="cost_per_patient")
    reports = [
        assess_patients({"policy": draw_patients(5)}, LABELS, facts)
        for facts in (raw, make_provenance())
    ]
    assert find(reports[0], "treatment") == find(reports[1], "treatment")


def test_inequality_between_two_groups_by_hand(by_hand: FairnessReport) -> None:
    # Judged costs 4.75 and 2.5, sum 7.25. Gini of two: 2.25 / (2 * 7.25); Jain: 7.25^2 over
    # 2 (4.75^2 + 2.5^2); Theil: mean of r ln r with r = x / 3.625.
    found = by_hand.policy.inequality
    assert isinstance(found, Inequality)
    assert found.gini.value == pytest.approx(2.25 / 14.5)
    assert found.jain.value == pytest.approx(7.25**2 / (2 * (4.75**2 + 2.5**2)))
    ratios = np.array([4.75, 2.5]) / 3.625
    assert found.theil.value == pytest.approx((ratios * np.log(ratios)).mean())


def test_groups_without_a_value_count_in_no_index() -> None:
    patients = make_patients(HAND, labels=("young", "old", "nobody"))
    report = assess_patients({"policy": patients}, LABELS, make_provenance(episodes=2))
    found = report.policy.inequality
    assert found is not None
    assert found.gini.value == pytest.approx(2.25 / 14.5)
    assert find(report, "treatment").rates["nobody"] is None
    assert find(report, "treatment").difference.value == pytest.approx(3 / 8)


def test_one_group_has_neither_parity_nor_inequality() -> None:
    rows = [(e, 0, c, 1.0 + e, 10.0, "s") for e in (0, 1) for c in (0, 1)]
    patients = make_patients(rows, labels=("all",))
    report = assess_patients({"policy": patients}, LABELS, make_provenance(episodes=2))
    assert report.policy.inequality is None
    assert all(p.difference == Value() and p.ratio == Value() for p in report.policy.parity)


def test_intersections_show_their_cells_and_name_what_they_withhold() -> None:
    patients = draw_patients(5)
    half = np.arange(patients.cost.size) % 2
    crossed = replace(
        patients,
        subgroup=np.where(patients.group == 2, -1, patients.group * 2 + half),
        subgroup_labels=("g0+f", "g0+m", "g1+f", "g1+m"),
        unjudged=(("g2+f", 7),),
    )
    report = assess_patients({"policy": crossed}, LABELS, make_provenance())
    shown = report.intersections
    assert shown is not None
    assert shown.withheld == ("g2+f (7)",)
    inside = (patients.group == 0) & (half == 1)
    assert shown.cells[1].count == inside.sum()
    by_acuity = [patients.cost[inside & (patients.cell == k)].mean() for k in (0, 1)]
    assert shown.cells[1].costs["policy"].value == pytest.approx(np.mean(by_acuity))
    assert any("g2+f (7)" in said for said in report.statements)


def test_reports_written_before_parity_existed_can_be_read() -> None:
    report = assess_patients({"policy": draw_patients(5)}, LABELS, make_provenance())
    old = json.loads(report.model_dump_json())
    del old["intersections"], old["rule_episodes"]
    for arm in old["arms"]:
        del arm["parity"], arm["inequality"]
        for outcome in (*arm["groups"], arm["everybody"]):
            del outcome["metrics"]["overtaken"], outcome["metrics"]["queue_jump_rate"]
    read = FairnessReport.parse(old)
    assert read.policy.gap == report.policy.gap
    assert read.policy.parity == ()
