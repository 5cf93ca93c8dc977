"""The fairness report as a value: frozen, JSON without NaN, readable without scipy or torch.

It holds what was measured, how sure that is and in what circumstances. How it is computed
stands in ``assessment``; two reports are paired in ``compare``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from grpo.fairness.metrics import METRICS, Metric, MetricName
from grpo.schema import FrozenModel

__all__ = [
    "EVERYBODY",
    "METRICS",
    "Arm",
    "ArmName",
    "Comparison",
    "Difference",
    "EpisodeValues",
    "FairnessReport",
    "Gap",
    "Inequality",
    "Intersections",
    "Metric",
    "MetricName",
    "Outcome",
    "Parity",
    "Provenance",
    "SubgroupOutcome",
    "Value",
    "Verdict",
]

EVERYBODY = "everybody"

ArmName = Literal["policy", "start_rule", "fcfs", "strict_acuity"]
Verdict = Literal["lower", "higher", "not distinguishable", "not known"]


class Value(FrozenModel):
    """A number with its interval; None where nobody was counted.

    The bounds are None also where the number was 0, or a share 1, in every episode.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Outcome(FrozenModel):
    """How one group fared under one arm.

    Attributes:
        count: patients who arrived in the judged time, or episodes.
        still_waiting: patients whose wait was cut by the end of the episode.
        diverted: patients turned away because the place was full.
    """

    group: str
    count: float = Field(ge=0)
    still_waiting: int = Field(0, ge=0)
    diverted: int = Field(0, ge=0)
    metrics: dict[MetricName, Value]


class Gap(Value):
    """Largest minus smallest judged value over groups; 0 means that all fare alike.

    Attributes:
        null_95: the gap that shuffled group labels exceed in 1 of 20 cases.
        beyond_null: whether the gap exceeds it; None where there is no null to compare with.
    """

    null_95: float | None = None
    beyond_null: bool | None = None


class Parity(FrozenModel):
    """How alike the groups' chances of an outcome are; a group with nobody is left out.

    Attributes:
        name: ``treatment``: care began, of all arrivals. ``admission``: let in, of all arrivals.
            ``equal_opportunity``: seen within target, of those of acuity 1 and 2.
        acuities: the acuities it is about; empty for all of them, standardised to the pooled mix.
        rates: by group, in [0, 1]; None for a group with nobody there.
        difference: largest minus smallest rate; 0 means parity, 1 all against nothing.
        ratio: smallest over largest rate; 1 means parity, 0 nothing against something.
        null_95: the difference that shuffled group labels exceed in 1 of 20 cases, where known.
    """

    name: Literal["treatment", "admission", "equal_opportunity"]
    acuities: tuple[int, ...] = ()
    rates: dict[str, float | None]
    difference: Value
    ratio: Value
    null_95: float | None = None


class Inequality(FrozenModel):
    """How unevenly the judged cost is spread over groups, each group counting once.

    Attributes:
        gini: 0 means that all groups bear the same; near 1, that one of many bears everything.
        jain: 1 means that all bear the same; 1 / groups, that one bears everything.
        theil: 0 means that all bear the same; ln(groups), that one bears everything.
    """

    gini: Value
    jain: Value
    theil: Value


class SubgroupOutcome(FrozenModel):
    """The standardised cost of one combination of attributes, under every arm."""

    label: str
    count: int
    costs: dict[ArmName, Value]


class Intersections(FrozenModel):
    """Outcomes of all combinations of the scenario's protected attributes.

    Attributes:
        least_patients: that a combination must have to be judged by itself.
        cells: combinations, the last one "others" where small ones were merged.
        merged: the combinations inside "others".
        withheld: combinations too small to be judged, even together.
    """

    least_patients: int
    cells: tuple[SubgroupOutcome, ...]
    merged: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()


class Arm(FrozenModel):
    """One way of deciding, on the same patients as the others.

    Attributes:
        parity: of treatment, admission and opportunity; empty where episodes are judged.
        inequality: over groups; None with fewer than two groups, or where episodes are judged.
    """

    name: ArmName
    label: str
    everybody: Outcome
    groups: tuple[Outcome, ...]
    worst_group: str | None
    gap: Gap
    parity: tuple[Parity, ...] = ()
    inequality: Inequality | None = None


class Difference(Value):
    """Policy minus rule, paired by episode on the same patients."""

    against: ArmName
    group: str
    metric: MetricName
    verdict: Verdict


class EpisodeValues(FrozenModel):
    """What each episode contributes to the policy's values, so that two reports can be paired.

    Attributes:
        everybody: [E] contributions to the cost per patient (or mean return) of everybody.
        groups: [G][E] contributions to the judged value of each group.
    """

    everybody: tuple[float | None, ...]
    groups: tuple[tuple[float | None, ...], ...]


class Provenance(FrozenModel):
    """The circumstances: what has to be repeated to get the same numbers again.

    Attributes:
        method: how the groups' performance became weights in training.
        group_baseline: what performance was measured against.
        judged_by: the metric that worst group and gap are about, the same that was optimised.
        merged_acuities: the cells that costs are standardised over; acuities merged into one
            cell stand together.
        acuity_mix: share of each cell in the pooled population.
        served: whether a network or the starting rule answers.
        permutations: shuffles behind ``null_95``.
    """

    library_version: str
    environment: str
    group_by: dict[str, Any]
    group_target: Literal["standardised", "raw"]
    group_robustness_weight: float
    method: str = "softmin"
    group_baseline: str = "raw"
    judged_by: MetricName
    training_seed: int
    evaluation_seed: int
    episodes: int
    warmup_hours: float | None = None
    horizon_hours: float | None = None
    merged_acuities: tuple[tuple[int, ...], ...] = ()
    acuity_mix: tuple[float, ...] = ()
    served: str = "network"
    confidence: float
    resamples: int
    permutations: int = 0


class FairnessReport(FrozenModel):
    """Outcomes by group of a trained policy and of the rules it is compared with.

    Attributes:
        intersections: where the scenario declares two or more protected attributes.
    """

    schema_version: Literal[1] = 1
    kind: Literal["patients", "episodes"]
    provenance: Provenance
    metrics: tuple[Metric, ...]
    groups: tuple[str, ...]
    arms: tuple[Arm, ...] = Field(min_length=1)
    differences: tuple[Difference, ...] = ()
    intersections: Intersections | None = None
    policy_episodes: EpisodeValues | None = Field(
        None, description="Left out where episodes times groups exceed 200,000."
    )
    rule_episodes: dict[ArmName, EpisodeValues] = Field(
        {}, description="The same of the rules, left out with the policy's."
    )
    statements: tuple[str, ...] = ()

    def arm(self, name: ArmName) -> Arm | None:
        """Return the arm of that name, None if it was not judged."""
        return next((arm for arm in self.arms if arm.name == name), None)

    @property
    def policy(self) -> Arm:
        """The trained policy's arm, which is always there and always first."""
        return self.arms[0]


class Comparison(FrozenModel):
    """One policy minus another, paired by episode on the same patients.

    Attributes:
        everybody: difference of the cost per patient (or mean return) of everybody.
        groups: difference of the judged value by group.
        worst_group: difference of the worst group's judged value, whichever group that is.
        gap: difference of the gaps.
        weight: w of the first policy's training.
        objective: difference of ``(1 - w) everybody + w worst group``. That is what the first
            training was to make better if its method is softmin, worst or group_dro on raw
            performance; for others the statements say that it is not.
    """

    label: str
    against: str
    weight: float
    judged_by: MetricName
    everybody: Value
    groups: dict[str, Value]
    worst_group: Value
    gap: Value
    objective: Value
    statements: tuple[str, ...]
