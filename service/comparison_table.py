"""A comparison of rules as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from grpo.comparison.report import (
    ContenderOutcome,
    CostSet,
    Difference,
    RankedContender,
    RuleComparison,
)
from grpo.comparison.statements import describe_caveats, describe_warmup
from grpo.fairness.metrics import METRICS
from grpo.fairness.report import Value
from grpo.fairness.statements import NOT_DISTINGUISHABLE, format_interval, format_number
from service.terminal import output

LEAST_WIDTH = 124
FIRST = "(the first)"


def make_tables(found: RuleComparison) -> Iterator[Table]:
    """Yield the tables: everybody, the groups, the worst group, and the sets of costs."""
    yield _everybody(found)
    yield _groups(found)
    yield _worst_groups(found)
    if len(found.cost_sets) > 1:
        yield _cost_sets(found)


def list_notes(found: RuleComparison) -> list[str]:
    """List what must be known before a number of the tables is quoted."""
    return [*describe_warmup(found), *describe_caveats(found)]


def _make_table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _everybody(found: RuleComparison) -> Table:
    first = found.contenders[0].label
    table = _make_table(
        f"{found.scenario}: {found.contenders[0].patients:,} patients in {found.replications} x "
        f"{found.horizon_hours:g} h after {found.warmup_hours:g} h, the same for everyone; 95% "
        "intervals",
        "rule", "cost per patient", f"against {first}", "in time", "left", "mean wait",
    )  # fmt: skip
    for contender in found.contenders:
        metrics, differences = contender.everybody.metrics, contender.everybody.differences
        table.add_row(
            contender.label,
            format_interval(metrics["cost_per_patient"]),
            _against(differences.get("cost_per_patient"), full=True),
            _percent(metrics["share_within_target"]),
            _percent(metrics["left_unseen"]),
            f"{format_number(metrics['mean_wait_minutes'].value)} min",
        )
    return table


def _groups(found: RuleComparison) -> Table:
    first = found.contenders[0].label
    table = _make_table(
        "By group: per patient as they come, and adjusted to the pooled acuity mix",
        "rule", "group", "cost", f"against {first}", "adjusted", f"against {first}", "mean wait",
    )  # fmt: skip
    for contender in found.contenders:
        for place, (group, outcome) in enumerate(contender.groups.items()):
            table.add_row(
                contender.label if place == 0 else "",
                group,
                format_number(outcome.metrics["cost_per_patient"].value),
                _against(outcome.differences.get("cost_per_patient")),
                format_number(outcome.metrics["standardised_cost"].value),
                _against(outcome.differences.get("standardised_cost")),
                f"{format_number(outcome.metrics['mean_wait_minutes'].value)} min",
                end_section=place == len(contender.groups) - 1,
            )
    return table


def _worst_groups(found: RuleComparison) -> Table:
    first, weight = found.contenders[0].label, found.group_robustness_weight
    table = _make_table(
        f"Worst group by {METRICS[found.judged_by].label}, and {1 - weight:.2g} x everybody + "
        f"{weight:.2g} x worst group",
        "rule", "worst group", "its cost", f"against {first}", "gap", "both", f"against {first}",
    )  # fmt: skip
    for contender in found.contenders:
        summary, differences = contender.summary, contender.differences
        table.add_row(
            contender.label,
            contender.worst_group or "–",
            format_number(summary.worst_group.value),
            _against(None if differences is None else differences.worst_group),
            format_number(summary.gap.value),
            format_number(summary.objective.value),
            _against(None if differences is None else differences.objective),
        )
    return table


def _cost_sets(found: RuleComparison) -> Table:
    table = _make_table(
        f"Rank and cost per patient under each set of costs, against {found.contenders[0].label}",
        "rule", *(costs.name for costs in found.cost_sets),
    )  # fmt: skip
    for contender in found.contenders:
        table.add_row(contender.label, *(_ranked(costs, contender) for costs in found.cost_sets))
    return table


def _ranked(costs: CostSet, contender: ContenderOutcome) -> str:
    rank, own = next(
        (place, ranked)
        for place, ranked in enumerate(costs.ranking, start=1)
        if ranked.label == contender.label
    )
    return f"{rank}. {format_number(own.cost_per_patient.value)} {_verdict(own)}"


def _verdict(ranked: RankedContender) -> str:
    return FIRST if ranked.difference is None else ranked.difference.verdict


def _against(difference: Difference | None, *, full: bool = False) -> str:
    """Write a difference with its interval; where that holds zero, that nothing is shown."""
    if difference is None:
        return FIRST
    interval = format_interval(difference, signed=True)
    if difference.verdict != NOT_DISTINGUISHABLE:
        return interval
    return f"{NOT_DISTINGUISHABLE} {interval}" if full else NOT_DISTINGUISHABLE


def _percent(value: Value) -> str:
    return "–" if value.value is None else f"{100 * value.value:.1f}%"


def print_comparison(found: RuleComparison) -> None:
    """Print tables and notes."""
    console = output if output.is_terminal else Console(width=max(output.width, LEAST_WIDTH))
    for table in make_tables(found):
        console.print(table)
    for note in list_notes(found):
        console.print(note, highlight=False)
