"""What the numbers support, in sentences. Nothing is claimed whose interval holds zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpo.fairness.report import (
        Arm,
        Difference,
        FairnessReport,
        Gap,
        Intersections,
        Provenance,
        Value,
    )

NOT_DISTINGUISHABLE = "not distinguishable"
NO_DISPARITY = "no disparity to close"
HOW_INTERVALS = (
    "Student's on a log scale for means of costs and waits, on a logit scale for shares, and from "
    "{:,} resamples for all else"
)
"""How a report's or a comparison's intervals are made, once the number of resamples is known."""


def capitalise(text: str) -> str:
    """Begin with a capital and leave the rest as it is."""
    return text[:1].upper() + text[1:]


def format_number(value: float | None, *, signed: bool = False) -> str:
    """Write three significant digits without exponent; "–" for None."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:{'+' if signed else ''}.{digits}f}"


def format_interval(value: Value, *, signed: bool = False) -> str:
    """Write "1.23 (1.10 to 1.36)", or "–" where the value is not known."""
    text = format_number(value.value, signed=signed)
    if value.low is None or value.high is None:
        return text
    low, high = (format_number(x, signed=signed) for x in (value.low, value.high))
    return f"{text} ({low} to {high})"


def excludes_zero(value: Value) -> bool:
    """Tell whether the interval is known and lies on one side of zero."""
    return value.low is not None and value.high is not None and (value.low > 0 or value.high < 0)


def describe_gap(label: str, gap: Gap, judged: str) -> str:
    """Say whether groups differ by more than chance alone would show."""
    if gap.value is None:
        return f"{label}: no gap to state, fewer than two groups have patients."
    measured = f"{label}: gap in {judged} {format_interval(gap)}"
    if gap.null_95 is None:
        return f"{measured}; no null to compare it with."
    null = format_number(gap.null_95)
    if gap.beyond_null:
        return f"{measured}, beyond the {null} that chance alone stays under in 19 of 20 cases."
    return (
        f"{measured}, not beyond the {null} that chance alone stays under in 19 of 20 cases: "
        f"{NO_DISPARITY}."
    )


def describe_difference(
    subject: str, against: str, difference: Value, *, of: float | None = None
) -> str:
    """Say "lower", "higher" or "not distinguishable", with the interval.

    Args:
        subject: what differs.
        against: from what it differs.
        difference: with its interval.
        of: the other side's value; if given, the difference is said in percent of it too.
    """
    measured = format_interval(difference, signed=True)
    if of and difference.value is not None:
        measured += f", {100 * difference.value / of:+.1f}%"
    if difference.value is None or difference.low is None:
        return f"{subject} against {against}: not known."
    if not excludes_zero(difference):
        return f"{subject} against {against}: {NOT_DISTINGUISHABLE}, {measured}."
    direction = "lower" if difference.value < 0 else "higher"
    return f"{subject} against {against}: {direction}, {measured}."


def describe_report(report: FairnessReport) -> tuple[str, ...]:
    """List the statements of a report: gaps, the policy against each rule, and the caveats."""
    judged = next(m for m in report.metrics if m.name == report.provenance.judged_by).label
    statements = [describe_gap(capitalise(arm.label), arm.gap, judged) for arm in report.arms]
    for arm in report.arms[1:]:
        statements += _against_rule(report, arm, judged)
    return (*statements, *_describe_parity(report), *_caveats(report))


def _find(report: FairnessReport, arm: Arm, group: str, metric: str) -> Difference:
    return next(
        d for d in report.differences if (d.against, d.group, d.metric) == (arm.name, group, metric)
    )


def _against_rule(report: FairnessReport, arm: Arm, judged: str) -> list[str]:
    """Describe everybody's cost, the groups that lose, and the worst group, against one rule."""
    if report.provenance.served == "rule" and arm.name == "start_rule":
        return ["Training did not beat the starting rule on validation: the policy is that rule."]
    cost = _find(report, arm, "everybody", "cost_per_patient")
    theirs = arm.everybody.metrics["cost_per_patient"].value
    said = [describe_difference("Cost per patient", arm.label, cost, of=theirs)]
    losing = [
        f"{group} ({format_interval(d, signed=True)})"
        for group in report.groups
        if (d := _find(report, arm, group, report.provenance.judged_by)).verdict == "higher"
    ]
    if losing:
        said.append(f"Worse off than under {arm.label} in {judged}: {', '.join(losing)}.")
    if arm.worst_group is not None:
        worst = _find(report, arm, arm.worst_group, report.provenance.judged_by)
        subject = f"{capitalise(judged)} of {arm.worst_group}, the worst group there,"
        said.append(describe_difference(subject, arm.label, worst))
        if cost.verdict == "lower" and worst.verdict != "lower":
            said.append(
                f"{capitalise(arm.label)}: everybody together gained, the worst group did not "
                "demonstrably: no improvement in fairness is claimed."
            )
    return said


def _describe_parity(report: FairnessReport) -> list[str]:
    """Say how far apart the groups' chances are under the policy, at equal acuity."""
    said = []
    titles = {
        "treatment": "Care began, at equal acuity",
        "admission": "Let in, at equal acuity",
        "equal_opportunity": "Seen within target, among the urgent",
    }
    for parity in report.policy.parity:
        if parity.acuities and parity.name != "equal_opportunity":
            continue
        if parity.difference.value is None:
            continue
        if parity.difference.value == 0:
            said.append(f"{titles[parity.name]}: the same share of every group.")
            continue
        measured = f"shares differ by {format_interval(parity.difference)} between groups"
        if parity.null_95 is not None:
            beyond = "" if parity.difference.value > parity.null_95 else "not "
            measured += f", {beyond}beyond the {format_number(parity.null_95)} of chance"
        said.append(f"{titles[parity.name]}: {measured}.")
    return said


def _caveats(report: FairnessReport) -> list[str]:
    """Name everything that a reader must know before quoting a number."""
    said = []
    policy, provenance = report.policy, report.provenance
    if len(report.groups) == 1:
        said.append("One group only: there is nothing to compare it with.")
    nobody = [outcome.group for outcome in policy.groups if outcome.count == 0]
    if nobody:
        said.append(f"Nobody belonged to {', '.join(nobody)} in the judged episodes: no values.")
    unknown = [
        outcome.group
        for outcome in policy.groups
        if outcome.count > 0 and outcome.metrics[provenance.judged_by].value is None
    ]
    if unknown:
        said.append(
            f"{', '.join(unknown)}: an acuity cell stayed empty, so no standardised cost; more "
            "episodes would fill it."
        )
    if report.intersections is not None:
        said += _describe_intersections(report.intersections)
    waiting = {arm.label: arm.everybody.still_waiting for arm in report.arms}
    if any(waiting.values()):
        listed = ", ".join(f"{label} {count}" for label, count in waiting.items())
        said.append(
            f"Still waiting at the end ({listed} of {policy.everybody.count:.0f} patients): their "
            "waits are censored (Kaplan-Meier), their costs count as far as they went."
        )
    diverted = {arm.label: arm.everybody.diverted for arm in report.arms}
    if any(diverted.values()):
        listed = ", ".join(f"{label} {count}" for label, count in diverted.items())
        said.append(f"Turned away because the place was full: {listed}; they have no wait.")
    return said + _standardisation(provenance)


def _describe_intersections(shown: Intersections) -> list[str]:
    """Name the combinations of attributes that are too small to be judged by themselves."""
    said = []
    for names, what in ((shown.merged, "judged together"), (shown.withheld, "withheld")):
        if names:
            said.append(
                f"Combinations of attributes with fewer than {shown.least_patients} patients, "
                f"{what}: {', '.join(names)}."
            )
    return said


def _standardisation(provenance: Provenance) -> list[str]:
    """Name merged acuities and how intervals are to be read."""
    merged = [cell for cell in provenance.merged_acuities if len(cell) > 1]
    said = []
    if merged:
        cells = "; ".join(" and ".join(map(str, cell)) for cell in merged)
        said.append(
            f"Acuities standardised as one because they are sparse: {cells}. Groups may still "
            "differ in their mix inside these, which shows as a gap."
        )
    share = f"{100 * provenance.confidence:g}%"
    said.append(
        f"Intervals are {share} each, over {provenance.episodes} whole episodes of one trained "
        f"policy: {HOW_INTERVALS.format(provenance.resamples)}; they are not corrected for their "
        "number and do not cover training with another seed."
    )
    return said
