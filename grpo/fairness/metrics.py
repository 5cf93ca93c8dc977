"""What each number of a report means: name, unit, direction, and what 0 and 1 say."""

from __future__ import annotations

from typing import Literal

from grpo.schema import FrozenModel

MetricName = Literal[
    "cost_per_patient",
    "standardised_cost",
    "mean_wait_minutes",
    "p90_wait_minutes",
    "share_within_target",
    "left_unseen",
    "overtaken",
    "queue_jump_rate",
    "mean_boarding_minutes",
    "cost_by_recorded_acuity",
    "under_triaged",
    "deaths_per_thousand",
    "mean_return",
]


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
            meaning="Mean time until seen or gone, over all arrivals that were let in; who still "
            "waits at the end is censored, not left out (Kaplan-Meier, restricted to 72 h); 0 "
            "means that nobody waited.",
        ),
        Metric(
            name="p90_wait_minutes",
            label="90th percentile wait",
            unit="min",
            better="lower",
            meaning="The time after which nine of ten arrivals were seen or gone (Kaplan-Meier); "
            "0 means that at least nine of ten did not wait.",
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
            name="overtaken",
            label="overtaken",
            unit="share",
            better="lower",
            meaning="Share of arrivals past whom somebody of another group was started who had "
            "come later and was not more urgent; 0 means nobody, 1 everybody.",
        ),
        Metric(
            name="queue_jump_rate",
            label="starts past another group",
            unit="share",
            better="lower",
            meaning="Share of the group's starts that overtook a patient of another group who had "
            "come earlier and was at least as urgent; 0 means none, 1 every start.",
        ),
        Metric(
            name="mean_boarding_minutes",
            label="mean boarding",
            unit="min",
            better="lower",
            meaning="Mean time per arrival spent waiting for a bed of a later stage while keeping "
            "the present one, so far for who still boards at the end; 0 means that nobody boarded.",
        ),
        Metric(
            name="cost_by_recorded_acuity",
            label="cost by recorded acuity",
            unit="relative cost",
            better="lower",
            meaning="Standardised cost if the acuity that triage recorded is taken for the true "
            "one; beside the standardised cost it shows what wrong triage hides. 0 means that "
            "nobody of the group waited.",
        ),
        Metric(
            name="under_triaged",
            label="under-triaged",
            unit="share",
            better="lower",
            meaning="Share of arrivals let in whom triage recorded as less urgent than they are; "
            "a harm that standardising by recorded acuity would hide. 0 means nobody, 1 everybody.",
        ),
        Metric(
            name="deaths_per_thousand",
            label="expected deaths from delay",
            unit="per 1,000",
            better="lower",
            meaning="Expected additional deaths per 1,000 arrivals by the scenario's curve of "
            "delay and death; 0 means that no delay reached the curve's rise, 1,000 that every "
            "arrival died of it. Not part of the cost, so that no harm counts twice.",
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
