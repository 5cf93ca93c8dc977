"""Every law of times against its distribution function, and the generators beneath."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
from scipy import stats

from grpo.environments.hospital.compiling.initial_stages import residual_law
from grpo.environments.hospital.compiling.laws import LawTable, law_mean, weibull_shape
from grpo.environments.hospital.compiling.parameters import alias_table
from grpo.environments.hospital.model.scenario_model import (
    Constant,
    Empirical,
    Exponential,
    Gamma,
    Law,
    Lognormal,
    LognormalOfLogs,
    Weibull,
)
from grpo.environments.hospital.physics.streams import normal_of, subkey, time_of

DRAWS = 200_000


@numba.njit
def draw_times(laws: np.ndarray, quantiles: np.ndarray, seed: int, times: np.ndarray) -> None:
    for n in range(times.shape[0]):
        times[n] = time_of(subkey(np.uint64(seed), n), laws, 0, quantiles)


@numba.njit
def draw_normals(seed: int, values: np.ndarray) -> None:
    for n in range(values.shape[0]):
        values[n] = normal_of(subkey(np.uint64(seed), n))


def times_of(law: Law, factor: float = 1.0) -> tuple[np.ndarray, float]:
    table = LawTable()
    row = table.row(law, factor)
    quantiles = np.array(table.quantiles or [0.0])
    times = np.empty(DRAWS)
    draw_times(row[None], quantiles, 11, times)
    return times, law_mean(row, quantiles)


SHAPE = weibull_shape(0.5)
CONTINUOUS: list[tuple[Law, Any]] = [
    (Exponential(mean_hours=2.0), stats.expon(scale=2.0)),
    (
        Lognormal(mean_hours=3.0, cv=0.7),
        stats.lognorm(math.sqrt(math.log(1.49)), scale=3 / math.sqrt(1.49)),
    ),
    (LognormalOfLogs(mu=0.5, sigma=1.2), stats.lognorm(1.2, scale=math.exp(0.5))),
    (Gamma(mean_hours=2.0, cv=0.5), stats.gamma(4.0, scale=0.5)),
    (Gamma(mean_hours=2.0, cv=2.0), stats.gamma(0.25, scale=8.0)),
    (
        Weibull(mean_hours=2.0, cv=0.5),
        stats.weibull_min(SHAPE, scale=2 / math.gamma(1 + 1 / SHAPE)),
    ),
    (Weibull(mean_hours=2.0, cv=1.0), stats.expon(scale=2.0)),
    (Empirical(quantile_hours=(1.0, 3.0)), stats.uniform(1.0, 2.0)),
]


@pytest.mark.parametrize(("law", "known"), CONTINUOUS, ids=lambda value: type(value).__name__)
def test_a_law_has_its_distribution_and_its_mean(law: Law, known: stats.rv_continuous) -> None:
    times, mean = times_of(law)
    assert stats.kstest(times, known.cdf).pvalue > 1e-4
    assert mean == pytest.approx(known.mean(), rel=1e-5)


def test_a_factor_multiplies_every_time() -> None:
    laws: list[Law] = [law for law, _ in CONTINUOUS]
    laws += [Constant(hours=1.5), Empirical(quantile_hours=(0.0, 1.0, 1.0, 9.0))]
    for law in laws:
        plain, mean = times_of(law)
        longer, longer_mean = times_of(law, 2.5)
        assert np.allclose(longer, 2.5 * plain)
        assert longer_mean == pytest.approx(2.5 * mean)


@pytest.mark.parametrize("cv", [0.05, 0.5, 1.0, 3.0])
def test_a_weibull_has_the_coefficient_of_variation_it_was_given(cv: float) -> None:
    known = stats.weibull_min(weibull_shape(cv))
    assert known.std() / known.mean() == pytest.approx(cv, rel=1e-9)


def test_normal_numbers_are_normal_up_to_the_far_tail() -> None:
    values = np.empty(2_000_000)
    draw_normals(5, values)
    assert stats.kstest(values[:500_000], "norm").pvalue > 1e-4
    for threshold in (2.0, 3.0, 3.6541528853610088, 4.0):
        expected = len(values) * stats.norm.sf(threshold)
        for tail in (values > threshold, values < -threshold):
            assert abs(tail.sum() - expected) < 4.5 * math.sqrt(expected)


def test_a_table_of_aliases_gives_back_its_shares() -> None:
    """Column j is met with chance 1 / Y and keeps itself with its threshold: an exact sum."""
    shares = np.array([0.5, 0.0, 0.2, 0.3, 0.0])
    table = alias_table(shares)
    found = table[:, 0] / len(shares)
    np.add.at(found, table[:, 1].astype(int), (1 - table[:, 0]) / len(shares))
    assert found == pytest.approx(shares, abs=1e-12)
    assert np.all(table[[1, 4], 0] == 0.0)


@pytest.mark.parametrize(
    ("law", "known"),
    [
        (Exponential(mean_hours=2.0), stats.expon(scale=2.0)),
        (Constant(hours=3.0), stats.uniform(0.0, 3.0)),
    ],
    ids=["memoryless", "constant"],
)
def test_what_is_left_of_a_stay_has_the_stationary_excess_law(
    law: Law, known: stats.rv_continuous
) -> None:
    """An exponential stay is as if new; of a constant one every part is equally likely left."""
    table = np.array(residual_law(law).quantile_hours)
    levels = np.linspace(0, 1, len(table))[:-1]
    assert table[:-1] == pytest.approx(known.ppf(levels), abs=1e-6)
