from __future__ import annotations

import numpy as np
import pytest

from grpo.errors import InputError
from grpo.objectives.baselines import LEAST_HEADROOM, GroupBaseline

LABELS = ("young", "old")
BEST = {"young": 10.0, "old": 1.0}
REFERENCE = {"young": 2.0, "old": -1.0}


def test_raw_performance_is_its_own_utility() -> None:
    utilities, slopes = GroupBaseline().transform(LABELS, np.array([3.0, 4.0]))
    assert utilities.tolist() == [3.0, 4.0]
    assert slopes.tolist() == [1.0, 1.0]


def test_normalised_is_zero_at_the_reference_and_one_at_the_specialist() -> None:
    baseline = GroupBaseline("normalised", REFERENCE, BEST)
    for returns, expected in ((REFERENCE, 0.0), (BEST, 1.0)):
        utilities, slopes = baseline.transform(LABELS, np.array([*returns.values()]))
        assert utilities == pytest.approx([expected] * 2)
        assert slopes == pytest.approx([1 / 8, 1 / 2])


def test_regret_is_what_is_lost_against_the_specialist() -> None:
    utilities, slopes = GroupBaseline("regret", {}, BEST).transform(
        ("old", "young"), np.array([0.0, 7.0])
    )
    assert utilities.tolist() == [-1.0, -3.0]
    assert slopes.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["normalised", "regret"])
def test_derivative_is_the_slope_of_the_utility(kind: str) -> None:
    baseline, step = GroupBaseline(kind, REFERENCE, BEST), 1e-3  # type: ignore[arg-type]
    returns = np.array([3.0, 0.5])
    before, slopes = baseline.transform(LABELS, returns)
    after, _ = baseline.transform(LABELS, returns + step)
    assert (after - before) / step == pytest.approx(slopes)


def test_a_specialist_no_better_than_the_reference_is_refused() -> None:
    with pytest.raises(InputError, match=r"group 'old' gets 1 .* no more than the 1 "):
        GroupBaseline("normalised", {"young": 2.0, "old": 1.0}, BEST)
    barely = {"young": 2.0, "old": 1.0 - 0.1 * LEAST_HEADROOM}
    with pytest.raises(InputError, match="no range to normalise by"):
        GroupBaseline("normalised", barely, BEST)


def test_a_group_without_a_specialist_is_refused() -> None:
    with pytest.raises(InputError, match="no specialist was trained for group 'middle'"):
        GroupBaseline("regret", {}, BEST).transform(("young", "middle"), np.zeros(2))
