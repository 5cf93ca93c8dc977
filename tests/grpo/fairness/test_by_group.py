"""Outcomes by group from records of patients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.errors import InputError, ShapeError
from grpo.fairness.by_group import Patients, p90_waits, ratio_metrics, waits_by_group
from tests.grpo.fairness.records import HAND, draw_patients, make_patients


def test_outcomes_by_hand() -> None:
    values = {name: e.value for name, e in ratio_metrics(make_patients(HAND)).items()}
    # Costs: young 10 + 2 + 4 = 16 of 3, old 6 + 2 + 1 + 3 = 12 of 4, everybody 28 of 7.
    assert values["cost_per_patient"] == pytest.approx([16 / 3, 3, 4])
    # Mix 1/4, 3/4. Young: 10/1 and (2 + 4)/2 = 3 -> 2.5 + 2.25 = 4.75.
    # Old: (6 + 2)/2 = 4 and (1 + 3)/2 = 2 -> 1 + 1.5 = 2.5. Everybody: 18/3 and 10/4 -> 3.375.
    assert values["standardised_cost"] == pytest.approx([4.75, 2.5, 3.375])
    # Waits: young (20 + 60 + 90)/3, the one who left included. Old: the diverted one not; one of
    # three ends at 5, one is censored at 10, the last ends at 45: 5 + 2/3 * 40 = 95/3. Everybody
    # (5, 10+, 20, 45, 60, 90): 5 + 5/6 * 15 + 5/6 (3/4 * 25 + 2/4 * 15 + 1/4 * 30) = 365/8.
    assert values["mean_wait_minutes"] == pytest.approx([170 / 3, 95 / 3, 365 / 8])
    # Target 30 min. Young: 1 of 3. Old: 1 of 3, since who still waits after 10 min is not known.
    assert values["share_within_target"] == pytest.approx([1 / 3, 1 / 3, 2 / 6])
    assert values["left_unseen"] == pytest.approx([1 / 3, 0, 1 / 7])


def test_who_still_waits_beyond_the_target_was_not_seen_in_time() -> None:
    rows = [(0, 0, 0, 1.0, 5.0, "s"), (1, 0, 0, 1.0, 31.0, "w"), (1, 0, 0, 1.0, 29.0, "w")]
    patients = make_patients(rows, labels=("all",), mix=(1.0,))
    assert ratio_metrics(patients)["share_within_target"].value[0] == pytest.approx(1 / 2)


def test_a_wait_of_exactly_the_target_is_in_time_also_for_a_target_of_zero() -> None:
    rows = [(0, 0, 0, 0.0, 0.0, "s"), (1, 0, 0, 1.0, 0.1, "s")]
    patients = make_patients(rows, labels=("all",), mix=(1.0,), target_minutes=0)
    assert ratio_metrics(patients)["share_within_target"].value[0] == pytest.approx(1 / 2)


def test_without_a_target_everybody_seen_is_in_time() -> None:
    rows = [(0, 0, 0, 0.0, 500.0, "s"), (1, 0, 0, 1.0, 0.1, "w")]
    patients = make_patients(rows, labels=("all",), mix=(1.0,), target_minutes=np.inf)
    assert ratio_metrics(patients)["share_within_target"].value[0] == 1


def test_the_90th_percentile_counts_those_who_left() -> None:
    waits = waits_by_group(make_patients(HAND))
    assert p90_waits(waits) == pytest.approx([90, 45, 90])


def test_sums_of_groups_add_up_to_everybody() -> None:
    patients = draw_patients(3)
    sums = patients.sums(patients.cost)
    assert sums[:, -1] == pytest.approx(sums[:, :-1].sum(axis=1))
    assert sums[:, -1].sum() == pytest.approx(patients.cost.sum())
    assert patients.sums(np.ones(patients.cost.size))[:, -1].sum() == patients.cost.size


@given(seed=st.integers(0, 1_000), order=st.permutations(range(3)))
@settings(max_examples=25, deadline=None)
def test_renaming_groups_permutes_rows_and_leaves_everybody(seed: int, order: list[int]) -> None:
    patients = draw_patients(seed, patients=150, episodes=3, effect=0.5)
    renamed = replace(patients, group=np.array(order)[patients.group])
    before, after = ratio_metrics(patients), ratio_metrics(renamed)
    for name, estimate in before.items():
        assert after[name].value[order] == pytest.approx(estimate.value[:3])
        assert after[name].value[-1] == pytest.approx(estimate.value[-1])


@given(seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_everybodys_outcomes_are_means_of_the_groups_weighted_by_arrivals(seed: int) -> None:
    patients = draw_patients(seed, patients=150, episodes=3)
    counts = np.bincount(patients.group, minlength=3)
    for name in ("cost_per_patient", "mean_wait_minutes", "left_unseen", "overtaken"):
        value = ratio_metrics(patients)[name].value
        assert value[-1] == pytest.approx(counts @ value[:3] / counts.sum())


def test_a_group_with_nobody_has_no_value_and_the_others_keep_theirs() -> None:
    patients = make_patients(HAND, labels=("young", "old", "nobody"))
    for name, estimate in ratio_metrics(patients).items():
        assert np.isnan(estimate.value[2]), name
        assert np.isfinite(estimate.value[[0, 1, 3]]).all(), name
    assert np.isnan(p90_waits(waits_by_group(patients))[2])


def change(patients: Patients, **columns: Any) -> Patients:
    return replace(patients, **columns)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("column", ["cost", "wait_hours"])
def test_numbers_that_are_none_are_refused_by_name(column: str, bad: float) -> None:
    patients = make_patients(HAND)
    wrong = np.array(getattr(patients, column))
    wrong[2] = bad
    with pytest.raises(InputError, match=f"/{column}: 1 patients"):
        change(patients, **{column: wrong})


def test_records_that_do_not_fit_are_refused() -> None:
    patients = make_patients(HAND)
    with pytest.raises(ShapeError, match="one entry per patient"):
        replace(patients, cost=patients.cost[:-1])
    with pytest.raises(InputError, match="/episode: out of range"):
        replace(patients, episodes=1)
    with pytest.raises(InputError, match="/group: out of range"):
        replace(patients, group_labels=("young",))


def test_no_patients_at_all_is_no_error_and_gives_no_values() -> None:
    none = make_patients(HAND)
    empty = {
        name: column[:0]
        for name, column in vars(none).items()
        if isinstance(column, np.ndarray) and name != "mix"
    }
    for estimate in ratio_metrics(change(none, **empty)).values():
        assert np.isnan(estimate.value).all()


def test_triage_that_took_patients_for_less_urgent_and_boarding_by_hand() -> None:
    acuity = np.array([1, 2, 1, 2, 1, 2, 2])  # the cells of HAND
    recorded = np.array([2, 1, 1, 3, 3, 2, 2])  # wrong and less urgent: the 1st, 4th and 5th
    patients = replace(
        make_patients(HAND),
        acuity=acuity,
        recorded_acuity=recorded,
        boarding_hours=np.array([2.0, 0, 1, 0, 0, 0, 0]),
    )
    values = {name: e.value for name, e in ratio_metrics(patients).items()}
    # Young: 2 of 3; old: 1 of the 3 let in.
    assert values["under_triaged"] == pytest.approx([2 / 3, 1 / 3, 3 / 6])
    # 120 minutes over 3 arrivals, 60 over 4.
    assert values["mean_boarding_minutes"] == pytest.approx([40, 15, 180 / 7])
    # By recorded acuity (levels 1, 2 in cells 0, 1; 3 counts as 2): cell 0 holds the 2nd and 3rd
    # patient, the mix is 2/7, 5/7. Young: 2 and (10 + 4) / 2; old: 6 and (2 + 1 + 3) / 3.
    recorded_cost = [2 * 2 / 7 + 7 * 5 / 7, 6 * 2 / 7 + 2 * 5 / 7, 4 * 2 / 7 + 4 * 5 / 7]
    assert values["cost_by_recorded_acuity"] == pytest.approx(recorded_cost)
    assert "overtaken" not in values  # nothing is known of arrivals
    assert "under_triaged" not in ratio_metrics(make_patients(HAND))
