"""What several trainings of two arms support, as a value: frozen, JSON without NaN."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from grpo.fairness.report import ArmName, MetricName, Value
from grpo.schema import FrozenModel

EVERYBODY, WORST_GROUP, GAP = "everybody", "worst group", "gap"

LEAST_SEEDS = 10
"""Paired trainings that a claim needs; 5 cannot reach p < .05 in an exact sign-flip test."""

LEAST_EPISODES = 100
"""Evaluation episodes that a claim needs."""

SeedVerdict = Literal["lower", "higher", "not distinguishable", "too few seeds", "too few episodes"]


class FailedRun(FrozenModel):
    """A training that gave no policy. It is reported and holds back claims, never dropped."""

    arm: str
    seed: int
    reason: str


class Claim(FrozenModel):
    """One paired difference between two arms of trainings, first minus second.

    Attributes:
        subject: everybody, the worst group (whichever it is in each training), the gap, or a group.
        first: mean over seeds of the first arm.
        second: mean over seeds of the second.
        difference: with its two-way interval.
        relative: the difference as a share of the second arm's mean; .02 means 2% more. None of a
            gap, and where that mean is not clearly above 0.
        first_iqm: interquartile mean over the first arm's seeds.
        second_iqm: likewise.
        p_value: of the exact sign-flip test over paired seeds.
        p_adjusted: after Holm, within the family of all claims of one comparison.
        cliffs_delta: over seeds; 1 means that every first is larger than every second, -1 less.
        probability_of_improvement: that a first is better than a second; .5 means no tendency.
        verdict: a direction only with 10 seeds, 100 episodes, an adjusted p below .05 and an
            interval without 0.
    """

    subject: str
    first: float
    second: float
    difference: Value
    relative: Value
    first_iqm: float
    second_iqm: float
    p_value: float = Field(ge=0, le=1)
    p_adjusted: float = Field(ge=0, le=1)
    cliffs_delta: float = Field(ge=-1, le=1)
    probability_of_improvement: float = Field(ge=0, le=1)
    verdict: SeedVerdict


class NonInferiority(FrozenModel):
    """Whether a loss is shown to stay below a margin declared beforehand.

    Attributes:
        subject: everybody, or a group.
        against: the other arm of trainings, or a rule.
        loss: how much worse, as a share of the other's value; below 0 is a gain.
        margin: the largest share that was declared tolerable.
        shown: whether the whole interval lies below the margin, from 10 seeds and 100 episodes.
    """

    subject: str
    against: str
    loss: Value
    margin: float = Field(ge=0)
    shown: bool


class SeedComparison(FrozenModel):
    """Two arms of trainings on the same episodes, paired by training seed.

    Attributes:
        seeds: in the order of the pairs.
        judged_by: the metric of the groups.
        overall: the metric of everybody.
        claims: the whole family that Holm was applied to.
        unjudged: groups without a value, which are in no claim.
        efficiency_kept: the second arm's cost over the first's, for everybody; 1 means that
            nothing was paid, .95 that 5% more was. None where returns are judged.
        non_inferiority: against the other arm (everybody) and the rule (every group).
        rule: the rule of today, if it was judged.
        gaps_beyond_chance: trainings of the second arm whose gap is beyond what shuffled labels
            show; None where that is not known. Without half of them no disparity is there to close.
        failed: trainings without a policy; with any, no improvement is claimed.
        improved: whether the worst group is shown to have gained; without that nothing is called
            an improvement.
    """

    schema_version: Literal[1] = 1
    label: str
    against: str
    seeds: tuple[int, ...]
    episodes: int
    evaluation_seed: int
    environment: str
    confidence: float
    resamples: int
    judged_by: MetricName
    overall: MetricName
    claims: tuple[Claim, ...]
    unjudged: tuple[str, ...] = ()
    efficiency_kept: Value | None = None
    non_inferiority: tuple[NonInferiority, ...] = ()
    rule: ArmName | None = None
    gaps_beyond_chance: int | None = None
    failed: tuple[FailedRun, ...] = ()
    improved: bool
    statements: tuple[str, ...] = ()

    def claim(self, subject: str) -> Claim | None:
        """Return the claim about a subject, None if there is none."""
        return next((claim for claim in self.claims if claim.subject == subject), None)
