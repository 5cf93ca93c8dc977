"""From records of patients to outcomes by group; every outcome is a ratio of sums over episodes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError
from grpo.fairness.intervals import Estimate, ratio_of_sums, standardised_ratio
from grpo.fairness.metrics import MetricName
from grpo.fairness.overtaking import find_overtaking
from grpo.fairness.waits import RESTRICTED_HOURS, Waits, restricted_mean, wait_quantile

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

ON_TIME_TOLERANCE_HOURS = 1e-9
P90 = 0.9
MAX = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Patients:
    """Everybody who arrived in the judged time of E episodes, under one way of deciding.

    Attributes:
        episodes: E.
        group_labels: [G] names.
        mix: [K] shares of the acuity cells in the pooled population, sum 1.
        episode: [P] int in 0..E-1.
        group: [P] int in 0..G-1.
        cell: [P] int in 0..K-1, the acuity cell that costs are standardised over.
        cost: [P] undiscounted cost of delay, relative units, finite, >= 0.
        wait_hours: [P] time until seen, until leaving, or until the end of the episode; 0 for
            the diverted.
        target_hours: [P] target time of the patient's acuity, infinity where it has none.
        seen: [P] whether care began.
        left: [P] whether the patient left unseen.
        diverted: [P] whether the patient was turned away on arrival. Whoever is none of the
            three was still waiting at the end.
        arrival_hours: [P] on the episode's clock, or None: then nothing is said of overtaking.
        acuity: [P] int, how urgent the patient is, 1 most of all, or None, as above.
        recorded_acuity: [P] int, what triage took it for, or None where triage does not err.
        boarding_hours: [P] time spent waiting for a later stage, or None where there is none.
        expected_deaths: [P] in [0, 1], added probability of death from delay, or None where the
            scenario has no curve of it.
        subgroup: [P] int, the combination of all attributes, -1 where it is too small to judge,
            or None where there is one attribute only.
        subgroup_labels: names of the combinations.
        unjudged: names and sizes of the combinations that are too small by themselves.
    """

    episodes: int
    group_labels: tuple[str, ...]
    mix: Float64
    episode: Int64
    group: Int64
    cell: Int64
    cost: Float64
    wait_hours: Float64
    target_hours: Float64
    seen: Bool
    left: Bool
    diverted: Bool
    arrival_hours: Float64 | None = None
    acuity: Int64 | None = None
    recorded_acuity: Int64 | None = None
    boarding_hours: Float64 | None = None
    expected_deaths: Float64 | None = None
    subgroup: Int64 | None = None
    subgroup_labels: tuple[str, ...] = ()
    unjudged: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuse records that would silently turn into wrong sums."""
        columns = {
            f.name: column
            for f in fields(self)
            if f.name != "mix" and isinstance(column := getattr(self, f.name), np.ndarray)
        }
        shapes = {name: column.shape for name, column in columns.items()}
        if set(shapes.values()) != {(self.episode.size,)}:
            raise ShapeError(f"expected one entry per patient in every column, got {shapes}")
        for name, limit in (
            ("episode", self.episodes),
            ("group", len(self.group_labels)),
            ("cell", self.mix.size),
        ):
            column = columns[name]
            if column.size and not (column.min() >= 0 and column.max() < limit):
                raise InputError.single(f"/{name}", "out of range", allowed=f"0 to {limit - 1}")
        limits = {
            "cost": MAX,
            "wait_hours": MAX,
            "target_hours": np.inf,
            "boarding_hours": MAX,
            "expected_deaths": 1.0,
        }
        for name, largest in limits.items():
            column = columns.get(name, np.zeros(0))
            bad = column[~((column >= 0) & (column <= largest))]
            if bad.size:
                raise InputError.single(
                    f"/{name}", f"{bad.size} patients have no such number", given=float(bad[0]),
                    allowed="0 to 1" if largest == 1 else "finite, 0 or more",
                )  # fmt: skip

    @property
    def waiting(self) -> Bool:
        """[P] bool, who was still waiting when the episode ended."""
        return ~(self.seen | self.left | self.diverted)

    @property
    def within_target(self) -> Bool:
        """[P] bool, whose wait (so far) is within the target of their acuity."""
        return np.asarray(self.wait_hours <= self.target_hours + ON_TIME_TOLERANCE_HOURS)

    def share(self, who: Bool, among: Bool) -> Estimate:
        """Estimate the share of those of whom ``who`` holds, by group and for everybody.

        Args:
            who: [P] bool.
            among: [P] bool, who is counted.
        """
        return ratio_of_sums(self.sums(who & among).sum(axis=2), self.sums(among).sum(axis=2))

    def sums(self, values: Float64 | Bool) -> Float64:
        """Sum [P] values within episode, group and cell; returns [E, G + 1, K].

        The last group is everybody, the sum of the others.
        """
        groups, cells = len(self.group_labels), self.mix.size
        index = (self.episode * groups + self.group) * cells + self.cell
        size = self.episodes * groups * cells
        table = np.bincount(index, weights=values, minlength=size)
        table = table.reshape(self.episodes, groups, cells)
        return np.concatenate([table, table.sum(axis=1, keepdims=True)], axis=1)


def ratio_metrics(patients: Patients) -> dict[MetricName, Estimate]:
    """Compute the outcomes that have linear contributions, by group and (last) for everybody.

    With sums over all episodes, i over patients of the group and n their number:

    - ``cost_per_patient``: sum cost_i / n.
    - ``standardised_cost``: sum_k m_k (sum cost_i / n over acuity k), m the pooled mix.
    - ``mean_wait_minutes``: area under the Kaplan-Meier curve of who still waits, over all who were
      let in: a wait ends when the patient is seen or leaves, and is censored by the end.
    - ``share_within_target``: seen within the target of their acuity, of all arrivals. Who left
      or was diverted was not seen in time. Who was still waiting, and not yet over the target,
      is left out of both sums: the answer is not known.
    - ``left_unseen``: left / n.
    - ``overtaken``, ``queue_jump_rate``: see ``overtaking``; where arrivals and acuity are given.
    - ``cost_by_recorded_acuity``: as ``standardised_cost``, with the acuity of triage.
    - ``under_triaged``: let in and recorded less urgent than they are / let in.
    - ``mean_boarding_minutes``: sum boarding_i / n; both where the patients carry them.
    - ``deaths_per_thousand``: 1,000 sum deaths_i / n; where the patients carry them.

    Returns:
        value [G + 1] and per_episode [E, G + 1] each; NaN for a group with nobody.
    """
    everyone = patients.sums(np.ones(patients.episode.size))
    arrivals = everyone.sum(axis=2)
    cost = patients.sums(patients.cost)
    known = ~(patients.waiting & patients.within_target)
    in_time = patients.seen & patients.within_target
    found: dict[MetricName, Estimate] = {
        "cost_per_patient": ratio_of_sums(cost.sum(axis=2), arrivals),
        "standardised_cost": standardised_ratio(cost, everyone, patients.mix),
        "mean_wait_minutes": _mean_waits(patients),
        "share_within_target": patients.share(in_time, known),
        "left_unseen": ratio_of_sums(patients.sums(patients.left).sum(axis=2), arrivals),
    }
    if patients.arrival_hours is not None and patients.acuity is not None:
        passed = find_overtaking(
            patients.episode,
            patients.group,
            patients.acuity,
            patients.arrival_hours,
            patients.wait_hours,
            patients.seen,
        )
        found["overtaken"] = patients.share(passed.overtaken, np.ones_like(passed.overtaken))
        found["queue_jump_rate"] = patients.share(passed.jumped, patients.seen)
    if patients.acuity is not None and patients.recorded_acuity is not None:
        wrong = patients.recorded_acuity > patients.acuity
        found["under_triaged"] = patients.share(wrong, ~patients.diverted)
        found["cost_by_recorded_acuity"] = _cost_by_recorded_acuity(patients)
    if patients.boarding_hours is not None:
        boarding = patients.sums(60.0 * patients.boarding_hours).sum(axis=2)
        found["mean_boarding_minutes"] = ratio_of_sums(boarding, arrivals)
    if patients.expected_deaths is not None:
        deaths = patients.sums(1_000 * patients.expected_deaths).sum(axis=2)
        found["deaths_per_thousand"] = ratio_of_sums(deaths, arrivals)
    return found


def _cost_by_recorded_acuity(patients: Patients) -> Estimate:
    """Standardise the cost by the acuity that was recorded, cells merged as for the true one."""
    if patients.acuity is None or patients.recorded_acuity is None:
        raise ShapeError("true and recorded acuity are needed")
    levels, places = np.unique(patients.acuity, return_index=True)
    # A level that nobody truly has belongs to the cell of the next less urgent one.
    nearest = np.minimum(np.searchsorted(levels, patients.recorded_acuity), levels.size - 1)
    cell = patients.cell[places][nearest]
    mix = np.bincount(cell, minlength=patients.mix.size) / max(cell.size, 1)
    recorded = replace(patients, cell=cell, mix=mix)
    everyone = recorded.sums(np.ones(cell.size))
    return standardised_ratio(recorded.sums(recorded.cost), everyone, mix)


def waits_by_group(patients: Patients) -> list[Waits]:
    """List the waits of those let in, by group and (last) for everybody."""
    let_in = ~patients.diverted
    chosen = [let_in & (patients.group == g) for g in range(len(patients.group_labels))]
    ended = patients.seen | patients.left
    return [
        Waits(60.0 * patients.wait_hours[c], ended[c], patients.episode[c])
        for c in [*chosen, let_in]
    ]


def p90_waits(waits: list[Waits]) -> Float64:
    """Return the 90th percentile wait in minutes, [G + 1]; NaN for a group with nobody."""
    return np.array([wait_quantile(group, P90) for group in waits])


def _mean_waits(patients: Patients) -> Estimate:
    """Estimate the restricted mean wait of every group and of everybody, in minutes."""
    means = [
        restricted_mean(waits, patients.episodes, 60.0 * RESTRICTED_HOURS)
        for waits in waits_by_group(patients)
    ]
    return Estimate(
        np.array([float(mean.value) for mean in means]),
        np.stack([mean.per_episode for mean in means], axis=1),
    )
