"""How estimates are read from a simulation: one number per episode and measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grpo.environments.hospital.patient_log import Census, Outcome, PatientLog

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """One number of a case, and how close an estimate must come.

    Attributes:
        name: what it is.
        exact: the answer of queueing theory.
        tolerance: deviation that is allowed, should 4 standard errors be less.
        largest_error: standard error, relative to the exact value, above which a run says too
            little.
    """

    name: str
    exact: float
    tolerance: float = 0.0
    largest_error: float = 0.01


@dataclass(frozen=True)
class Measure(Answer):
    """A number that is read from a log.

    Attributes:
        estimate: from a log to one estimate per episode, [episodes].
    """

    estimate: Callable[[PatientLog], Float64] = field(kw_only=True)


def mean_over(log: PatientLog, values: NDArray[Any], chosen: Bool | None) -> Float64:
    """Average values per episode over the chosen patients, or over all, [episodes]."""
    episode = log.episode
    if chosen is not None:
        episode, values = episode[chosen], values[chosen]
    sums = np.bincount(episode, weights=values, minlength=log.episodes)
    return np.asarray(sums / np.bincount(episode, minlength=log.episodes), dtype=np.float64)


def of_class(log: PatientLog, k: int | None) -> Bool | None:
    """Whether each patient is of type k; None, which stands for everybody, for None."""
    return None if k is None else np.asarray(log.type == k)


def mean_wait(exact: float, k: int | None = None) -> Measure:
    """Mean time to the start of care, or to leaving, of class k or of everybody."""
    name = "mean wait" if k is None else f"mean wait, class {k + 1}"
    return Measure(
        name,
        exact,
        estimate=lambda log: mean_over(log, log.wait_hours, of_class(log, k)),
        tolerance=0.02 * exact,
    )


def mean_accepted_wait(exact: float) -> Measure:
    """Mean wait of those who were let in."""
    return Measure(
        "mean wait of the accepted",
        exact,
        estimate=lambda log: mean_over(log, log.wait_hours, log.outcome != Outcome.DIVERTED),
        tolerance=0.02 * exact,
    )


def wait_of_waiting(exact: float) -> Measure:
    """Mean wait of those who wait at all."""
    return Measure(
        "mean wait of who waits",
        exact,
        estimate=lambda log: mean_over(log, log.wait_hours, log.wait_hours > 0),
        tolerance=0.02 * exact,
    )


def share_waiting(name: str, exact: float, hours: float) -> Measure:
    """Share of arrivals that wait longer than so many hours."""
    return Measure(
        name,
        exact,
        estimate=lambda log: mean_over(log, log.wait_hours > hours, of_class(log, None)),
        tolerance=0.005,
    )


def wait_quantile(name: str, exact: float, level: float) -> Measure:
    """Quantile of all waits."""

    def estimate(log: PatientLog) -> Float64:
        ends = np.searchsorted(log.episode, np.arange(log.episodes + 1))
        return np.array(
            [np.quantile(log.wait_hours[first:last], level) for first, last in pairwise(ends)]
        )

    return Measure(name, exact, tolerance=0.02 * exact, estimate=estimate)


def share_of(
    name: str,
    exact: float,
    outcomes: tuple[Outcome, ...],
    k: int | None = None,
    *,
    largest_error: float = 0.01,
) -> Measure:
    """Share of the arrivals of class k, or of all, with one of these outcomes."""
    return Measure(
        name,
        exact,
        estimate=lambda log: mean_over(log, np.isin(log.outcome, outcomes), of_class(log, k)),
        tolerance=0.005,
        largest_error=largest_error,
    )


def census_mean(name: str, exact: float, read: Callable[[Census], Float64]) -> Measure:
    """Time average of what a census says, [episodes, C] to one number per episode."""

    def estimate(log: PatientLog) -> Float64:
        assert log.census is not None  # noqa: S101 - the case asks for one
        return np.asarray(read(log.census).mean(axis=1), dtype=np.float64)

    return Measure(name, exact, tolerance=0.02 * exact, estimate=estimate)


def at_hour(
    name: str,
    exact: float,
    hour: int,
    read: Callable[[Census], Float64],
    tolerance: float,
) -> Measure:
    """Average, over the days, of what a census says at an hour of the day."""

    def estimate(log: PatientLog) -> Float64:
        assert log.census is not None  # noqa: S101 - the case asks for one
        there = np.flatnonzero(np.round(log.census.hours) % 24 == hour)
        return np.asarray(read(log.census)[:, there].mean(axis=1), dtype=np.float64)

    return Measure(f"{name} at {hour} h", exact, tolerance, estimate=estimate)


def waiting(census: Census) -> Float64:
    """Patients who wait."""
    return census.waiting


def in_care(census: Census) -> Float64:
    """Patients in care."""
    return census.in_care


def present(census: Census) -> Float64:
    """Patients who wait or are cared for."""
    return census.waiting + census.in_care


def boarding(census: Census) -> Float64:
    """Patients who board."""
    return census.boarding


def use_of(pool: int) -> Callable[[Census], Float64]:
    """Share of a pool's units in use."""
    return lambda census: census.used[:, :, pool] / census.capacity[:, :, pool]


def units_of(pool: int) -> Callable[[Census], Float64]:
    """Units of a pool in use."""
    return lambda census: census.used[:, :, pool]
