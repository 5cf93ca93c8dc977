"""Tables and sentences of reports and decisions."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from grpo.fairness.assessment import assess_patients
from grpo.fairness.report import FairnessReport
from grpo.fairness.statements import format_interval
from service.demo import SHOWN, WAITING_ROOM
from service.rendering import (
    describe_decision,
    print_gaps,
    print_outcomes,
    print_parity,
    print_ranking,
    print_report,
)
from tests.grpo.fairness.records import LABELS, draw_patients, make_provenance

PATIENTS = {patient["id"]: patient for patient in WAITING_ROOM["patients"]}


@pytest.fixture(scope="module")
def report() -> FairnessReport:
    arms: dict[Any, Any] = {
        "policy": draw_patients(5, effect=1.0, level=0.8),
        "fcfs": draw_patients(5),
        "strict_acuity": draw_patients(6),
    }
    return assess_patients(arms, LABELS, make_provenance())


def make_console(width: int) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(width=width, file=file), file


@pytest.mark.parametrize("width", [80, 100, 120])
def test_tables_fit_the_width_and_line_up(report: FairnessReport, width: int) -> None:
    console, file = make_console(width)
    arms = dict(
        zip(("weight 0.5", "weight 0", "FCFS", "strict acuity"), [*report.arms] * 2, strict=False)
    )
    print_outcomes(console, arms, SHOWN)
    print_gaps(console, arms, "standardised_cost")
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in file.getvalue()
    title = next(line for line in lines if "weight 0.5" in line)
    for name in ("g0", "g1", "g2", "everybody"):
        rows = [line for line in lines if line.strip().startswith(f"{name} (")]
        assert len(rows) == len(SHOWN)
        # Columns are right-aligned: every row ends where the titles end.
        assert {len(row.rstrip()) for row in rows} == {len(title.rstrip())}


def test_intervals_are_shown_where_they_fit(report: FairnessReport) -> None:
    shown = []
    for width in (80, 110):
        console, file = make_console(width)
        arms = {name * 3: report.policy for name in "abcd"}
        print_outcomes(console, arms, ["standardised_cost"])
        shown.append("–" in file.getvalue())
    assert shown == [False, True]


def test_shares_are_shown_as_percentages(report: FairnessReport) -> None:
    console, file = make_console(80)
    print_outcomes(console, {"policy": report.policy}, ["left_unseen"])
    share = report.policy.everybody.metrics["left_unseen"].value
    assert share is not None
    assert f"{100 * share:.2f}" in file.getvalue()
    assert "left unseen, %" in file.getvalue()


def test_a_whole_report_prints_its_statements(report: FairnessReport) -> None:
    console, file = make_console(200)
    print_report(console, report, "rural_hospital")
    for statement in report.statements:
        assert statement.split(",")[0] in file.getvalue()


def test_parity_and_inequality_of_the_arms_stand_side_by_side(report: FairnessReport) -> None:
    console, file = make_console(200)
    print_parity(console, {arm.label: arm for arm in report.arms})
    lines = file.getvalue().splitlines()
    treatment = next(p for p in report.policy.parity if (p.name, p.acuities) == ("treatment", ()))
    row = next(line for line in lines if "care began, at equal acuity: difference" in line)
    assert format_interval(treatment.difference) in row
    assert report.policy.inequality is not None
    gini = next(line for line in lines if "Gini" in line)
    assert format_interval(report.policy.inequality.gini) in gini
    assert len([line for line in lines if "seen within target" in line]) == 2


def test_a_report_without_parity_prints_no_rows_of_it(report: FairnessReport) -> None:
    console, file = make_console(200)
    old = report.policy.model_copy(update={"parity": (), "inequality": None})
    print_parity(console, {"policy": old})
    assert "Gini" not in file.getvalue()
    assert "acuity" not in file.getvalue()


def test_a_decision_in_words() -> None:
    decision = {
        "assignments": [{"patient": "p04", "needs": {"ed_space": 1, "nurse_unit": 2}}],
        "hold": {
            "reason": "a space is kept for somebody urgent",
            "review_after_seconds": 900,
        },
        "warnings": ["more patients wait than in training"],
    }
    assert describe_decision(decision, PATIENTS) == [
        "Start p04 now (age 58, acuity 2, long stay expected, waiting 9 min): takes 1 ed space and "
        "2 nurse unit.",
        "Then hold: a space is kept for somebody urgent. Ask again at the latest in 15 min.",
        "Warning: more patients wait than in training",
    ]
    nobody: dict[str, Any] = {"assignments": [], "hold": None, "warnings": []}
    assert describe_decision(nobody, PATIENTS) == ["Start nobody now."]


def test_the_ranking_stands_beside_those_of_the_rules() -> None:
    ranking = [
        {"patient": patient, "waiting_minutes": PATIENTS[patient]["waiting_minutes"],
         "target_minutes": target, "feasible": True}
        for patient, target in (("p04", 10.0), ("p07", None))
    ]  # fmt: skip
    console, file = make_console(100)
    print_ranking(console, {"ranking": ranking}, PATIENTS)
    rows = [line.split() for line in file.getvalue().splitlines() if " p0" in line]
    # p04 (acuity 2, 9 min): only p08 (4 min) waits less, so 9th under FCFS; 1st by acuity.
    # p07 (acuity 5, 130 min) waits longest and is the least urgent.
    assert rows[0][-2:] == ["9.", "1."]
    assert rows[1][-2:] == ["1.", "10."]
    assert rows[1][7] == "–"


def test_the_waiting_room_is_more_than_the_spaces_hold() -> None:
    free = {resource["pool"]: resource["free"] for resource in WAITING_ROOM["resources"]}
    assert len(PATIENTS) == 10 > free["ed_space"]
    ages = {patient["age"] for patient in PATIENTS.values()}
    assert min(ages) < 18
    assert max(ages) > 65
