"""The picture of several reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from grpo.errors import InputError
from grpo.fairness.assessment import assess_episodes, assess_patients
from grpo.fairness.plots import plot_reports
from tests.grpo.fairness.records import HAND, LABELS, draw_patients, make_patients, make_provenance

PNG = b"\x89PNG\r\n\x1a\n"


def test_one_picture_shows_several_reports_also_with_empty_groups(tmp_path: Path) -> None:
    patients = draw_patients(5)
    full = assess_patients({"policy": patients, "fcfs": patients}, LABELS, make_provenance())
    hand = make_patients(HAND, labels=("young", "old", "nobody"))
    sparse = assess_patients({"policy": hand}, LABELS, make_provenance(episodes=2))
    plot_reports({"full": full, "sparse": sparse}, tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    episodes = assess_episodes(
        patients_returns := draw_patients(1).cost[:2],
        patients_returns[:, None] * 0 + 1,
        ("a",),
        make_provenance(judged_by="mean_return", episodes=2),
    )
    for reports in ({}, {"cartpole": episodes}):
        with pytest.raises(InputError, match="/reports"):
            plot_reports(reports, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []
