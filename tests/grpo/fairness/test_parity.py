"""Parity of outcomes: by hand, against fairlearn, and where there is nothing to compare."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.errors import InputError, ShapeError
from grpo.fairness.parity import (
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    rate_ratio,
    selection_rates,
)

# Everybody of both groups at least once, so that fairlearn's rates exist.
ROWS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 1)), min_size=4, max_size=40
).map(lambda rows: [(s, d, g) for s, d, g in rows] + [(True, True, 0), (False, True, 1)])


@given(rows=ROWS)
@settings(max_examples=40, deadline=None)
def test_fairlearn_finds_the_same_parity_and_opportunity(
    rows: list[tuple[bool, bool, int]],
) -> None:
    # Only here: it loads pandas and scikit-learn, which every process that collects would pay for.
    from fairlearn import metrics as fairlearn  # type: ignore[import-untyped]  # noqa: PLC0415

    selected, deserving, group = (np.array(column) for column in zip(*rows, strict=True))
    known = {"y_true": deserving, "y_pred": selected, "sensitive_features": group}
    assert demographic_parity_difference(selected, group, num_groups=2) == pytest.approx(
        fairlearn.demographic_parity_difference(**known)
    )
    assert demographic_parity_ratio(selected, group, num_groups=2) == pytest.approx(
        fairlearn.demographic_parity_ratio(**known)
    )
    assert equal_opportunity_difference(selected, deserving, group, num_groups=2) == pytest.approx(
        fairlearn.equal_opportunity_difference(**known)
    )


def test_parity_given_acuity_is_not_parity_at_all() -> None:
    # Both groups: acuity 0 always treated, acuity 1 never. Group 0 has 3 of 4 in acuity 0, group 1
    # has 1 of 4: rates 3/4 and 1/4, yet at equal acuity both have 1/2.
    cell = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    group = np.repeat([0, 1], 4)
    treated = cell == 0
    mix = np.array([0.5, 0.5])
    assert demographic_parity_difference(treated, group, num_groups=2) == 0.5
    assert demographic_parity_ratio(treated, group, num_groups=2) == pytest.approx(1 / 3)
    assert demographic_parity_difference(treated, group, num_groups=2, cell=cell, mix=mix) == 0
    assert demographic_parity_ratio(treated, group, num_groups=2, cell=cell, mix=mix) == 1


def test_the_extremes_are_all_against_nothing_and_all_alike() -> None:
    group = np.array([0, 0, 1, 1])
    one_sided = group == 0
    assert demographic_parity_difference(one_sided, group, num_groups=2) == 1
    assert demographic_parity_ratio(one_sided, group, num_groups=2) == 0
    nobody = np.zeros(4, np.bool_)
    assert demographic_parity_difference(nobody, group, num_groups=2) == 0
    assert demographic_parity_ratio(nobody, group, num_groups=2) == 1


def test_a_group_with_nobody_is_left_out_and_one_group_compares_with_nothing() -> None:
    group, selected = np.array([0, 0, 2]), np.array([True, False, True])
    rates = selection_rates(selected, group, num_groups=3)
    assert rates[[0, 2]] == pytest.approx([0.5, 1])
    assert np.isnan(rates[1])
    assert demographic_parity_difference(selected, group, num_groups=3) == 0.5
    assert demographic_parity_difference(selected[:2], group[:2], num_groups=3) is None
    assert demographic_parity_ratio(selected[:2], group[:2], num_groups=3) is None
    deserving = np.array([True, True, False])  # nobody of group 2 qualifies
    assert equal_opportunity_difference(selected, deserving, group, num_groups=3) is None


def test_ratios_are_taken_row_by_row() -> None:
    rates = np.array([[0.2, np.nan, 0.4], [0.0, np.nan, 0.0]])
    assert rate_ratio(rates) == pytest.approx([0.5, 1])


def test_bad_input_is_refused() -> None:
    yes, group = np.ones(2, np.bool_), np.array([0, 2])
    with pytest.raises(InputError, match="/group"):
        selection_rates(yes, group, num_groups=2)
    with pytest.raises(ShapeError, match="belong together"):
        selection_rates(yes, group, num_groups=3, mix=np.ones(1))
    with pytest.raises(ShapeError):
        equal_opportunity_difference(yes, np.ones(3, np.bool_), group, num_groups=3)
