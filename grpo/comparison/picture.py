"""One picture of a comparison: costs of everybody and of the groups, with intervals."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grpo.comparison.report import RuleComparison
from grpo.fairness.metrics import METRICS, MetricName
from grpo.fairness.report import Value

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HEIGHT_PER_CONTENDER = 0.45


def draw_comparison(found: RuleComparison, path: Path) -> None:
    """Draw contenders downwards: cost per patient, difference from the first, cost by group.

    The file appears whole or not at all. Needs matplotlib.

    Args:
        found: the comparison.
        path: of the picture; its ending decides the format.

    Raises:
        ValueError: matplotlib knows no such format.
    """
    height = 2.4 + HEIGHT_PER_CONTENDER * len(found.contenders)
    figure = Figure(figsize=(13, height), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    places = range(len(found.contenders))
    for place, contender in zip(places, found.contenders, strict=True):
        _draw_value(left, contender.everybody.metrics["cost_per_patient"], place, "C0", "o")
        difference = contender.everybody.differences.get("cost_per_patient")
        if difference is not None:
            settled = difference.verdict in ("lower", "higher")
            _draw_value(middle, difference, place, "C3" if settled else "C7", "D")
    _draw_groups(right, found)
    middle.axvline(0.0, color="black", linewidth=0.8)
    left.set_yticks(list(places), [contender.label for contender in found.contenders])
    left.invert_yaxis()
    left.set_title("cost per patient", loc="left")
    middle.set_title(f"minus {found.contenders[0].label} (grey: not distinguishable)", loc="left")
    right.set_title(METRICS[found.judged_by].label, loc="left")
    for axes in (left, middle, right):
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(
        f"{found.scenario}, {found.replications} replications of {found.horizon_hours:g} h, "
        f"{100 * found.confidence:g}% intervals"
    )
    aside = path.with_name(f".{path.stem}.aside{path.suffix}")
    figure.savefig(aside, dpi=130)
    aside.replace(path)


def _draw_groups(axes: Axes, found: RuleComparison) -> None:
    """Draw the judged cost of every group, the groups a little apart."""
    metric: MetricName = found.judged_by
    step = 0.6 / max(len(found.groups), 1)
    for g, group in enumerate(found.groups):
        marker, colour = MARKERS[g % len(MARKERS)], f"C{g}"
        for place, contender in enumerate(found.contenders):
            at = place + (g - (len(found.groups) - 1) / 2) * step
            _draw_value(axes, contender.groups[group].metrics[metric], at, colour, marker)
        axes.plot([], [], color=colour, marker=marker, linestyle="", label=group)
    axes.legend(fontsize="small")


def _draw_value(axes: Axes, value: Value, place: float, colour: str, marker: str) -> None:
    """Draw one value with its interval, if it is known."""
    if value.value is None:
        return
    axes.plot([value.value], [place], marker=marker, color=colour, linestyle="")
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [place, place], color=colour)
