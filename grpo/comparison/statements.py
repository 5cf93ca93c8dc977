"""What a comparison supports, in sentences. Nothing is claimed whose interval holds zero."""

from __future__ import annotations

from grpo.comparison.report import FORGOTTEN, ContenderOutcome, RuleComparison
from grpo.fairness.metrics import METRICS
from grpo.fairness.statements import (
    HOW_INTERVALS,
    describe_difference,
    format_interval,
    format_number,
)

LEAST_RESAMPLED = 6
"""From so many replications on, their range holds the median in 95% of cases: 1 - .5^5."""


def describe_comparison(found: RuleComparison) -> tuple[str, ...]:
    """List the statements: each contender against the first, cost sets, warm-up and caveats."""
    said = [line for other in found.contenders[1:] for line in _against_first(found, other)]
    return (*said, *_cost_sets(found), *describe_warmup(found), *describe_caveats(found))


def _against_first(found: RuleComparison, ours: ContenderOutcome) -> list[str]:
    first = found.contenders[0]
    if ours.differences is None:
        return []
    said = [
        describe_difference(
            f"{ours.label}: cost per patient",
            first.label,
            ours.everybody.differences["cost_per_patient"],
            of=first.everybody.metrics["cost_per_patient"].value,
        ),
        describe_difference(
            f"{ours.label}: {METRICS[found.judged_by].label} of the worst group",
            first.label,
            ours.differences.worst_group,
            of=first.summary.worst_group.value,
        ),
    ]
    losing = [
        f"{group} ({format_interval(difference, signed=True)})"
        for group, outcome in ours.groups.items()
        if (difference := outcome.differences[found.judged_by]).verdict == "higher"
    ]
    if losing:
        said.append(
            f"{ours.label}: worse than under {first.label} in "
            f"{METRICS[found.judged_by].label}: {', '.join(losing)}."
        )
    return said


def _cost_sets(found: RuleComparison) -> list[str]:
    """Say whether the order of the contenders depends on the costs."""
    if len(found.cost_sets) < 2 or len(found.contenders) < 2:
        return []
    orders = {costs.name: [r.label for r in costs.ranking] for costs in found.cost_sets}
    own = found.cost_sets[0]
    if all(order == orders[own.name] for order in orders.values()):
        return [f"The order is the same under all {len(orders)} sets of costs."]
    listed = "; ".join(f"{name}: {', '.join(order)}" for name, order in orders.items())
    return [f"The order depends on the costs, cheapest first: {listed}."]


def describe_warmup(found: RuleComparison) -> list[str]:
    """Say whether the warm-up is shown to be long enough, and whether costs drift after it."""
    joint = f"joint {100 * found.confidence:g}% intervals"
    drifting = [check for check in found.warmup if check.drifts]
    said = [_describe_start(found, joint)]
    if drifting:
        listed = "; ".join(
            f"{check.label} {format_number(check.first_half)} then "
            f"{format_number(check.second_half)}"
            for check in drifting
        )
        said.append(
            f"Cost per patient differs between the first {drifting[0].half_hours:g} judged hours "
            f"and the next {drifting[0].half_hours:g} ({joint}): {listed}. Ask for more warm-up."
        )
    return said


def _describe_start(found: RuleComparison, joint: str) -> str:
    """Say what the judged time remembers of the start."""
    hours = f"{found.warmup_hours:g} h"
    if all(check.crowded is None for check in found.warmup):
        return "No warm-up: the judged time begins with the first hour."
    if all(check.is_forgotten for check in found.warmup):
        most = max(check.remembered or 0.0 for check in found.warmup)
        return (
            f"Warm-up of {hours} is long enough: from a crowded start the same patients cost no "
            f"contender more than {most:.1%} more or less ({joint})."
        )
    listed = "; ".join(
        f"{check.label} {format_interval(check.crowded, signed=True)}"
        for check in found.warmup
        if check.crowded is not None and not check.is_forgotten
    )
    return (
        f"Warm-up of {hours} is not shown to be long enough: from a crowded start the same "
        f"patients' cost changes by {listed} ({joint}; within {FORGOTTEN:.0%} it would be "
        "forgotten). Ask for a longer warm-up, or for more replications."
    )


def describe_caveats(found: RuleComparison) -> list[str]:
    """Name what a reader must know before quoting a number."""
    said = []
    aware = [contender.label for contender in found.contenders if contender.group_aware]
    if aware:
        said.append(f"{', '.join(aware)}: looks at groups, which may be unlawful; only to compare.")
    waiting = {c.label: c.still_waiting for c in found.contenders if c.still_waiting}
    if waiting:
        listed = ", ".join(f"{label} {count}" for label, count in waiting.items())
        said.append(
            f"Still waiting at the end ({listed} of {found.contenders[0].patients} patients): "
            "their costs count as far as they went."
        )
    merged = [" and ".join(map(str, cell)) for cell in found.merged_acuities if len(cell) > 1]
    if merged:
        said.append(f"Acuities adjusted for as one because they are sparse: {'; '.join(merged)}.")
    said.append(
        f"Intervals are {100 * found.confidence:g}% each, over {found.replications} whole "
        f"replications: {HOW_INTERVALS.format(found.resamples)}; they are not corrected for their "
        "number."
    )
    most = 1 - 0.5 ** (found.replications - 1)
    if most < found.confidence:
        said.append(
            f"Resamples of {found.replications} replications span no more than their range, which "
            f"holds the truth in about {most:.0%} of cases: take differences with caution, or ask "
            f"for at least {LEAST_RESAMPLED} replications."
        )
    return said
