"""Small sets of patients that the tests of fairness share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grpo.fairness.by_group import Patients
from grpo.fairness.report import ArmName, Provenance

# episode, group, cell, cost, wait in minutes, outcome (s: seen, l: left, d: diverted, w: waiting)
Row = tuple[int, int, int, float, float, str]

HAND: tuple[Row, ...] = (
    (0, 0, 0, 10.0, 20.0, "s"),
    (0, 0, 1, 2.0, 60.0, "s"),
    (0, 1, 0, 6.0, 5.0, "s"),
    (1, 0, 1, 4.0, 90.0, "l"),
    (1, 1, 0, 2.0, 45.0, "s"),
    (1, 1, 1, 1.0, 10.0, "w"),
    (1, 1, 1, 3.0, 0.0, "d"),
)
LABELS: dict[ArmName, str] = {
    "policy": "trained policy",
    "fcfs": "FCFS",
    "strict_acuity": "strict acuity",
}


def make_patients(
    rows: Sequence[Row],
    *,
    episodes: int = 2,
    labels: tuple[str, ...] = ("young", "old"),
    mix: tuple[float, ...] = (0.25, 0.75),
    target_minutes: float = 30.0,
) -> Patients:
    """Turn rows into records; every patient has the same target."""
    episode, group, cell, cost, wait, outcome = zip(*rows, strict=True)
    kinds = np.array(outcome)
    return Patients(
        episodes=episodes,
        group_labels=labels,
        mix=np.array(mix),
        episode=np.array(episode, np.int64),
        group=np.array(group, np.int64),
        cell=np.array(cell, np.int64),
        cost=np.array(cost, np.float64),
        wait_hours=np.array(wait, np.float64) / 60,
        target_hours=np.full(len(rows), target_minutes / 60),
        seen=kinds == "s",
        left=kinds == "l",
        diverted=kinds == "d",
    )


def draw_patients(
    seed: int,
    *,
    patients: int = 1_200,
    episodes: int = 12,
    groups: int = 3,
    effect: float = 0.0,
    level: float = 1.0,
) -> Patients:
    """Draw patients who share their episode's luck; the last group costs ``effect`` more.

    Who arrives depends on the other arguments only, so that two levels or effects pair.
    """
    arrivals = np.random.default_rng(0)
    episode = np.sort(arrivals.integers(episodes, size=patients))
    group = arrivals.integers(groups, size=patients)
    cell = arrivals.integers(2, size=patients)
    arrival_hours = arrivals.uniform(0, 100, size=patients)
    generator = np.random.default_rng(seed)
    luck = generator.gamma(8.0, 1 / 8.0, size=episodes)[episode]
    wait = level * luck * generator.exponential(size=patients)
    wait *= 1.0 + effect * (group == groups - 1)
    left = generator.random(patients) < 0.05
    return Patients(
        episodes=episodes,
        group_labels=tuple(f"g{g}" for g in range(groups)),
        mix=np.array([0.5, 0.5]),
        episode=episode,
        group=group,
        cell=cell,
        cost=wait * np.array([5.0, 1.0])[cell],
        wait_hours=wait,
        target_hours=np.array([0.5, 1.0])[cell],
        seen=~left,
        left=left,
        diverted=np.zeros(patients, np.bool_),
        arrival_hours=arrival_hours,
        acuity=cell + 1,
    )


def make_provenance(**changes: object) -> Provenance:
    """Fill in circumstances for tests."""
    plain: dict[str, object] = {
        "library_version": "0",
        "environment": "test",
        "group_by": {"kind": "attribute", "attributes": ["age_group"]},
        "group_target": "standardised",
        "group_robustness_weight": 0.5,
        "judged_by": "standardised_cost",
        "training_seed": 1,
        "evaluation_seed": 7,
        "episodes": 12,
        "merged_acuities": [[1, 2], [3]],
        "acuity_mix": [0.5, 0.5],
        "confidence": 0.95,
        "resamples": 0,
    }
    return Provenance.parse(plain | changes)
