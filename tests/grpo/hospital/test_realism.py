"""Built-in scenarios against published figures: hits within stated bands, misses that are known."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from grpo.environments.hospital.patient_log import Census, Courses, Outcome, PatientLog
from grpo.environments.hospital.review.published import PUBLISHED
from grpo.environments.hospital.review.realism import Finding, compare_with_published, measure
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.errors import InputError

ALL_QUICK = {"seen_within_15_percent", "seen_within_60_percent"}
NO_HANDOVER = {"boarding_median_minutes", "boarded_over_2_h_percent", "boarded_over_4_h_percent"}
# What is not met, and why, stands in docs/simulator.md.
KNOWN_MISSES = {
    "rural_hospital": ALL_QUICK | NO_HANDOVER | {"boarded_over_24_h_percent", "admitted_percent"},
    "urban_hospital": ALL_QUICK | NO_HANDOVER,
    "pediatric_hospital": {
        "median_wait_minutes",
        "ed_stay_home_median_minutes",
        "ed_stay_admitted_median_minutes",
    },
}


@pytest.fixture(scope="module", params=sorted(PUBLISHED))
def compared(request: pytest.FixtureRequest) -> tuple[str, tuple[Finding, ...]]:
    name = str(request.param)
    return name, compare_with_published(name)


def test_every_figure_is_within_its_band_or_a_known_miss(
    compared: tuple[str, tuple[Finding, ...]],
) -> None:
    """A figure within two standard errors of its band's edge may fall to either side."""
    name, findings = compared
    assert {f.published.measure for f in findings} == {p.measure for p in PUBLISHED[name]}
    for finding in findings:
        band = finding.published
        slack = 2 * finding.standard_error
        assert math.isfinite(finding.value)
        if band.measure in KNOWN_MISSES[name]:
            assert not finding.is_hit, band.measure
        else:
            assert band.low - slack <= finding.value <= band.high + slack, (band, finding.value)


def test_the_documentation_shows_every_figure_and_every_miss(
    compared: tuple[str, tuple[Finding, ...]],
) -> None:
    name, findings = compared
    text = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
    table = text.partition(f"\n`{name}`, strict_acuity:")[2].partition("\n\n`")[0]
    rows = re.findall(r"^\| (.+?) \| .+ \| .+ \| (.+?) ± .+? \| (\*\*miss\*\*)?.*\|$", table, re.M)
    assert [label for label, _, _ in rows] == [f.published.label for f in findings]
    missed = {f.published.label for f in findings if f.published.measure in KNOWN_MISSES[name]}
    assert {label for label, _, miss in rows if miss} >= missed
    for (label, value, _), finding in zip(rows, findings, strict=True):
        slack = 4 * finding.standard_error + 0.02 * abs(finding.value) + 0.01
        assert float(value) == pytest.approx(finding.value, abs=slack), label


def test_figures_of_a_small_log_by_hand() -> None:
    """Four patients of one episode: seen after 10 and 50 min, left after 40, diverted.

    The first went home after 2 h; the second was admitted: 3 h in the department, 1.5 h of them
    boarding. Of 2 x 24 hourly samples of 6 spaces 1 is in use by night and 3 by day.
    """
    compiled = compile_scenario(load_scenario("rural_hospital"))
    level_3 = int(np.flatnonzero(compiled.type_acuity == 3)[0])  # target 30 min
    hours = np.arange(48.0)
    num_pools = len(compiled.capacity)
    used = np.zeros((1, 48, num_pools))
    used[0, :, 0] = np.where(hours % 24 < 12, 1, 3)
    capacity = np.broadcast_to(compiled.capacity.astype(float), used.shape)
    nothing = np.zeros((1, 48))
    log = PatientLog(
        episode=np.zeros(4, dtype=np.int64),
        type=np.full(4, level_3),
        arrival_hours=np.zeros(4),
        wait_hours=np.array([10, 50, 40, 0]) / 60,
        outcome=np.array([Outcome.SERVED, Outcome.SERVED, Outcome.LEFT, Outcome.DIVERTED]),
        cost=np.zeros(4),
        episodes=1,
        horizon_hours=48.0,
        courses=Courses(
            recorded_acuity=np.full(4, 3),
            start_acuity=np.array([3, 3, 0, 0]),
            boarding_hours=np.array([0, 1.5, 0, 0]),
            ed_hours=np.array([2.0, 3.0, np.nan, np.nan]),
            end_hours=np.array([2.0, 80.0, np.nan, np.nan]),
            harm=np.zeros(4),
        ),
        census=Census(hours, nothing, nothing, nothing, used, capacity),
    )
    expected = {
        "mean_wait_minutes": 100 / 3,
        "median_wait_minutes": 40,
        "seen_within_15_percent": 50,
        "within_target_percent": 50,
        "left_unseen_percent": 25,
        "admitted_percent": 50,
        "transferred_percent": 0,
        "boarding_median_minutes": 90,
        "boarded_over_2_h_percent": 0,
        "ed_stay_minutes_3": 150,
        "ed_stay_home_median_minutes": 120,
        "ed_stay_admitted_median_minutes": 180,
        "census_ratio": 3,
        "census_peak_hour": 12,
        "census_trough_hour": 0,
        "ed_space_percent": 100 * 2 / 6,
    }
    only = np.zeros(1, dtype=np.int64)
    for name, value in expected.items():
        assert measure(compiled, log, name, only) == pytest.approx(value), name


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="/scenario"):
        compare_with_published("emergency_surge")
    with pytest.raises(InputError, match="/replications"):
        compare_with_published("rural_hospital", replications=15)
