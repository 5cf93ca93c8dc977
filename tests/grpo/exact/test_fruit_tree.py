from __future__ import annotations

import pytest

from benchmarks.fruit_tree import make_tree, read_fruits, score_tree, solve_maximin


@pytest.mark.parametrize(("depth", "expected"), [(5, 3.7982), (6, 3.7987), (7, 3.9301)])
def test_maximin_of_the_tree_is_the_known_one(depth: int, expected: float) -> None:
    assert solve_maximin(read_fruits(depth)) == pytest.approx(expected, abs=5e-5)


def test_node_observation_is_a_one_at_the_node() -> None:
    tree = make_tree(5)
    first, _ = tree.reset(seed=0)
    assert first.nonzero()[0].tolist() == [0]
    right, *_ = tree.step(1)
    assert right.nonzero()[0].tolist() == [2]


def test_six_groups_of_the_tree_come_within_five_percent_of_the_maximin() -> None:
    """A quarter of the steps that the benchmark takes, on the smallest tree."""
    assert score_tree(5, seed=1, steps=250_000) >= 95
