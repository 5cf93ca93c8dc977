"""Compare rules and policies with the first of them: paired intervals, groups, sets of costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from grpo.comparison.contenders import Contender, check_size
from grpo.comparison.judging import OWN_COSTS, Judge, Judgement, Progress, Question
from grpo.comparison.report import (
    ContenderOutcome,
    CostSet,
    Difference,
    GroupOutcome,
    RankedContender,
    RuleComparison,
    Summary,
    SummaryDifference,
)
from grpo.comparison.statements import describe_comparison
from grpo.comparison.warmup import check_warmup
from grpo.environments.hospital.physics.rule_table import IndexRule
from grpo.errors import SimulationError
from grpo.fairness.assembly import give_verdict, interval_of, make_level, make_value
from grpo.fairness.disparity import gap, worst_group
from grpo.fairness.intervals import EpisodeBootstrap, Estimate, keep_possible
from grpo.fairness.metrics import MetricName
from grpo.fairness.report import Value

Float64 = NDArray[np.float64]


def compare(
    contenders: Sequence[Contender], question: Question, on_progress: Progress | None = None
) -> RuleComparison:
    """Simulate every contender on the same patients and compare each with the first.

    Differences, worst group and gap are resampled by whole replications, with the same resamples
    for all contenders; worst group and gap are taken anew in each resample. A rule decides by the
    scenario's own costs also where it is judged by others.

    Args:
        contenders: the first is what the others are compared with.
        question: what is asked.
        on_progress: told the contender's label and how many replications it has just finished.

    Raises:
        InputError: fewer than 2 replications, groups that the scenario does not know, or a
            comparison that would not fit into memory.
        SimulationError: contenders met different patients.
    """
    design = question.design
    compiled = contenders[0].compiled
    check_size(compiled, design)
    ranking = _Ranking(EpisodeBootstrap.draw(design.replications, design.seed), question.weight)
    judge = Judge.make(compiled, question)
    judgements = [judge.judge(contender, on_progress) for contender in contenders]
    for other in judgements[1:]:
        if other.log_digest != judgements[0].log_digest:
            raise SimulationError(f"{other.contender.label} met other patients than the first")
    found = RuleComparison(
        library_version=version("grpo"),
        scenario=compiled.scenario.name,
        replications=design.replications,
        seed=design.seed,
        warmup_hours=design.warmup_hours,
        horizon_hours=design.horizon_hours,
        group_by=question.group_by,
        judged_by=question.judged_by,
        group_robustness_weight=question.weight,
        merged_acuities=judge.heads.merged_acuities,
        confidence=ranking.bootstrap.confidence,
        resamples=ranking.bootstrap.resamples,
        groups=judge.heads.labels,
        contenders=tuple(
            ranking.describe(j, judgements[0], judge.heads.labels) for j in judgements
        ),
        cost_sets=tuple(ranking.rank(name, judgements) for name in judge.scenarios),
        warmup=check_warmup(
            {judgement.contender.label: judgement.trace for judgement in judgements},
            design,
        ),
    )
    return found.model_copy(update={"statements": describe_comparison(found)})


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Turns judgements into outcomes, with one set of resamples for everything.

    Tables are [1 + R, ...]: the estimate, then its resamples.
    """

    bootstrap: EpisodeBootstrap
    weight: float

    def table(self, estimate: Estimate) -> Float64:
        """Stack an estimate [M] on its resamples: [1 + R, M]."""
        return np.concatenate([estimate.value[None], self.bootstrap.means(estimate.per_episode)])

    def value(self, table: Float64) -> Value:
        """Read a number with its interval from a table [1 + R]."""
        return make_value(float(table[0]), table[1:], self.bootstrap)

    def level(self, table: Float64) -> Value:
        """Read a cost with its interval from a table [1 + R]; no bound is below 0."""
        return make_level(
            float(table[0]),
            *map(float, keep_possible(table[0], *self.bootstrap.interval(table[1:]))),
        )

    def difference(self, ours: Float64, theirs: Float64) -> Difference:
        """Subtract two tables [1 + R], resample by resample."""
        value = self.value(ours - theirs)
        return Difference(**value.model_dump(), verdict=give_verdict(value))

    def summarise(self, judged: Estimate) -> dict[str, Float64]:
        """Compute the tables [1 + R] of the summary from the judged cost [G + 1]."""
        table = self.table(judged)
        groups = table[:, :-1]
        known = groups[:, np.isfinite(groups[0])]
        worst = known.max(axis=1) if known.size else np.full(len(table), np.nan)
        return {
            "worst_group": worst,
            "gap": np.asarray(gap(known)),
            "objective": (1 - self.weight) * table[:, -1] + self.weight * worst,
        }

    def describe(
        self, judgement: Judgement, first: Judgement, labels: Sequence[str]
    ) -> ContenderOutcome:
        """Put one contender's numbers, and its differences from the first, into the model."""
        contender, judged = judgement.contender, judgement.judged[OWN_COSTS]
        others = None if judgement is first else first
        outcomes = self._by_group(judgement, others)
        worst = worst_group(judged.value[:-1])
        ours, theirs = self.summarise(judged), self.summarise(first.judged[OWN_COSTS])
        patients, still_waiting, diverted = judgement.counts
        differences = None
        if others is not None:
            differences = SummaryDifference(
                **{name: self.difference(ours[name], theirs[name]) for name in ours}
            )
        return ContenderOutcome(
            label=contender.label,
            kind="rule" if isinstance(contender.decider, IndexRule) else "policy",
            rule=None if contender.spec is None else contender.spec.model_dump(mode="json"),
            group_aware=contender.compiled.group_aware,
            patients=patients,
            still_waiting=still_waiting,
            diverted=diverted,
            groups=dict(zip(labels, outcomes[:-1], strict=True)),
            everybody=outcomes[-1],
            worst_group=None if worst is None else labels[worst],
            summary=Summary(
                worst_group=self.level(ours["worst_group"]),
                gap=self.value(ours["gap"]),
                objective=self.level(ours["objective"]),
            ),
            differences=differences,
        )

    def _by_group(self, judgement: Judgement, first: Judgement | None) -> list[GroupOutcome]:
        """Describe every group, and last everybody."""
        tables = {name: self.table(found) for name, found in judgement.metrics.items()}
        theirs = {} if first is None else {n: self.table(e) for n, e in first.metrics.items()}
        outcomes = []
        bounds = {name: interval_of(name, found) for name, found in judgement.metrics.items()}
        for g in range(judgement.judged[OWN_COSTS].value.size):
            metrics: dict[MetricName, Value] = {
                name: make_level(found.value[g], *(bound[g] for bound in bounds[name]))
                for name, found in judgement.metrics.items()
            }
            differences: dict[MetricName, Difference] = {
                name: self.difference(tables[name][:, g], other[:, g])
                for name, other in theirs.items()
            }
            outcomes.append(GroupOutcome(metrics=metrics, differences=differences))
        return outcomes

    def rank(self, name: str, judgements: Sequence[Judgement]) -> CostSet:
        """Order the contenders by their cost per patient under one set of costs."""
        first = self.table(judgements[0].judged[name])[:, -1]
        ranked = []
        for judgement in judgements:
            judged = judgement.judged[name]
            cost = self.table(judged)[:, -1]
            low, high = interval_of("cost_per_patient", judged)
            ranked.append(
                RankedContender(
                    label=judgement.contender.label,
                    cost_per_patient=make_level(judged.value[-1], low[-1], high[-1]),
                    worst_group=self.level(self.summarise(judged)["worst_group"]),
                    difference=None if judgement is judgements[0] else self.difference(cost, first),
                )
            )
        return CostSet(
            name=name,
            ranking=tuple(sorted(ranked, key=lambda r: r.cost_per_patient.value or 0.0)),
        )
