"""What several trainings support, in sentences and as a table of plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpo.fairness.metrics import METRICS
from grpo.fairness.report import Value
from grpo.fairness.seed_report import EVERYBODY, GAP, LEAST_EPISODES, LEAST_SEEDS, WORST_GROUP
from grpo.fairness.statements import (
    NO_DISPARITY,
    NOT_DISTINGUISHABLE,
    capitalise,
    format_interval,
    format_number,
)

if TYPE_CHECKING:
    from grpo.fairness.seed_report import Claim, SeedComparison

HEADINGS = ("", "first", "second", "difference", "in %", "p", "Holm", "Cliff", "P(better)", "")


def format_percent(value: Value) -> str:
    """Write a share as "+1.2% (-0.3% to +2.7%)", or "–" where it is not known."""
    if value.value is None or value.low is None or value.high is None:
        return "–"
    return f"{value.value:+.1%} ({value.low:+.1%} to {value.high:+.1%})"


def claim_table(found: SeedComparison) -> list[str]:
    """Lay out the claims as lines of text, one row per claim, columns aligned."""
    rows = [HEADINGS] + [
        (
            claim.subject,
            format_number(claim.first),
            format_number(claim.second),
            format_interval(claim.difference, signed=True),
            format_percent(claim.relative),
            f"{claim.p_value:.3f}",
            f"{claim.p_adjusted:.3f}",
            f"{claim.cliffs_delta:+.2f}",
            f"{claim.probability_of_improvement:.2f}",
            claim.verdict,
        )
        for claim in found.claims
    ]
    widths = [max(len(row[c]) for row in rows) for c in range(len(HEADINGS))]
    lines = [f"first: {found.label}; second: {found.against}"]
    for row in rows:
        cells = [
            cell.ljust(width) if c in {0, len(row) - 1} else cell.rjust(width)
            for c, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def describe_seeds(found: SeedComparison) -> tuple[str, ...]:
    """List what the comparison supports, the price of it, and what holds claims back."""
    said = [_describe_worst(found)]
    everybody, gap = found.claim(EVERYBODY), found.claim(GAP)
    if everybody is not None:
        said.append(_describe_claim(capitalise(METRICS[found.overall].label), everybody))
    losing = [
        f"{claim.subject} {format_percent(claim.relative)}"
        for claim in found.claims
        if claim.subject not in {EVERYBODY, WORST_GROUP, GAP} and _is_worse(found, claim)
    ]
    if losing:
        said.append(f"The price is paid by: {', '.join(losing)}.")
    if gap is not None:
        said.append(_describe_gap(found, gap))
    if found.efficiency_kept is not None and found.efficiency_kept.value is not None:
        said.append(f"Efficiency kept: {format_interval(found.efficiency_kept)} of 1.")
    said += [
        f"{capitalise(held.subject)} against {held.against}: a loss below {held.margin:.0%} is "
        f"{'shown' if held.shown else 'not shown'}, {format_percent(held.loss)}."
        for held in found.non_inferiority
    ]
    return (*said, *_caveats(found))


def _is_worse(found: SeedComparison, claim: Claim) -> bool:
    worse = "higher" if METRICS[found.judged_by].better == "lower" else "lower"
    return claim.verdict == worse


def _describe_claim(subject: str, claim: Claim) -> str:
    measured = f"{format_interval(claim.difference, signed=True)}, {format_percent(claim.relative)}"
    return f"{subject} of {claim.subject}: {claim.verdict}, {measured}."


def _describe_worst(found: SeedComparison) -> str:
    """Claim an improvement only where the worst group is shown to have gained."""
    worst = found.claim(WORST_GROUP)
    if worst is None:
        return "No group has a value: nothing can be said of a worst group."
    measured = f"{format_interval(worst.difference, signed=True)}, Holm p = {worst.p_adjusted:.3f}"
    if found.improved:
        return f"The worst group gained: {measured}."
    if found.failed:
        why = f"{len(found.failed)} of the trainings failed"
    elif worst.verdict in {"lower", "higher"}:
        why = "the worst group lost"
    else:
        why = f"the worst group is {worst.verdict}"
        if worst.verdict != NOT_DISTINGUISHABLE:
            why = f"{worst.verdict}, {LEAST_SEEDS} seeds x {LEAST_EPISODES} episodes are needed"
    return f"No improvement is claimed: {why}. Worst group {measured}."


def _describe_gap(found: SeedComparison, gap: Claim) -> str:
    measured = format_interval(gap.difference, signed=True)
    beyond = found.gaps_beyond_chance
    if beyond is not None and 2 * beyond < len(found.seeds):
        return (
            f"{beyond} of {len(found.seeds)} trainings of {found.against} show a gap beyond "
            f"chance: {NO_DISPARITY}."
        )
    if gap.verdict == "higher":
        return f"The gap between groups is wider, {measured}."
    if gap.verdict != "lower":
        return f"The gap between groups: {gap.verdict}, {measured}."
    if found.improved:
        return f"The gap between groups is narrower, {measured}, and the worst group gained."
    return (
        f"The gap is narrower, {measured}, but the worst group did not demonstrably gain: "
        "levelling down is no improvement."
    )


def _caveats(found: SeedComparison) -> list[str]:
    said = [
        f"Failed: {run.arm}, seed {run.seed}: {run.reason}. Pairs without it are no fair sample."
        for run in found.failed
    ]
    if found.unjudged:
        said.append(f"No value, in no claim: {', '.join(found.unjudged)}.")
    if len(found.seeds) < LEAST_SEEDS:
        said.append(
            f"{len(found.seeds)} seeds: the smallest p-value they can reach is "
            f"{2.0 ** (1 - len(found.seeds)):.3g}."
        )
    said.append(
        f"{len(found.seeds)} paired training seeds x {found.episodes} episodes (evaluation seed "
        f"{found.evaluation_seed}) of {found.environment}; {found.confidence:.0%} intervals from "
        f"{found.resamples} two-way resamples, p exact, {len(found.claims)} claims adjusted (Holm)."
    )
    return said
