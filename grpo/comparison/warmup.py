"""Was the warm-up long enough? Another start on the same patients, and the halves of the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grpo.comparison.contenders import Contender, Design, half_of, run_contender
from grpo.comparison.report import WarmupCheck
from grpo.environments.hospital.simulate import PatientLog
from grpo.fairness.assembly import make_value, optional
from grpo.fairness.intervals import CONFIDENCE, EpisodeBootstrap, ratio_of_sums

Float64 = NDArray[np.float64]

CLOSED_HOURS = 12.0
"""A crowded start: nobody is started for so long, or for half of the warm-up if that is less."""


@dataclass(frozen=True, eq=False)
class StartTrace:
    """What is left of the start in one contender's judged time.

    Attributes:
        usual: [E] contributions to the cost per patient.
        crowded: [E] the same after a crowded start; None without warm-up.
        halves: [E, 2] contributions of the two halves; None where a surge makes them differ.
        half_hours: length of each.
    """

    usual: Float64
    crowded: Float64 | None
    halves: Float64 | None
    half_hours: float


def trace_start(
    contender: Contender,
    design: Design,
    log: PatientLog,
    on_part: Callable[[int], None] | None = None,
) -> StartTrace:
    """Simulate a contender from a crowded start, on the same patients, and halve its usual run.

    Args:
        contender: who decides.
        design: of the comparison.
        log: of the usual run.
        on_part: told after each part how many replications it had.
    """
    crowded = None
    if design.warmup_hours > 0:
        closed = min(CLOSED_HOURS, design.warmup_hours / 2)
        other = run_contender(contender, design, on_part, closed_hours=closed)
        crowded = _by_part(other, np.zeros(other.type.size, np.int64), 1)[:, 0]
    scenario = contender.compiled.scenario
    half_hours = half_of(scenario, design.horizon_hours)
    halves = None
    if not scenario.surges:
        halves = _by_part(log, np.floor(log.arrival_hours / half_hours).astype(np.int64), 2)
    usual = _by_part(log, np.zeros(log.type.size, np.int64), 1)[:, 0]
    return StartTrace(usual, crowded, halves, half_hours)


def _by_part(log: PatientLog, part: NDArray[np.int64], count: int) -> Float64:
    """Return what each episode contributes to the cost per patient of each part, [E, count]."""
    inside = part < count
    index = log.episode[inside] * count + part[inside]
    size = log.episodes * count
    totals = np.bincount(index, weights=log.cost[inside], minlength=size)
    sums = np.asarray(totals, dtype=np.float64)
    counts = np.bincount(index, minlength=size).astype(np.float64)
    return ratio_of_sums(sums.reshape(-1, count), counts.reshape(-1, count)).per_episode


def check_warmup(traces: Mapping[str, StartTrace], design: Design) -> tuple[WarmupCheck, ...]:
    """Say what each contender's judged time remembers of the start, and whether it drifts.

    Two runs from different starts that meet the same patients coincide once the start is
    forgotten, so that their difference is known far better than either cost. The intervals hold
    jointly for all contenders (Bonferroni).

    Args:
        traces: by label.
        design: of the comparison.

    Source: coupling from two starts, as in Propp and Wilson, Random Structures and Algorithms 9,
        1996; Schruben, Operations Research 30, 1982 (initialisation bias, for the halves).
    """
    confidence = 1 - (1 - CONFIDENCE) / len(traces)
    bootstrap = EpisodeBootstrap.draw(design.replications, design.seed, confidence=confidence)
    found = []
    for label, trace in traces.items():
        check = WarmupCheck(label=label, confidence=confidence)
        if trace.crowded is not None:
            change = trace.crowded - trace.usual
            crowded = make_value(
                float(change.mean()), bootstrap.means(change[:, None])[:, 0], bootstrap
            )
            bounds = [abs(bound) for bound in (crowded.low, crowded.high) if bound is not None]
            cost = float(trace.usual.mean())
            remembered = max(bounds) / cost if bounds and cost > 0 else None
            if bounds and cost == 0:
                remembered = 0.0
            check = check.model_copy(update={"crowded": crowded, "remembered": remembered})
        if trace.halves is not None:
            first, second = (float(x) for x in trace.halves.mean(axis=0))
            drift = (trace.halves[:, 1] - trace.halves[:, 0])[:, None]
            value = make_value(second - first, bootstrap.means(drift)[:, 0], bootstrap)
            halves = {"first_half": optional(first), "second_half": optional(second)}
            check = check.model_copy(
                update={"half_hours": trace.half_hours, "drift": value, **halves}
            )
        found.append(check)
    return tuple(found)
