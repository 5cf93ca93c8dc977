"""From records of patients to outcomes by group; every outcome is a ratio of sums over episodes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, ShapeError
from grpo.fairness.intervals import Estimate, quantile, ratio_of_sums, standardised_ratio
from grpo.fairness.report import MetricName

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

    def __post_init__(self) -> None:
        """Refuse records that would silently turn into wrong sums."""
        columns = [f.name for f in fields(self)][3:]
        shapes = {name: np.shape(getattr(self, name)) for name in columns}
        if set(shapes.values()) != {(self.episode.size,)}:
            raise ShapeError(f"expected one entry per patient in every column, got {shapes}")
        for name, limit in (
            ("episode", self.episodes),
            ("group", len(self.group_labels)),
            ("cell", self.mix.size),
        ):
            column = getattr(self, name)
            if column.size and not (column.min() >= 0 and column.max() < limit):
                raise InputError.single(f"/{name}", "out of range", allowed=f"0 to {limit - 1}")
        for name, largest in (("cost", MAX), ("wait_hours", MAX), ("target_hours", np.inf)):
            column = getattr(self, name)
            bad = column[~((column >= 0) & (column <= largest))]
            if bad.size:
                raise InputError.single(
                    f"/{name}", f"{bad.size} patients have no such number", given=float(bad[0]),
                    allowed="finite, 0 or more",
                )  # fmt: skip

    @property
    def waiting(self) -> Bool:
        """[P] bool, who was still waiting when the episode ended."""
        return ~(self.seen | self.left | self.diverted)

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
    """Compute the outcomes that are ratios of sums, by group and (last) for everybody.

    With sums over all episodes, i over patients of the group and n their number:

    - ``cost_per_patient``: sum cost_i / n.
    - ``standardised_cost``: sum_k m_k (sum cost_i / n over acuity k), m the pooled mix.
    - ``mean_wait_minutes``: mean over all who were let in. Those who left count with the time
      until they left, those still waiting with their wait so far: a lower bound for them.
    - ``share_within_target``: seen within the target of their acuity, of all arrivals. Who left
      or was diverted was not seen in time. Who was still waiting, and not yet over the target,
      is left out of both sums: the answer is not known.
    - ``left_unseen``: left / n.

    Returns:
        value [G + 1] and per_episode [E, G + 1] each; NaN for a group with nobody.
    """
    everyone = patients.sums(np.ones(patients.episode.size))
    arrivals = everyone.sum(axis=2)
    cost = patients.sums(patients.cost)
    within = patients.wait_hours <= patients.target_hours + ON_TIME_TOLERANCE_HOURS
    let_in = ~patients.diverted

    def share(numerator: Float64 | Bool, of: Bool) -> Estimate:
        return ratio_of_sums(patients.sums(numerator * of).sum(2), patients.sums(of).sum(2))

    return {
        "cost_per_patient": ratio_of_sums(cost.sum(axis=2), arrivals),
        "standardised_cost": standardised_ratio(cost, everyone, patients.mix),
        "mean_wait_minutes": share(60.0 * patients.wait_hours, let_in),
        "share_within_target": share(patients.seen & within, ~(patients.waiting & within)),
        "left_unseen": ratio_of_sums(patients.sums(patients.left).sum(axis=2), arrivals),
    }


def waits_by_group(patients: Patients) -> list[tuple[Float64, Int64]]:
    """List the waits in minutes and the episodes of those let in, by group and for everybody."""
    let_in = ~patients.diverted
    chosen = [let_in & (patients.group == g) for g in range(len(patients.group_labels))]
    return [(60.0 * patients.wait_hours[c], patients.episode[c]) for c in [*chosen, let_in]]


def p90_waits(waits: list[tuple[Float64, Int64]]) -> Float64:
    """Return the 90th percentile wait in minutes, [G + 1]; NaN for a group with nobody."""
    return np.array([quantile(minutes, P90) for minutes, _ in waits])
