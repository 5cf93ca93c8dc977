"""Parity, inequality and intersections of one arm, with intervals from whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grpo.fairness.assembly import interval_of, make_level, make_value, optional
from grpo.fairness.by_group import Patients
from grpo.fairness.inequality import gini_of_rows, jain_of_rows, theil_of_rows
from grpo.fairness.intersections import LEAST_PATIENTS, OTHERS
from grpo.fairness.intervals import (
    EpisodeBootstrap,
    Estimate,
    ratio_of_sums,
    standardised_ratio,
)
from grpo.fairness.parity import rate_difference, rate_ratio
from grpo.fairness.report import (
    ArmName,
    Inequality,
    Intersections,
    Parity,
    SubgroupOutcome,
    Value,
)

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
ParityName = Literal["treatment", "admission", "equal_opportunity"]

URGENT = 2
"""Acuities up to this one are urgent: the two highest of a five-level triage scale."""


def outcomes_of(patients: Patients) -> dict[ParityName, Bool]:
    """Return who was treated and who was let in, [P] each."""
    return {"treatment": patients.seen, "admission": ~patients.diverted}


@dataclass(frozen=True)
class ParityJudge:
    """Judges the parity of yes-or-no outcomes of the same patients under several arms.

    Attributes:
        bootstrap: resamples of whole episodes.
        acuities: [K] the acuities of every cell.
        null_95: by arm and outcome, the difference that shuffled labels stay under, where known.
    """

    bootstrap: EpisodeBootstrap
    acuities: tuple[tuple[int, ...], ...]
    null_95: Mapping[tuple[ArmName, ParityName], float]

    def judge(self, arm: ArmName, patients: Patients) -> tuple[Parity, ...]:
        """Judge treatment and admission at equal acuity, by acuity, and equal opportunity."""
        found: list[Parity] = []
        for name, selected in outcomes_of(patients).items():
            null_95 = self.null_95.get((arm, name))
            found += self._judge_all(name, patients, selected, null_95)
        if patients.acuity is not None:
            urgent = patients.acuity <= URGENT
            known = urgent & ~(patients.waiting & patients.within_target)
            in_time = patients.share(patients.seen & patients.within_target, known)
            rates = Estimate(in_time.value[:-1], in_time.per_episode[:, :-1])
            levels = tuple(int(level) for level in np.unique(patients.acuity[urgent]))
            found.append(self._make("equal_opportunity", levels, patients, rates))
        return tuple(found)

    def _judge_all(
        self, name: ParityName, patients: Patients, selected: Bool, null_95: float | None
    ) -> list[Parity]:
        """Judge an outcome at the pooled acuity mix and, unless everybody has it, by acuity."""
        chosen = patients.sums(selected)[:, :-1]
        everyone = patients.sums(np.ones(selected.size))[:, :-1]
        overall = standardised_ratio(chosen, everyone, patients.mix)
        parity = self._make(name, (), patients, overall)
        if selected.all():
            return [parity]
        cells = ratio_of_sums(chosen, everyone)
        by_acuity = [
            self._make(
                name, levels, patients, Estimate(cells.value[:, k], cells.per_episode[..., k])
            )
            for k, levels in enumerate(self.acuities)
        ]
        return [parity.model_copy(update={"null_95": null_95}), *by_acuity]

    def _make(
        self, name: ParityName, levels: tuple[int, ...], patients: Patients, rates: Estimate
    ) -> Parity:
        """Compare the groups' rates [G]; linear resamples are cut to what a rate can be."""
        samples = np.clip(self.bootstrap.means(rates.per_episode), 0.0, 1.0)

        def compare(spread: Callable[[Float64], Float64]) -> Value:
            return make_value(float(spread(rates.value)), spread(samples), self.bootstrap)

        return Parity(
            name=name,
            acuities=levels,
            rates=dict(zip(patients.group_labels, map(optional, rates.value), strict=True)),
            difference=compare(rate_difference),
            ratio=compare(rate_ratio),
        )


def judge_inequality(judged: Estimate, bootstrap: EpisodeBootstrap) -> Inequality | None:
    """Measure how unevenly the groups' judged costs [G] are spread; None with fewer than two."""
    known = np.flatnonzero(np.isfinite(judged.value))
    if known.size < 2:
        return None
    samples = np.maximum(bootstrap.means(judged.per_episode[:, known]), 0.0)

    def measure(index: Callable[[Float64], Float64]) -> Value:
        return make_value(float(index(judged.value[known])), index(samples), bootstrap)

    return Inequality(
        gini=measure(gini_of_rows), jain=measure(jain_of_rows), theil=measure(theil_of_rows)
    )


def judge_intersections(arms: Mapping[ArmName, Patients]) -> Intersections | None:
    """Give the standardised cost of every combination of attributes that is large enough.

    None where the patients carry one attribute only. A combination with an empty acuity cell has
    no standardised cost.
    """
    first = arms["policy"]
    if first.subgroup is None:
        return None
    chosen = first.subgroup >= 0
    counts = np.bincount(first.subgroup[chosen], minlength=len(first.subgroup_labels))
    costs: dict[ArmName, list[Value]] = {}
    for name, patients in arms.items():
        inside = _only(patients, chosen)
        estimate = standardised_ratio(
            inside.sums(inside.cost)[:, :-1],
            inside.sums(np.ones(inside.cost.size))[:, :-1],
            inside.mix,
        )
        low, high = interval_of("standardised_cost", estimate)
        costs[name] = [
            make_level(*numbers) for numbers in zip(estimate.value, low, high, strict=True)
        ]
    named = tuple(f"{label} ({size})" for label, size in first.unjudged)
    merged = OTHERS in first.subgroup_labels[-1:]
    return Intersections(
        least_patients=LEAST_PATIENTS,
        cells=tuple(
            SubgroupOutcome(
                label=label,
                count=int(counts[c]),
                costs={name: values[c] for name, values in costs.items()},
            )
            for c, label in enumerate(first.subgroup_labels)
        ),
        merged=named if merged else (),
        withheld=() if merged else named,
    )


def _only(patients: Patients, chosen: Bool) -> Patients:
    """Keep some patients, grouped by their combination of attributes."""
    columns: dict[str, Any] = {
        name: column[chosen]
        for name, column in vars(patients).items()
        if isinstance(column, np.ndarray) and name != "mix"
    }
    columns |= {"group": columns["subgroup"], "group_labels": patients.subgroup_labels}
    return replace(patients, **columns)
