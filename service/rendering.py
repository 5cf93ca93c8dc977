"""Reports and decisions as tables and sentences for a terminal, readable without colour too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from grpo.fairness.report import METRICS, Arm, FairnessReport, MetricName, Outcome, Value
from grpo.fairness.statements import format_interval, format_number


def _scaled(value: Value, metric: MetricName) -> Value:
    """Show shares as percentages."""
    if METRICS[metric].unit != "share":
        return value
    percent = {
        name: None if number is None else 100 * number
        for name, number in value.model_dump().items()
    }
    return Value.model_validate(percent)


def _cell(outcome: Outcome, metric: MetricName, *, intervals: bool) -> str:
    value = _scaled(outcome.metrics[metric], metric)
    if not intervals or value.low is None or value.high is None:
        return format_number(value.value)
    return f"{format_number(value.value)} ({format_number(value.low)}–{format_number(value.high)})"


def _title(metric: MetricName) -> str:
    unit = {"share": ", %", "min": ", min"}.get(METRICS[metric].unit, "")
    return METRICS[metric].label + unit


def _print_fitting(console: Console, build: Callable[[bool], Table]) -> None:
    """Print the table with intervals if it fits the console, without them if it does not."""
    table = build(True)
    unlimited = console.options.update(max_width=10_000)
    if console.measure(table, options=unlimited).maximum > console.width:
        table = build(False)
    console.print(table)


def print_outcomes(
    console: Console, arms: Mapping[str, Arm], metrics: Sequence[MetricName]
) -> None:
    """Print arms side by side, one block of rows per metric and one row per group.

    Args:
        console: where to print; intervals are left out where they do not fit.
        arms: by column title; all with the same groups.
        metrics: the blocks, in order.
    """
    _print_fitting(console, lambda intervals: _outcome_table(arms, metrics, intervals=intervals))


def _outcome_table(
    arms: Mapping[str, Arm], metrics: Sequence[MetricName], *, intervals: bool
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), highlight=False)
    table.add_column("group (patients)", no_wrap=True)
    for title in arms:
        table.add_column(title, justify="right", no_wrap=True)
    first = next(iter(arms.values()))
    for metric in metrics:
        table.add_row(_title(metric), style="bold")
        for index, outcome in enumerate([*first.groups, first.everybody]):
            cells = [
                _cell([*arm.groups, arm.everybody][index], metric, intervals=intervals)
                for arm in arms.values()
            ]
            last = outcome is first.everybody
            table.add_row(f"  {outcome.group} ({outcome.count:,.0f})", *cells, end_section=last)
    return table


def print_gaps(console: Console, arms: Mapping[str, Arm], judged_by: MetricName) -> None:
    """Print what each arm costs everybody, its worst group and its gap beside chance."""
    _print_fitting(console, lambda intervals: _gap_table(arms, judged_by, intervals=intervals))


def _gap_table(arms: Mapping[str, Arm], judged_by: MetricName, *, intervals: bool) -> Table:
    def show(value: Value) -> str:
        return format_interval(value) if intervals else format_number(value.value)

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), highlight=False)
    for title in ("", "cost", "worst group", "gap", "by chance", ""):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for title, arm in arms.items():
        worst = next((o for o in arm.groups if o.group == arm.worst_group), None)
        table.add_row(
            title,
            show(arm.everybody.metrics["cost_per_patient"]),
            "–"
            if worst is None
            else f"{worst.group} {format_number(worst.metrics[judged_by].value)}",
            show(arm.gap),
            f"< {format_number(arm.gap.null_95)}",
            {True: "beyond chance", False: "no disparity", None: ""}[arm.gap.beyond_null],
        )
    return table


def print_parity(console: Console, arms: Mapping[str, Arm]) -> None:
    """Print how far apart the groups' chances are, and how unevenly the cost is spread."""
    _print_fitting(console, lambda intervals: _parity_table(arms, intervals=intervals))


URGENT = "equal_opportunity"
PARITY_TITLES = {
    "treatment": "care began, at equal acuity",
    "admission": "let in, at equal acuity",
    URGENT: "urgent, seen within target",
}


def _parity_table(arms: Mapping[str, Arm], *, intervals: bool) -> Table:
    def show(value: Value | None) -> str:
        if value is None:
            return format_number(None)
        return format_interval(value) if intervals else format_number(value.value)

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), highlight=False)
    table.add_column("between groups", no_wrap=True)
    for title in arms:
        table.add_column(title, justify="right", no_wrap=True)
    for name, title in PARITY_TITLES.items():
        # By single acuity too many rows for a terminal: those stand in the JSON.
        found = [
            next(
                (p for p in arm.parity if p.name == name and (not p.acuities or name == URGENT)),
                None,
            )
            for arm in arms.values()
        ]
        if any(found):
            differences = [None if p is None else p.difference for p in found]
            ratios = [None if p is None else p.ratio for p in found]
            table.add_row(f"{title}: difference", *map(show, differences))
            table.add_row(f"{title}: ratio", *map(show, ratios))
    for index in ("gini", "jain", "theil"):
        spread: list[Value | None] = [
            None if arm.inequality is None else getattr(arm.inequality, index)
            for arm in arms.values()
        ]
        if any(spread):
            table.add_row(f"{index.capitalize()} of the groups' costs", *map(show, spread))
    return table


def print_statements(console: Console, statements: Sequence[str]) -> None:
    """Print sentences as a list, wrapped at the console's width."""
    for statement in statements:
        grid = Table.grid(padding=(0, 1))
        grid.add_row("-", statement)
        console.print(grid, highlight=False)


def print_report(console: Console, report: FairnessReport, title: str) -> None:
    """Print one whole report: outcomes, gaps, parity, statements."""
    console.print(title, style="bold")
    arms = {arm.label: arm for arm in report.arms}
    print_outcomes(console, arms, [metric.name for metric in report.metrics])
    if report.kind == "patients":
        print_gaps(console, arms, report.provenance.judged_by)
        print_parity(console, arms)
    print_statements(console, report.statements)


def describe_decision(
    decision: Mapping[str, Any], patients: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Say a decision in words.

    Args:
        decision: the answer of ``POST /policy/{id}/act`` to a waiting room.
        patients: the patients of the request, by id.
    """
    said = []
    for assignment in decision["assignments"]:
        patient = patients[assignment["patient"]]
        needs = " and ".join(
            f"{n} {pool.replace('_', ' ')}" for pool, n in assignment["needs"].items() if n
        )
        said.append(
            f"Start {assignment['patient']} now (age {patient['age']}, acuity {patient['acuity']}, "
            f"{patient['predicted_stay_band']} stay expected, waiting "
            f"{patient['waiting_minutes']:.0f} min): takes {needs}."
        )
    if not said:
        said.append("Start nobody now.")
    hold = decision["hold"]
    if hold is not None:
        minutes = hold["review_after_seconds"] / 60
        said.append(f"Then hold: {hold['reason']}. Ask again at the latest in {minutes:.0f} min.")
    return said + [f"Warning: {warning}" for warning in decision["warnings"]]


def print_ranking(
    console: Console, decision: Mapping[str, Any], patients: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print the order of everybody waiting, beside the orders of FCFS and strict acuity."""
    fcfs = sorted(patients, key=lambda p: (-patients[p]["waiting_minutes"], p))
    strict = sorted(
        patients, key=lambda p: (patients[p]["acuity"], -patients[p]["waiting_minutes"], p)
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), highlight=False)
    for title in (
        "rank",
        "patient",
        "age",
        "acuity",
        "stay",
        "waiting",
        "target",
        "fits",
        "FCFS",
        "acuity",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    for rank, row in enumerate(decision["ranking"], start=1):
        patient = patients[row["patient"]]
        target = row["target_minutes"]
        table.add_row(
            str(rank),
            row["patient"],
            str(patient["age"]),
            str(patient["acuity"]),
            patient["predicted_stay_band"],
            f"{row['waiting_minutes']:.0f} min",
            "–" if target is None else f"{target:.0f} min",
            "yes" if row["feasible"] else "no",
            f"{fcfs.index(row['patient']) + 1}.",
            f"{strict.index(row['patient']) + 1}.",
        )
    console.print(table)
    console.print("The last two columns: the rank under FCFS and under strict acuity.", style="dim")
