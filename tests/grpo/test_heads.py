"""Weights of reward heads, by hand and by their defining sums."""

from __future__ import annotations

import numpy as np
import pytest

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.scenario import (
    Exponential,
    compile_scenario,
    load_scenario,
    make_queue_scenario,
)
from grpo.errors import InputError
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups

BY_GROUP = AttributeGroups(attributes=("group",))
BY_AGE = AttributeGroups(attributes=("age_group",))


def compile_rates(**rates: tuple[float, ...]) -> CompiledScenario:
    num_classes = len(next(iter(rates.values())))
    scenario = make_queue_scenario(
        rates=rates,
        treatments=(Exponential(mean_hours=1.0),) * num_classes,
        pools={"bed": 2},
    )
    return compile_scenario(scenario)


def test_weights_by_hand() -> None:
    """Rates a = (1, 3), b = (2, 2): pooled mix (3/8, 5/8). Types: acuity 1 a, b; acuity 2 a, b."""
    compiled = compile_rates(a=(1.0, 3.0), b=(2.0, 2.0))
    raw = build_heads(compiled, BY_GROUP, "raw")
    assert raw.labels == ("a", "b")
    assert raw.weights == pytest.approx(
        np.array([[1 / 8] * 4, [1 / 4, 0, 1 / 4, 0], [0, 1 / 4, 0, 1 / 4]])
    )
    standardised = build_heads(compiled, BY_GROUP, "standardised")
    assert standardised.weights == pytest.approx(
        np.array([[1 / 8] * 4, [3 / 8, 0, 5 / 24, 0], [0, 3 / 16, 0, 5 / 16]])
    )
    assert standardised.merged_acuities == ((1,), (2,))
    assert standardised.type_group.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("target", ["raw", "standardised"])
def test_a_cost_of_one_per_patient_is_one_per_patient_in_every_head(target: str) -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"))
    heads = build_heads(compiled, BY_AGE, "raw" if target == "raw" else "standardised")
    assert heads.weights @ compiled.type_rates == pytest.approx(np.ones(4))


def test_raw_heads_weighted_by_shares_make_the_mean_head() -> None:
    compiled = compile_scenario(load_scenario("urban_hospital"))
    heads = build_heads(compiled, BY_AGE, "raw")
    shares = np.bincount(heads.type_group, weights=compiled.type_rates) / compiled.type_rates.sum()
    assert shares @ heads.weights[1:] == pytest.approx(heads.weights[0])


def test_costs_that_depend_on_the_acuity_alone_are_equal_when_standardised() -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"))
    heads = build_heads(compiled, BY_AGE, "standardised", evaluation_hours=1e9)
    assert heads.merged_acuities == ((1,), (2,), (3,), (4,), (5,))
    costs = compiled.cost_rates * compiled.type_rates
    by_group = heads.weights[1:] @ costs
    assert by_group == pytest.approx(np.full(3, heads.weights[0] @ costs))


def test_sparse_acuities_are_merged_with_a_neighbour_until_every_cell_is_frequent() -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"))
    hours = 64 * 336.0
    heads = build_heads(
        compiled, BY_AGE, "standardised", evaluation_hours=hours, least_patients=200
    )
    assert heads.merged_acuities == ((1, 2), (3,), (4, 5))
    for stratum in heads.merged_acuities:
        inside = np.isin(compiled.type_acuity, stratum)
        cells = np.bincount(heads.type_group[inside], weights=compiled.type_rates[inside])
        assert cells.min() * hours >= 200


def test_no_patient_weighs_more_than_the_largest_ratio_times_the_raw_weight() -> None:
    """Acuity 1 is 45% of the pooled patients but 1% of b's: a ratio of 45 is merged away."""
    compiled = compile_rates(a=(89.0, 1.0, 10.0), b=(1.0, 89.0, 10.0))
    free = build_heads(compiled, BY_GROUP, largest_ratio=1e9)
    capped = build_heads(compiled, BY_GROUP)
    raw = build_heads(compiled, BY_GROUP, "raw")
    used = raw.weights > 0
    assert (free.weights[used] / raw.weights[used]).max() > 40
    assert (capped.weights[used] / raw.weights[used]).max() <= 10
    assert capped.merged_acuities == ((1, 2), (3,))


def test_one_stratum_left_is_the_raw_target() -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"))
    merged = build_heads(compiled, BY_AGE, evaluation_hours=1.0)
    assert merged.merged_acuities == ((1, 2, 3, 4, 5),)
    assert merged.weights == pytest.approx(build_heads(compiled, BY_AGE, "raw").weights)


def test_an_undeclared_attribute_and_an_empty_group_are_refused_by_field() -> None:
    compiled = compile_rates(a=(1.0, 3.0), b=(2.0, 2.0))
    with pytest.raises(InputError, match=r"/grouping/attributes/0.*group"):
        build_heads(compiled, BY_AGE)
    types = compiled.type_rates.copy()
    types[[1, 3]] = 0.0
    object.__setattr__(compiled, "type_rates", types)
    with pytest.raises(InputError, match="/grouping/attributes: nobody belongs to group 'b'"):
        build_heads(compiled, BY_GROUP)
