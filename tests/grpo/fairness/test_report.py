"""The report: what it says, what it refuses to say, and how two reports pair."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grpo.errors import InputError, ShapeError, SimulationError
from grpo.fairness.assembly import give_verdict
from grpo.fairness.assessment import assess_episodes, assess_patients
from grpo.fairness.by_group import ratio_metrics
from grpo.fairness.compare import compare_reports, name_objective
from grpo.fairness.report import FairnessReport, Value
from grpo.fairness.statements import format_interval, format_number
from tests.grpo.fairness.records import HAND, LABELS, draw_patients, make_patients, make_provenance

ROOT = Path(__file__).resolve().parents[3]


def make_report(*, effect: float = 0.0, level: float = 0.8, weight: float = 0.5) -> FairnessReport:
    """Judge a policy against a rule that makes everybody wait longer."""
    arms = {
        "policy": draw_patients(5, effect=effect, level=level),
        "fcfs": draw_patients(5, level=1.0),
    }
    provenance = make_provenance(group_robustness_weight=weight)
    return assess_patients(arms, LABELS, provenance)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def alike() -> FairnessReport:
    return make_report()


@pytest.fixture(scope="module")
def unequal() -> FairnessReport:
    return make_report(effect=1.0, weight=0.0)


def test_a_report_survives_json_unchanged(unequal: FairnessReport) -> None:
    assert FairnessReport.model_validate_json(unequal.model_dump_json()) == unequal
    assert FairnessReport.parse(json.loads(unequal.model_dump_json())) == unequal


def test_the_report_holds_the_values_by_group(unequal: FairnessReport) -> None:
    patients = draw_patients(5, effect=1.0, level=0.8)
    for name, estimate in ratio_metrics(patients).items():
        shown = [o.metrics[name].value for o in (*unequal.policy.groups, unequal.policy.everybody)]
        assert shown == pytest.approx(list(estimate.value))
    assert [o.count for o in unequal.policy.groups] == list(np.bincount(patients.group))
    assert unequal.policy.worst_group == "g2"


def test_every_interval_holds_its_value(unequal: FairnessReport) -> None:
    for arm in unequal.arms:
        for outcome in (*arm.groups, arm.everybody):
            for value in outcome.metrics.values():
                assert value.low is not None
                assert value.value is not None
                assert value.high is not None
                assert value.low <= value.value <= value.high


def test_intervals_stay_within_what_is_possible() -> None:
    # 3 of 3 left in one episode, 0 of 1 in the other. Contributions 3/4 + (3 - 9/4)/2 = 1.125 and
    # 3/4 + (0 - 3/4)/2 = .375: standard error .375, t = 12.7062. The linear interval would reach
    # beyond 0 and 1; with odds of 3 to 1, of which the slope is 1 / (3/4 * 1/4), the odds do not.
    rows = [(0, 0, 0, 1.0, 9.0, "l")] * 3 + [(1, 0, 0, 0.0, 9.0, "s")] * 1
    patients = make_patients(rows, labels=("all",), mix=(1.0,))
    report = assess_patients({"policy": patients}, LABELS, make_provenance(episodes=2))
    left = report.policy.everybody.metrics["left_unseen"]
    assert left.value == pytest.approx(3 / 4)
    factor = math.exp(12.706204736 * 0.375 / (3 / 16))
    assert left.low == pytest.approx(3 / factor / (1 + 3 / factor))
    assert left.high == pytest.approx(3 * factor / (1 + 3 * factor))


def test_differences_are_policy_minus_rule(unequal: FairnessReport) -> None:
    fcfs = unequal.arm("fcfs")
    assert fcfs is not None
    for difference in unequal.differences:
        place = [*unequal.groups, "everybody"].index(difference.group)
        ours = [*unequal.policy.groups, unequal.policy.everybody][place].metrics[difference.metric]
        theirs = [*fcfs.groups, fcfs.everybody][place].metrics[difference.metric]
        assert ours.value is not None
        assert theirs.value is not None
        assert difference.value == pytest.approx(ours.value - theirs.value)


def test_no_disparity_is_claimed_where_labels_mean_nothing(alike: FairnessReport) -> None:
    assert alike.policy.gap.beyond_null is False
    assert "no disparity to close" in alike.statements[0]


def test_a_disparity_is_named_where_one_group_pays_twice(unequal: FairnessReport) -> None:
    assert unequal.policy.gap.beyond_null is True
    assert "beyond the" in unequal.statements[0]
    assert "no disparity" not in unequal.statements[0]


def test_a_policy_that_shortens_every_wait_is_said_to_cost_less(alike: FairnessReport) -> None:
    # Every cost is .8 of the rule's, patient by patient, so the whole interval lies below zero.
    assert any("Cost per patient against FCFS: lower" in s for s in alike.statements)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.2, "higher"),
        (-0.2, -0.1, "lower"),
        (-0.1, 0.2, "not distinguishable"),
        (0.0, 0.0, "not distinguishable"),
        (None, None, "not known"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero(
    low: float | None, high: float | None, verdict: str
) -> None:
    assert give_verdict(Value(value=0.1, low=low, high=high)) == verdict


def test_an_identical_arm_is_not_distinguishable() -> None:
    patients = draw_patients(5)
    report = assess_patients({"policy": patients, "fcfs": patients}, LABELS, make_provenance())
    assert {d.verdict for d in report.differences} == {"not distinguishable"}
    assert {d.value for d in report.differences} == {0.0}


def test_a_group_that_nobody_belongs_to_is_stated_and_is_null_in_json() -> None:
    patients = make_patients(HAND, labels=("young", "old", "nobody"))
    provenance = make_provenance(episodes=2)
    report = assess_patients({"policy": patients}, LABELS, provenance)
    empty = report.policy.groups[2]
    assert empty.count == 0
    assert all(value == Value() for value in empty.metrics.values())
    assert any("Nobody belonged to nobody" in s for s in report.statements)
    assert "NaN" not in report.model_dump_json()
    # The gap is that of the groups with patients: 4.75 - 2.5.
    assert report.policy.gap.value == pytest.approx(2.25)


def test_one_group_only_has_no_gap_and_says_so() -> None:
    rows = [(e, 0, c, 1.0 + e, 10.0, "s") for e in (0, 1) for c in (0, 1)]
    patients = make_patients(rows, labels=("all",))
    report = assess_patients({"policy": patients}, LABELS, make_provenance(episodes=2))
    assert report.policy.gap.value is None
    assert report.policy.gap.beyond_null is None
    assert any("One group only" in s for s in report.statements)


def test_what_limits_the_numbers_is_said() -> None:
    report = assess_patients({"policy": make_patients(HAND)}, LABELS, make_provenance(episodes=2))
    said = " ".join(report.statements)
    assert "Still waiting at the end (trained policy 1 of 7 patients)" in said
    assert "Turned away because the place was full: trained policy 1" in said
    assert "Acuities standardised as one because they are sparse: 1 and 2." in said
    assert "do not cover training with another seed" in said


def test_arms_with_other_patients_are_refused() -> None:
    arms = {"policy": draw_patients(5), "fcfs": draw_patients(5, patients=1_100)}
    with pytest.raises(SimulationError, match="other patients"):
        assess_patients(arms, LABELS, make_provenance())  # type: ignore[arg-type]


def test_raw_targets_are_judged_by_the_cost_as_it_comes() -> None:
    patients = draw_patients(5)
    provenance = make_provenance(group_target="raw", judged_by="cost_per_patient")
    report = assess_patients({"policy": patients}, LABELS, provenance)
    costs = ratio_metrics(patients)["cost_per_patient"].value[:3]
    assert report.policy.gap.value == pytest.approx(costs.max() - costs.min())


def test_episodes_are_judged_by_their_returns() -> None:
    # Group a: returns 1 and 3, mean 2; group b: 6. The worst group is the one that earns least.
    membership = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    report = assess_episodes(
        np.array([1.0, 3.0, 6.0]),
        membership,
        ("a", "b"),
        make_provenance(judged_by="mean_return", episodes=3),
    )
    assert report.kind == "episodes"
    values = [outcome.metrics["mean_return"].value for outcome in report.policy.groups]
    assert values == pytest.approx([2, 6])
    assert report.policy.everybody.metrics["mean_return"].value == pytest.approx(10 / 3)
    assert report.policy.worst_group == "a"
    assert report.policy.gap.value == pytest.approx(4)
    assert FairnessReport.model_validate_json(report.model_dump_json()) == report


def test_shared_episodes_count_by_share_and_have_no_null() -> None:
    # Group a: (1 * 2 + .5 * 4) / 1.5 = 8/3; group b: 4.
    report = assess_episodes(
        np.array([2.0, 4.0]),
        np.array([[1.0, 0.0], [0.5, 0.5]]),
        ("a", "b"),
        make_provenance(judged_by="mean_return", episodes=2),
    )
    values = [outcome.metrics["mean_return"].value for outcome in report.policy.groups]
    assert values == pytest.approx([8 / 3, 4])
    assert report.policy.gap.null_95 is None


def test_returns_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="/returns/1: the episode's rewards"):
        assess_episodes(np.array([1.0, np.nan]), np.ones((2, 1)), ("a",), make_provenance())
    with pytest.raises(ShapeError, match=r"\[E, G\]"):
        assess_episodes(np.ones(2), np.ones((3, 1)), ("a",), make_provenance())


def test_two_reports_pair_by_episode(alike: FairnessReport, unequal: FairnessReport) -> None:
    found = compare_reports(alike, unequal, label="robust", against_label="plain")
    fair, unfair = draw_patients(5, level=0.8), draw_patients(5, effect=1.0, level=0.8)
    expected = (
        ratio_metrics(fair)["standardised_cost"].value
        - ratio_metrics(unfair)["standardised_cost"].value
    )
    assert [v.value for v in found.groups.values()] == pytest.approx(list(expected[:3]))
    # g0 and g1 wait exactly the same under both: nothing may be claimed about them.
    assert found.groups["g0"].low == pytest.approx(0, abs=1e-12)
    assert found.worst_group.high is not None
    assert found.worst_group.high < 0
    assert any("narrower" in s and "worst group gained" in s for s in found.statements)


def test_the_objective_mixes_everybody_and_the_worst_group_by_the_weight(
    alike: FairnessReport, unequal: FairnessReport
) -> None:
    weighed = alike.provenance.model_copy(update={"group_robustness_weight": 0.25})
    found = compare_reports(alike.model_copy(update={"provenance": weighed}), unequal)
    everybody, worst = found.everybody.value, found.worst_group.value
    assert everybody is not None
    assert worst is not None
    assert found.objective.value == pytest.approx(0.75 * everybody + 0.25 * worst)
    assert "0.75 everybody + 0.25 worst group, the objective" in found.statements[-1]


def test_only_methods_whose_objective_is_the_worst_group_are_said_to_have_it() -> None:
    made = make_provenance()
    assert name_objective(made) == "the objective"
    other = made.model_copy(update={"method": "cvar"})
    assert name_objective(other) == "not the objective, which is that of cvar"
    regret = made.model_copy(update={"group_baseline": "regret"})
    assert "not the objective, which is that of softmin of regret" in name_objective(regret)


def test_where_the_baseline_shows_no_disparity_none_is_claimed_closed(
    alike: FairnessReport, unequal: FairnessReport
) -> None:
    said = " ".join(compare_reports(unequal, alike).statements)
    assert "no disparity to close" in said
    assert "narrower" not in said


def test_levelling_down_is_called_no_improvement() -> None:
    # Everybody pays what only g2 paid before: the gap closes and nobody gains.
    plain = make_report(effect=1.0)
    level = assess_patients({"policy": draw_patients(5, level=1.7)}, LABELS, make_provenance())
    said = " ".join(compare_reports(level, plain).statements)
    assert "levelling down is no improvement" in said
    assert "worst group gained" not in said


def test_a_report_against_itself_is_not_distinguishable(unequal: FairnessReport) -> None:
    found = compare_reports(unequal, unequal)
    assert (found.gap.value, found.gap.low, found.gap.high) == (0, 0, 0)
    assert "The gaps are not distinguishable" in found.statements[-1]


def test_reports_in_which_no_group_has_patients_pair_without_claims() -> None:
    rows = [(e, 0, c, 1.0, 10.0, "s") for e in (0, 1) for c in (0, 1)]
    one = assess_patients(
        {"policy": make_patients(rows, labels=("all",))}, LABELS, make_provenance(episodes=2)
    )
    found = compare_reports(one, one)
    assert found.gap == Value()
    sparse = make_patients(rows[:1] + rows[2:3], labels=("all",))  # the second acuity is empty
    unknown = assess_patients({"policy": sparse}, LABELS, make_provenance(episodes=2))
    assert compare_reports(unknown, unknown).worst_group == Value()
    assert any("an acuity cell stayed empty" in s for s in unknown.statements)


def test_reports_on_other_patients_do_not_pair(alike: FairnessReport) -> None:
    moved = alike.provenance.model_copy(update={"evaluation_seed": 8})
    with pytest.raises(InputError, match="/provenance/evaluation_seed: differs"):
        compare_reports(alike, alike.model_copy(update={"provenance": moved}))
    with pytest.raises(InputError, match="/against/policy_episodes"):
        compare_reports(alike, alike.model_copy(update={"policy_episodes": None}))


def test_numbers_are_written_with_three_digits() -> None:
    assert [format_number(x) for x in (123.4, 12.34, 1.234, 0.1234, None)] == [
        "123",
        "12.3",
        "1.23",
        "0.123",
        "–",
    ]
    assert format_interval(Value(value=1.0, low=0.5, high=2.0), signed=True) == (
        "+1.00 (+0.500 to +2.00)"
    )
    assert format_interval(Value()) == "–"


def test_reading_a_report_needs_neither_numpy_nor_scipy_nor_torch() -> None:
    code = "import grpo.fairness.report, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {"numpy", "scipy", "torch", "numba"} & set(done.stdout.split())


def test_no_fairness_is_claimed_where_everybody_gained_but_not_the_worst_group() -> None:
    # g0 and g1 wait a third of what they waited, g2 (the rule's worst by 1.4) as long as before.
    rule = draw_patients(5, effect=0.4)
    share = np.where(rule.group == 2, 1.0, 1 / 3)
    policy = replace(rule, cost=rule.cost * share, wait_hours=rule.wait_hours * share)
    report = assess_patients({"policy": policy, "fcfs": rule}, LABELS, make_provenance())
    said = " ".join(report.statements)
    assert "Cost per patient against FCFS: lower" in said
    assert "no improvement in fairness is claimed" in said
    gained = assess_patients(
        {"policy": draw_patients(5, level=0.5), "fcfs": draw_patients(5)}, LABELS, make_provenance()
    )
    assert "no improvement in fairness" not in " ".join(gained.statements)


def test_deaths_are_reported_where_the_patients_carry_them() -> None:
    patients = draw_patients(5)
    risk = np.minimum(patients.wait_hours / 100, 1.0)
    with_harm = replace(patients, expected_deaths=risk)
    report = assess_patients({"policy": with_harm}, LABELS, make_provenance())
    shown = report.policy.everybody.metrics["deaths_per_thousand"].value
    assert shown == pytest.approx(1_000 * risk.mean())
    without = assess_patients({"policy": patients}, LABELS, make_provenance())
    assert "deaths_per_thousand" not in without.policy.everybody.metrics
    with pytest.raises(InputError, match="/expected_deaths: 1200 patients"):
        replace(patients, expected_deaths=risk + 2)
