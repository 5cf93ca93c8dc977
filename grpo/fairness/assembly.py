"""Put measured arms into the report model: values with intervals, gaps, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grpo.fairness.disparity import gap, worst_group
from grpo.fairness.intervals import EpisodeBootstrap, Estimate, student_interval
from grpo.fairness.report import (
    EVERYBODY,
    METRICS,
    Arm,
    ArmName,
    Difference,
    EpisodeValues,
    FairnessReport,
    Gap,
    Inequality,
    Intersections,
    MetricName,
    Outcome,
    Parity,
    Provenance,
    Value,
    Verdict,
)
from grpo.fairness.statements import describe_report

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

MAX_EPISODE_VALUES = 200_000


class Sampled(NamedTuple):
    """A metric by group and (last) for everybody.

    Attributes:
        value: [G + 1].
        low: [G + 1] of the interval of the value.
        high: [G + 1] of it.
        samples: [R, G + 1] resamples, from which differences get their intervals.
    """

    value: Float64
    low: Float64
    high: Float64
    samples: Float64

    @classmethod
    def of(cls, metric: MetricName, estimate: Estimate, bootstrap: EpisodeBootstrap) -> Sampled:
        """Resample an estimate, which has its interval without that."""
        low, high = interval_of(metric, estimate)
        return cls(estimate.value, low, high, bootstrap.means(estimate.per_episode))

    @classmethod
    def of_resamples(cls, value: Float64, samples: Float64, bootstrap: EpisodeBootstrap) -> Sampled:
        """Take the interval from resamples of what has no contributions of episodes."""
        return cls(value, *bootstrap.interval(samples), samples)

    def describe(self, group: int) -> Value:
        """Return the value of one group, or of everybody, with its interval."""
        return make_level(self.value[group], self.low[group], self.high[group])


@dataclass(frozen=True)
class JudgedArm:
    """One arm, measured and resampled.

    Attributes:
        counts: [G + 1] patients or episodes.
        still_waiting: [G + 1].
        diverted: [G + 1].
        metrics: every metric of the report.
        judged: [G] the metric that worst group and gap are about.
        overall: [1] the cost per patient (or mean return) of everybody.
        parity: of treatment, admission and opportunity, where patients are judged.
        inequality: of the judged costs over groups, where patients are judged.
    """

    counts: Float64
    still_waiting: Int64
    diverted: Int64
    metrics: dict[MetricName, Sampled]
    judged: Estimate
    overall: Estimate
    parity: tuple[Parity, ...] = ()
    inequality: Inequality | None = None


def optional(number: float) -> float | None:
    """Return the number, or None for NaN: a report holds no NaN."""
    return float(number) if np.isfinite(number) else None


def interval_of(metric: MetricName, estimate: Estimate) -> tuple[Float64, Float64]:
    """Return the interval of a metric [...] over episodes: Student's, within what it can be.

    Not for returns of episodes, which may have any sign.
    """
    return student_interval(estimate, largest=1.0 if METRICS[metric].unit == "share" else math.inf)


def make_level(value: float, low: float, high: float) -> Value:
    """Build a value from three numbers, NaN where not known."""
    return Value(value=optional(value), low=optional(low), high=optional(high))


def make_value(value: float, samples: Float64, bootstrap: EpisodeBootstrap) -> Value:
    """Build a value with its interval from resamples [R]; all None where it is not known."""
    low, high = bootstrap.interval(samples)
    return make_level(value, float(low), float(high))


def give_verdict(difference: Value) -> Verdict:
    """Say what a paired difference supports: a direction only if the interval excludes zero."""
    if difference.low is None or difference.high is None:
        return "not known"
    if difference.low > 0:
        return "higher"
    return "lower" if difference.high < 0 else "not distinguishable"


def make_report(
    *,
    kind: Literal["patients", "episodes"],
    group_labels: tuple[str, ...],
    judged: Mapping[ArmName, JudgedArm],
    labels: Mapping[ArmName, str],
    provenance: Provenance,
    bootstrap: EpisodeBootstrap,
    null: Float64 | None,
    intersections: Intersections | None = None,
) -> FairnessReport:
    """Put the measurements into the model and say in words what they support."""
    policy = judged["policy"]
    episodes = {name: _list_episodes(arm) for name, arm in judged.items()}
    arms = []
    for index, (name, arm) in enumerate(judged.items()):
        null_95 = None if null is None else float(np.quantile(null[:, index], 0.95))
        arms.append(
            _make_arm(
                name, labels[name], arm, group_labels=group_labels, bootstrap=bootstrap,
                null_95=null_95,
            )
        )  # fmt: skip
    differences = [
        difference
        for name in judged
        if name != "policy"
        for difference in _differences(name, policy, judged[name], group_labels, bootstrap)
    ]
    report = FairnessReport.parse(
        {
            "kind": kind,
            "provenance": provenance.model_copy(
                update={
                    "resamples": bootstrap.resamples,
                    "permutations": 0 if null is None else null.shape[0],
                }
            ),
            "metrics": [METRICS[name] for name in policy.metrics],
            "groups": group_labels,
            "arms": arms,
            "differences": differences,
            "intersections": intersections,
            "policy_episodes": episodes["policy"],
            "rule_episodes": {n: v for n, v in episodes.items() if n != "policy" and v is not None},
        }
    )
    return report.model_copy(update={"statements": describe_report(report)})


def _list_episodes(arm: JudgedArm) -> EpisodeValues | None:
    """List the contributions of the episodes, unless they are too many for a report."""
    if arm.judged.per_episode.size + arm.overall.per_episode.size > MAX_EPISODE_VALUES:
        return None
    columns = [[optional(x) for x in column] for column in arm.judged.per_episode.T]
    overall = [optional(x) for x in arm.overall.per_episode[:, 0]]
    return EpisodeValues(everybody=tuple(overall), groups=tuple(map(tuple, columns)))


def _make_arm(
    name: ArmName,
    label: str,
    arm: JudgedArm,
    *,
    group_labels: tuple[str, ...],
    bootstrap: EpisodeBootstrap,
    null_95: float | None,
) -> Arm:
    """Build the outcomes of one arm."""
    outcomes = [
        Outcome(
            group=group,
            count=float(arm.counts[g]),
            still_waiting=int(arm.still_waiting[g]),
            diverted=int(arm.diverted[g]),
            metrics={metric: sampled.describe(g) for metric, sampled in arm.metrics.items()},
        )
        for g, group in enumerate([*group_labels, EVERYBODY])
    ]
    known = np.flatnonzero(np.isfinite(arm.judged.value))
    measured = gap(arm.judged.value[known])
    spread = make_value(
        float(measured), gap(bootstrap.means(arm.judged.per_episode[:, known])), bootstrap
    )
    sign = 1 if "mean_return" not in arm.metrics else -1
    worst = worst_group(sign * arm.judged.value)
    return Arm(
        name=name,
        label=label,
        everybody=outcomes[-1],
        groups=tuple(outcomes[:-1]),
        worst_group=None if worst is None else group_labels[worst],
        gap=Gap(
            **spread.model_dump(),
            null_95=null_95,
            beyond_null=None if null_95 is None else bool(measured > null_95),
        ),
        parity=arm.parity,
        inequality=arm.inequality,
    )


def _differences(
    against: ArmName, policy: JudgedArm, rule: JudgedArm, group_labels: tuple[str, ...],
    bootstrap: EpisodeBootstrap,
) -> list[Difference]:  # fmt: skip
    """Pair the policy with a rule, metric by metric and group by group."""
    found = []
    for metric, ours in policy.metrics.items():
        theirs = rule.metrics[metric]
        for g, group in enumerate([*group_labels, EVERYBODY]):
            value = make_value(
                ours.value[g] - theirs.value[g],
                ours.samples[:, g] - theirs.samples[:, g],
                bootstrap,
            )
            found.append(
                Difference(
                    **value.model_dump(), against=against, group=group, metric=metric,
                    verdict=give_verdict(value),
                )
            )  # fmt: skip
    return found
