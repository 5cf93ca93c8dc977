"""A comparison as a value: frozen, JSON without NaN, readable without scipy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from grpo.fairness.report import MetricName, Value, Verdict
from grpo.fairness.statements import excludes_zero
from grpo.schema import FrozenModel

FORGOTTEN = 0.05
"""A start that changes the cost per patient by less than this share is forgotten."""


class Difference(Value):
    """A contender minus the first one, paired by episode on the same patients."""

    verdict: Verdict


class GroupOutcome(FrozenModel):
    """How one group, or everybody, fared.

    Attributes:
        metrics: values with intervals.
        differences: from the first contender, empty for that one.
    """

    metrics: dict[MetricName, Value]
    differences: dict[MetricName, Difference] = Field(default_factory=dict)


class Summary(FrozenModel):
    """The judged cost in one number per contender.

    Attributes:
        worst_group: largest judged cost over groups.
        gap: largest minus smallest.
        objective: ``(1 - w) cost per patient + w worst group``.
    """

    worst_group: Value
    gap: Value
    objective: Value


class SummaryDifference(FrozenModel):
    """Differences from the first contender of what a Summary holds."""

    worst_group: Difference
    gap: Difference
    objective: Difference


class ContenderOutcome(FrozenModel):
    """One rule or policy.

    Attributes:
        label: what it is called.
        kind: of contender.
        rule: as declared, None for a policy.
        group_aware: whether it looks at patients' groups.
        patients: who came in the judged time of all replications.
        still_waiting: of them, when it ended.
        diverted: of them, turned away.
        groups: outcomes by group.
        everybody: outcomes of all.
        worst_group: name of the group with the largest judged cost.
        summary: of the judged cost.
        differences: from the first contender, None for that one.
    """

    label: str
    kind: Literal["rule", "policy"]
    rule: dict[str, Any] | None
    group_aware: bool
    patients: int
    still_waiting: int
    diverted: int
    groups: dict[str, GroupOutcome]
    everybody: GroupOutcome
    worst_group: str | None
    summary: Summary
    differences: SummaryDifference | None = None


class RankedContender(FrozenModel):
    """A contender under one set of costs.

    Attributes:
        cost_per_patient: of everybody.
        worst_group: largest judged cost over groups.
        difference: of the cost per patient from the first contender of the comparison.
    """

    label: str
    cost_per_patient: Value
    worst_group: Value
    difference: Difference | None = None


class CostSet(FrozenModel):
    """The ranking under one set of costs, the cheapest first; what was done is the same."""

    name: str
    ranking: tuple[RankedContender, ...]


class WarmupCheck(FrozenModel):
    """Whether one contender's judged time still remembers the start, and whether it drifts.

    Attributes:
        confidence: of the intervals, which hold jointly for all contenders.
        crowded: cost per patient after a crowded start minus that after the usual one, the same
            patients in the judged time; None without warm-up.
        remembered: largest bound of ``crowded``, as a share of the cost per patient.
        half_hours: length of each half of the judged time, None where a surge makes them differ.
        first_half: cost per patient.
        second_half: cost per patient.
        drift: second minus first half.
    """

    label: str
    confidence: float
    crowded: Value | None = None
    remembered: float | None = None
    half_hours: float | None = None
    first_half: float | None = None
    second_half: float | None = None
    drift: Value | None = None

    @property
    def is_forgotten(self) -> bool:
        """Whether the start is shown to matter no more."""
        return self.remembered is not None and self.remembered <= FORGOTTEN

    @property
    def drifts(self) -> bool:
        """Whether the halves of the judged time are distinguishable."""
        return self.drift is not None and excludes_zero(self.drift)


class RuleComparison(FrozenModel):
    """Rules and policies on the same patients, each against the first.

    Attributes:
        scenario: name of the hospital.
        group_by: attributes whose product makes the groups.
        judged_by: the metric that worst group, gap and objective are about.
        group_robustness_weight: w of the objective.
        merged_acuities: the cells that costs are standardised over.
        warmup: whether it was long enough, by contender.
        statements: what the numbers support, in sentences.
    """

    schema_version: Literal[1] = 1
    library_version: str
    scenario: str
    replications: int
    seed: int
    warmup_hours: float
    horizon_hours: float
    group_by: tuple[str, ...]
    judged_by: MetricName
    group_robustness_weight: float
    merged_acuities: tuple[tuple[int, ...], ...]
    confidence: float
    resamples: int
    groups: tuple[str, ...]
    contenders: tuple[ContenderOutcome, ...] = Field(min_length=1)
    cost_sets: tuple[CostSet, ...]
    warmup: tuple[WarmupCheck, ...]
    statements: tuple[str, ...] = ()
