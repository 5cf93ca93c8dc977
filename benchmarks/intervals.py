"""How often do intervals of few episodes hold the truth?: ``python -m benchmarks.intervals``.

Costs and shares whose truth is known, and the rural hospital under first come first served, whose
truth is the mean over all its weeks. Beside each interval stands the linear one, and how often that
reaches below 0.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from grpo.kernel_cache import kernel_cache_folder

CACHE = kernel_cache_folder(Path(__file__).resolve().parent.parent / ".grpo")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

from grpo.comparison.contenders import Design, make_contenders, run_contender  # noqa: E402
from grpo.environments.hospital.rules.rule_specs import parse_rule  # noqa: E402
from grpo.environments.hospital.scenario import load_scenario  # noqa: E402
from grpo.environments.hospital.simulate import Outcome  # noqa: E402
from grpo.fairness.intervals import Float64, ratio_of_sums, student_interval  # noqa: E402

EPISODES = (2, 4, 16)
PATIENTS = 50
WEEKS = 4000
WARMUP_HOURS, WEEK_HOURS = 72.0, 168.0
Draw = Callable[[np.random.Generator, int, int], tuple[Float64, Float64]]
"""Sums and counts [E, X] of E episodes in each of X experiments."""


class Quantity(NamedTuple):
    """A ratio of sums over episodes: its truth, the most it can be, and how it is drawn."""

    name: str
    truth: float
    largest: float
    draw: Draw


def known_quantities() -> Iterator[Quantity]:
    """Yield costs and a share that vary from episode to episode."""

    def cost(draw: Callable[[np.random.Generator, tuple[int, int]], Float64]) -> Draw:
        def sums(rng: np.random.Generator, count: int, experiments: int) -> tuple[Float64, Float64]:
            patients = rng.poisson(PATIENTS, (count, experiments)).clip(1).astype(np.float64)
            return patients * draw(rng, patients.shape), patients

        return sums

    def share(rng: np.random.Generator, count: int, experiments: int) -> tuple[Float64, Float64]:
        patients = rng.poisson(PATIENTS, (count, experiments)).clip(1)
        of_each = rng.beta(2.0, 38.0, patients.shape)
        return rng.binomial(patients, of_each).astype(np.float64), patients.astype(np.float64)

    yield Quantity("cost, exponential", 1.0, math.inf, cost(lambda r, s: r.exponential(1.0, s)))
    lognormal = cost(lambda rng, shape: rng.lognormal(-0.5, 1.0, shape))
    yield Quantity("cost, lognormal, sigma 1", 1.0, math.inf, lognormal)
    yield Quantity("share of .05, beta-binomial", 0.05, 1.0, share)


def hospital_quantities() -> Iterator[Quantity]:
    """Yield cost and share left unseen of weeks of the rural hospital, drawn from many."""
    [contender] = make_contenders(load_scenario("rural_hospital"), [parse_rule("fcfs")], {})
    log = run_contender(contender, Design(WEEKS, 5, WARMUP_HOURS, WEEK_HOURS))
    patients = np.bincount(log.episode, minlength=WEEKS).astype(np.float64)
    left = (log.outcome == Outcome.LEFT).astype(np.float64)
    for name, of_patient, largest in (("cost", log.cost, math.inf), ("share left", left, 1.0)):
        sums = np.bincount(log.episode, of_patient, WEEKS).astype(np.float64)

        def draw(
            rng: np.random.Generator, count: int, experiments: int, sums: Float64 = sums
        ) -> tuple[Float64, Float64]:
            weeks = rng.integers(WEEKS, size=(count, experiments))
            return sums[weeks], patients[weeks]

        truth = float(sums.sum() / patients.sum())
        yield Quantity(f"rural hospital, FCFS, weeks: {name}", truth, largest, draw)


def measure(quantity: Quantity, count: int, experiments: int) -> str:
    """Return how often the truth is held: by our interval, by the linear one, and its defect."""
    estimate = ratio_of_sums(*quantity.draw(np.random.default_rng(count), count, experiments))
    low, high = student_interval(estimate, largest=quantity.largest)
    error = estimate.per_episode.std(axis=0, ddof=1) / math.sqrt(count)
    half, known = stdtrit(count - 1, 0.975) * error, np.isfinite(low)

    def cover(lowest: Float64, highest: Float64) -> float:
        held = (lowest <= quantity.truth) & (highest >= quantity.truth)
        return float(held[known].mean())

    linear = estimate.value - half, estimate.value + half
    below = float((linear[0] < 0)[known].mean())
    return f"{cover(low, high):.3f} ({cover(*linear):.3f}, {below:.0%})"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=4000)
    arguments = parser.parse_args()
    title = f"Coverage of 95% intervals, {arguments.experiments} experiments (linear, below 0)"
    table = Table("what, per episode", *(f"{count} episodes" for count in EPISODES), title=title)
    for quantity in (*known_quantities(), *hospital_quantities()):
        cells = [measure(quantity, count, arguments.experiments) for count in EPISODES]
        table.add_row(quantity.name, *cells)
    Console(width=max(Console().width, 120)).print(table)


if __name__ == "__main__":
    main()
