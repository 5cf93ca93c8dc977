"""Pair two policies that were judged on the same patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grpo.errors import InputError, Issue, shorten
from grpo.fairness.assembly import make_value
from grpo.fairness.disparity import gap
from grpo.fairness.intervals import EpisodeBootstrap
from grpo.fairness.report import (
    METRICS,
    ArmName,
    Comparison,
    EpisodeValues,
    FairnessReport,
    Gap,
    MetricName,
    Provenance,
    Value,
)
from grpo.fairness.statements import (
    NO_DISPARITY,
    capitalise,
    describe_difference,
    excludes_zero,
    format_interval,
    format_number,
)

Float64 = NDArray[np.float64]

WORST_GROUP_METHODS = frozenset({"softmin", "worst", "group_dro"})
"""Methods whose F is ``(1 - w) everybody + w worst group``, see ``grpo.objectives``."""

PAIRED_BY = (
    "library_version",
    "environment",
    "group_by",
    "judged_by",
    "evaluation_seed",
    "episodes",
    "warmup_hours",
    "horizon_hours",
    "merged_acuities",
    "acuity_mix",
    "confidence",
)


def compare_reports(
    report: FairnessReport,
    against: FairnessReport,
    *,
    label: str = "the first policy",
    against_label: str = "the second",
) -> Comparison:
    """Compare the policies of two reports, episode by episode on the same patients.

    Every quantity is resampled by whole episodes with the same resamples on both sides. The worst
    group and the gap are taken anew inside each resample.

    Raises:
        InputError: the reports do not pair; names each circumstance in which they differ.
    """
    ours, theirs = _episode_values(report, "/report"), _episode_values(against, "/against")
    check_pairing(report, against)
    bootstrap = EpisodeBootstrap.draw(
        report.provenance.episodes,
        report.provenance.evaluation_seed,
        confidence=report.provenance.confidence,
    )

    def difference(a: Float64, b: Float64) -> Value:
        """Subtract [1 + R] values, the estimate first and then its resamples."""
        return make_value((a - b)[0], (a - b)[1:], bootstrap)

    everybody = [_values_and_samples(_column(v.everybody), bootstrap) for v in (ours, theirs)]
    groups = [_values_and_samples(_table(v), bootstrap) for v in (ours, theirs)]
    known = np.flatnonzero(np.isfinite(groups[0][0]) & np.isfinite(groups[1][0]))
    shared = [table[:, known] for table in groups]
    extreme = np.max if METRICS[report.provenance.judged_by].better == "lower" else np.min
    if known.size == 0:
        worst = [np.full(1 + bootstrap.resamples, np.nan)] * 2
    else:
        worst = [extreme(table, axis=1) for table in shared]
    weight = report.provenance.group_robustness_weight
    mixed = [(1 - weight) * e[:, 0] + weight * w for e, w in zip(everybody, worst, strict=True)]
    comparison = Comparison(
        label=label,
        against=against_label,
        weight=weight,
        judged_by=report.provenance.judged_by,
        everybody=difference(everybody[0][:, 0], everybody[1][:, 0]),
        groups={
            group: difference(groups[0][:, g], groups[1][:, g])
            for g, group in enumerate(report.groups)
        },
        worst_group=difference(*worst),
        gap=difference(*map(gap, shared)),
        objective=difference(*mixed),
        statements=(),
    )
    said = _describe(comparison, against, name_objective(report.provenance))
    return comparison.model_copy(update={"statements": tuple(said)})


def episode_table(report: FairnessReport, arm: ArmName) -> Float64:
    """Return what each episode contributes to everybody and to every group, [E, 1 + G].

    NaN where a group has no value.

    Raises:
        InputError: the report holds no such values for that arm.
    """
    values = report.rule_episodes.get(arm)
    if arm == "policy":
        values = _episode_values(report, "/report")
    if values is None:
        raise InputError.single(
            "/report/rule_episodes", "the report holds no values by episode of the arm", given=arm
        )
    return np.concatenate([_column(values.everybody), _table(values)], axis=1)


def _episode_values(report: FairnessReport, pointer: str) -> EpisodeValues:
    if report.policy_episodes is None:
        raise InputError.single(
            f"{pointer}/policy_episodes", "the report holds no values by episode to pair with"
        )
    return report.policy_episodes


def check_pairing(report: FairnessReport, against: FairnessReport) -> None:
    """Refuse reports that were not made on the same patients, standardised alike.

    Raises:
        InputError: names each circumstance in which they differ.
    """
    issues = [
        Issue(
            f"/provenance/{name}",
            "differs between the reports",
            shorten(b),
            f"{a!r}, as in the first",
        )
        for name in PAIRED_BY
        if (a := getattr(report.provenance, name)) != (b := getattr(against.provenance, name))
    ]
    if report.groups != against.groups or report.kind != against.kind:
        issues.append(Issue("/groups", "the reports are about different groups"))
    if issues:
        raise InputError(issues)


def _column(values: tuple[float | None, ...]) -> Float64:
    return np.array([[np.nan if x is None else x] for x in values])


def _table(values: EpisodeValues) -> Float64:
    return np.concatenate([_column(group) for group in values.groups], axis=1)


def _values_and_samples(per_episode: Float64, bootstrap: EpisodeBootstrap) -> Float64:
    """Stack the estimates [1, M] on their resamples [R, M]."""
    return np.concatenate([per_episode.mean(axis=0, keepdims=True), bootstrap.means(per_episode)])


def name_objective(made: Provenance) -> str:
    """Say whether ``(1 - w) everybody + w worst group`` is what a training was to make better.

    It is for the methods whose F is that, on raw performance. ``cvar``, ``gini`` and groups
    measured against specialists have another F, which no report of outcomes alone can form.
    """
    if made.method in WORST_GROUP_METHODS and made.group_baseline == "raw":
        return "the objective"
    measured = "" if made.group_baseline == "raw" else f" of {made.group_baseline} performance"
    return f"not the objective, which is that of {made.method}{measured}"


def _describe(found: Comparison, against: FairnessReport, objective: str) -> list[str]:
    """Say what the paired differences support."""
    judged = capitalise(METRICS[found.judged_by].label)
    overall: MetricName = "mean_return" if against.kind == "episodes" else "cost_per_patient"
    theirs = {outcome.group: outcome.metrics for outcome in against.policy.groups}
    worst = against.policy.worst_group
    said = [
        describe_difference(
            f"{capitalise(METRICS[overall].label)} of everybody, {found.label}",
            found.against,
            found.everybody,
            of=against.policy.everybody.metrics[overall].value,
        )
    ]
    said += [
        describe_difference(
            f"{judged} of {group}", found.against, value, of=theirs[group][found.judged_by].value
        )
        for group, value in found.groups.items()
    ]
    said.append(
        describe_difference(
            f"{judged} of the worst group",
            found.against,
            found.worst_group,
            of=None if worst is None else theirs[worst][found.judged_by].value,
        )
    )
    said += _describe_gaps(found, against.policy.gap)
    if found.weight > 0 and found.objective.value is not None:
        mixed = f"{1 - found.weight:.2g} everybody + {found.weight:.2g} worst group"
        said.append(describe_difference(f"{mixed}, {objective}", found.against, found.objective))
    return said


def _describe_gaps(found: Comparison, baseline: Gap) -> list[str]:
    """Claim a narrower gap only where there was one and the worst group gained."""
    if baseline.beyond_null is False:
        return [
            f"{capitalise(found.against)} shows a gap of {format_number(baseline.value)}, not "
            f"beyond the {format_number(baseline.null_95)} of chance: {NO_DISPARITY}."
        ]
    worst, change = found.worst_group.value, format_interval(found.gap, signed=True)
    if found.gap.value is None or worst is None:
        return []
    if not excludes_zero(found.gap):
        return [f"The gaps are not distinguishable, {change}."]
    if found.gap.value > 0:
        return [f"The gap between groups is wider, {change}."]
    lower_is_better = METRICS[found.judged_by].better == "lower"
    if excludes_zero(found.worst_group) and (worst < 0) == lower_is_better:
        return [f"The gap between groups is narrower, {change}, and the worst group gained."]
    return [
        f"The gap is narrower, {change}, but the worst group did not demonstrably gain: "
        "levelling down is no improvement."
    ]
