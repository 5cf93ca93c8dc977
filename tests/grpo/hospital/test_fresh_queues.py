"""Other parameters of the families of exact cases come out right without a change of code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks import queue_cases as families
from benchmarks.queue_cases import ExactCase, load_cases
from tests.grpo.hospital import queue_theory as theory

Builder = Callable[..., Iterator[ExactCase]]
Case = dict[str, Any]


def strict(case: Case, **run: Any) -> Iterator[ExactCase]:
    return families.many_classes(case, None, **run)


def accumulating(case: Case, **run: Any) -> Iterator[ExactCase]:
    return families.many_classes(case, case["params"]["accumulation_rates"], **run)


FRESH: list[tuple[str, Builder, Case, dict[str, Any]]] = [
    (
        "erlang c",
        families.erlang_c,
        theory.erlang_c_case(2.2, 0.5, 6),
        {"horizon_hours": 10_000, "census_hours": 2.0},
    ),
    (
        "erlang b",
        families.erlang_b,
        theory.erlang_b_case(1.0, 4.0, 5),
        {"horizon_hours": 6000, "census_hours": 4.0},
    ),
    (
        "erlang a",
        families.erlang_a,
        theory.erlang_a_case(5.0, 1.5, 4, 1.2),
        {"horizon_hours": 5000, "census_hours": 1.0},
    ),
    ("cobham", strict, theory.cobham_case([0.5, 0.8, 0.6, 0.4], 1.0, 3), {"horizon_hours": 10_000}),
    (
        "accumulating priority",
        accumulating,
        theory.accumulating_case([0.2, 0.2, 0.2], 0.8, [5.0, 3.0, 0.5]),
        {"horizon_hours": 30_000},
    ),
    (
        "pollaczek khinchine",
        families.pollaczek_khinchine,
        theory.pollaczek_khinchine_case(0.3, 2.0, 0.8),
        {"horizon_hours": 30_000, "census_hours": 4.0},
    ),
    (
        "product form",
        families.product_form,
        theory.product_form_case([0.5, 1.5], [2.0, 1.0], [[1, 3], [2, 1]], [6, 7]),
        {"horizon_hours": 5000, "census_hours": 2.0},
    ),
]


@pytest.mark.parametrize(
    ("name", "family", "case", "run"), FRESH, ids=[fresh[0] for fresh in FRESH]
)
def test_other_parameters_meet_their_formula(
    name: str, family: Builder, case: Case, run: dict[str, Any]
) -> None:
    for exact in family({"id": name.replace(" ", "_"), **case}, warmup_hours=300, **run):
        for measure, samples in zip(exact.measures, exact.run(first_seed=50), strict=True):
            error = samples.std(ddof=1) / np.sqrt(len(samples))
            assert error <= 0.03 * measure.exact, measure.name
            assert abs(samples.mean() - measure.exact) <= max(4 * error, 1e-3), (
                f"{exact.name}, {measure.name}: {samples.mean():.6g} +- {error:.2g}, "
                f"exact {measure.exact:.6g}"
            )


def test_the_stored_answers_follow_from_the_formulas() -> None:
    """A second computation of the file: six digits of every number that a formula here gives."""
    stored = load_cases()
    p = {name: case["params"] for name, case in stored.items()}
    again = {
        name: theory.erlang_c_case(
            p[name]["arrival_rate"], p[name]["service_rate"], p[name]["servers"]
        )
        for name in ("mmc_small", "mmc_ed", "mm1")
    }
    again["erlang_b_icu"] = theory.erlang_b_case(1 / 6, 96.0, 20)
    again["erlang_a_overload"] = theory.erlang_a_case(12.0, 1.0, 10, 0.5)
    again["cobham_mmc_3class"] = theory.cobham_case([1.0, 3.0, 5.0], 1.0, 10)
    again["apq_mm1_3class"] = theory.accumulating_case([0.25, 0.35, 0.3], 1.0, [4.0, 2.0, 1.0])
    again["pk_lognormal_cv1_5"] = theory.pollaczek_khinchine_case(0.7, 1.0, 1.5)
    given = p["beds_and_nurses_product_form"]
    again["beds_and_nurses_product_form"] = theory.product_form_case(
        given["arrival_rates"], given["service_mean_h"], given["needs"], given["capacities"]
    )
    for name, case in again.items():
        for key, value in case["expected"].items():
            assert stored[name]["expected"][key] == pytest.approx(value, rel=1e-6), (name, key)
