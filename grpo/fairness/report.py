"""The fairness report as a value: frozen, JSON without NaN, readable without scipy or torch.

It holds what was measured, how sure that is and in what circumstances. How it is computed
stands in ``assessment``; two reports are paired in ``compare``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from grpo.schema import FrozenModel

EVERYBODY = "everybody"

ArmName = Literal["policy", "start_rule", "fcfs", "strict_acuity"]
MetricName = Literal[
    "cost_per_patient",
    "standardised_cost",
    "mean_wait_minutes",
    "p90_wait_minutes",
    "share_within_target",
    "left_unseen",
    "mean_return",
]
Verdict = Literal["lower", "higher", "not distinguishable", "not known"]


class Metric(FrozenModel):
    """What a number in the report means.

    Attributes:
        better: the direction of improvement.
        meaning: one sentence, with what 0 means.
    """

    name: MetricName
    label: str
    unit: str
    better: Literal["lower", "higher"]
    meaning: str


METRICS: dict[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="cost_per_patient",
            label="cost per patient",
            unit="relative cost",
            better="lower",
            meaning="Cost of delay per arriving patient, undiscounted; 0 means that nobody waited.",
        ),
        Metric(
            name="standardised_cost",
            label="standardised cost",
            unit="relative cost",
            better="lower",
            meaning="Cost per patient as if the group had the pooled acuity mix; 0 means that "
            "nobody of the group waited.",
        ),
        Metric(
            name="mean_wait_minutes",
            label="mean wait",
            unit="min",
            better="lower",
            meaning="Mean wait over all arrivals, those who left and those still waiting included; "
            "0 means that everybody was seen at once.",
        ),
        Metric(
            name="p90_wait_minutes",
            label="90th percentile wait",
            unit="min",
            better="lower",
            meaning="The wait that nine of ten arrivals do not exceed; 0 means that at least nine "
            "of ten were seen at once.",
        ),
        Metric(
            name="share_within_target",
            label="seen within target",
            unit="share",
            better="higher",
            meaning="Share of arrivals seen within the target time of their acuity; 0 means "
            "nobody, 1 everybody.",
        ),
        Metric(
            name="left_unseen",
            label="left unseen",
            unit="share",
            better="lower",
            meaning="Share of arrivals who left without being seen; 0 means nobody, 1 everybody.",
        ),
        Metric(
            name="mean_return",
            label="mean return",
            unit="reward",
            better="higher",
            meaning="Mean undiscounted return of the group's episodes; 0 means that rewards and "
            "costs cancel.",
        ),
    )
}


class Value(FrozenModel):
    """A number with its interval; None where nobody was counted."""

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


class Arm(FrozenModel):
    """One way of deciding, on the same patients as the others."""

    name: ArmName
    label: str
    everybody: Outcome
    groups: tuple[Outcome, ...]
    worst_group: str | None
    gap: Gap


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
    """Outcomes by group of a trained policy and of the rules it is compared with."""

    schema_version: Literal[1] = 1
    kind: Literal["patients", "episodes"]
    provenance: Provenance
    metrics: tuple[Metric, ...]
    groups: tuple[str, ...]
    arms: tuple[Arm, ...] = Field(min_length=1)
    differences: tuple[Difference, ...] = ()
    policy_episodes: EpisodeValues | None = Field(
        None, description="Left out where episodes times groups exceed 200,000."
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
        objective: difference of ``(1 - w) everybody + w worst group``, which that training was
            to make better.
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
