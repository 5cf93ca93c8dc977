from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.errors import InputError
from grpo.fairness.inequality import gini, jain, theil

INDICES = pytest.mark.parametrize("index", [gini, jain, theil])
shares = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)


def test_one_of_three_having_everything_gives_the_known_extremes() -> None:
    assert gini([0, 0, 1]) == pytest.approx(2 / 3)
    assert jain([1, 0, 0]) == pytest.approx(1 / 3)
    assert theil([0, 0, 1]) == pytest.approx(math.log(3))


def test_gini_is_the_mean_absolute_difference_over_twice_the_mean() -> None:
    # |1-2| + |1-5| + |2-5| = 8, twice over 9 pairs; the mean is 8/3: 16/9 / (16/3) = 1/3.
    assert gini([5, 1, 2]) == pytest.approx(1 / 3)


@INDICES
@given(values=shares, factor=st.floats(0.01, 100))
def test_the_unit_and_the_order_do_not_matter(
    index: Callable[[list[float]], float], values: list[float], factor: float
) -> None:
    assert index([v * factor for v in reversed(values)]) == pytest.approx(index(values), abs=1e-9)


@given(values=shares)
def test_indices_stay_between_equality_and_one_having_everything(values: list[float]) -> None:
    n = len(values)
    assert -1e-12 <= gini(values) <= (n - 1) / n + 1e-12
    assert 1 / n - 1e-12 <= jain(values) <= 1 + 1e-12
    assert -1e-9 <= theil(values) <= math.log(n) + 1e-9


@INDICES
def test_nothing_to_share_counts_as_equal(index: Callable[[list[float]], float]) -> None:
    assert index([0.0, 0.0]) == index([3.0, 3.0])


@INDICES
@pytest.mark.parametrize("values", [[], [1.0, -1.0], [np.nan], [np.inf, 1.0], [[1.0], [2.0]]])
def test_what_is_not_a_share_is_refused(index: Callable[[object], float], values: object) -> None:
    with pytest.raises(InputError, match="/values"):
        index(values)
