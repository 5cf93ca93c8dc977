"""One picture of several reports: costs and waits by group, with intervals. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grpo.errors import InputError
from grpo.fairness.report import METRICS, FairnessReport, MetricName

SHOWN: tuple[MetricName, ...] = ("standardised_cost", "mean_wait_minutes", "left_unseen")
MARKERS = ("o", "s", "^", "D", "v", "P")


def plot_reports(reports: Mapping[str, FairnessReport], path: Path) -> None:
    """Draw one row per report and one panel per metric; each arm's groups with their intervals.

    The file appears whole or not at all.

    Args:
        reports: by the title of their row, all about patients; at least one.
        path: of the picture; its ending decides the format.

    Raises:
        InputError: there is no report, or one is not about patients.
    """
    if not reports or any(report.kind != "patients" for report in reports.values()):
        raise InputError.single("/reports", "expected one or more reports about patients")
    figure = Figure(figsize=(13, 3.6 * len(reports)), layout="constrained")
    panels = figure.subplots(len(reports), len(SHOWN), squeeze=False)
    for row, (title, report) in zip(panels, reports.items(), strict=True):
        for axes, metric in zip(row, SHOWN, strict=True):
            _draw_panel(axes, report, metric)
        row[0].set_title(title, loc="left", fontweight="bold")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    aside = path.with_name(f".{path.stem}.aside{path.suffix}")
    figure.savefig(aside, dpi=130)
    aside.replace(path)


def _draw_panel(axes: Axes, report: FairnessReport, metric: MetricName) -> None:
    """Draw one metric by group, the arms side by side."""
    groups = [*report.groups, "everybody"]
    width = 0.7 / len(report.arms)
    for index, arm in enumerate(report.arms):
        places, values, below, above = [], [], [], []
        for g, outcome in enumerate([*arm.groups, arm.everybody]):
            shown = outcome.metrics[metric]
            if shown.value is None:
                continue
            places.append(g + (index - (len(report.arms) - 1) / 2) * width)
            values.append(shown.value)
            below.append(shown.value - (shown.value if shown.low is None else shown.low))
            above.append((shown.value if shown.high is None else shown.high) - shown.value)
        # The bias of a resampled value may put it outside its interval by a hair.
        errors = [[max(x, 0.0) for x in side] for side in (below, above)]
        axes.errorbar(
            places, values, yerr=errors, fmt=MARKERS[index % len(MARKERS)], capsize=3,
            markersize=5, label=arm.label,
        )  # fmt: skip
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"{METRICS[metric].label} ({METRICS[metric].unit})")
    axes.grid(axis="y", alpha=0.3)
