"""Overtaking between groups: by hand, by brute force, and on rules that cannot overtake."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.environments.hospital.model.scenario_model import Exponential
from grpo.environments.hospital.queue_scenarios import make_queue_scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import compile_scenario
from grpo.environments.hospital.simulate import Outcome, simulate
from grpo.errors import ShapeError
from grpo.fairness.overtaking import find_overtaking

# episode, group, acuity, arrival, wait, seen
Row = tuple[int, int, int, float, float, bool]
PATIENTS = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(0, 2), st.integers(1, 3),
        st.integers(0, 6).map(float), st.integers(0, 6).map(float), st.booleans(),
    ),
    min_size=1, max_size=14,
)  # fmt: skip


def find(rows: list[Row]) -> tuple[list[bool], list[bool]]:
    episode, group, acuity, arrival, wait, seen = zip(*rows, strict=True)
    found = find_overtaking(
        np.array(episode), np.array(group), np.array(acuity), np.array(arrival, np.float64),
        np.array(wait, np.float64), np.array(seen),
    )  # fmt: skip
    return found.jumped.tolist(), found.overtaken.tolist()


def test_starting_somebody_who_came_later_and_is_no_more_urgent_is_overtaking() -> None:
    # The second came at 1 and started at 2, past the first, who waited from 0 to 5.
    assert find([(0, 0, 3, 0, 5, True), (0, 1, 3, 1, 1, True)]) == ([False, True], [True, False])


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ((0, 0, 3, 1, 1, True), "one group"),
        ((0, 1, 2, 1, 1, True), "more urgent"),
        ((1, 1, 3, 1, 1, True), "another hospital"),
        ((0, 1, 3, 0, 1, True), "came together"),
        ((0, 1, 3, 1, 4, True), "started together"),
        ((0, 1, 3, 1, 1, False), "left and was never started"),
    ],
)
def test_what_is_no_overtaking(second: Row, why: str) -> None:
    assert find([(0, 0, 3, 0, 5, True), second]) == ([False, False], [False, False])


@given(rows=PATIENTS)
@settings(max_examples=150, deadline=None)
def test_pairs_tried_one_by_one_give_the_same(rows: list[Row]) -> None:
    jumped, overtaken = [False] * len(rows), [False] * len(rows)
    for i, (e_i, g_i, k_i, a_i, w_i, _) in enumerate(rows):
        for j, (e_j, g_j, k_j, a_j, w_j, seen) in enumerate(rows):
            if e_i == e_j and g_i != g_j and k_i <= k_j and a_i < a_j and a_i + w_i > a_j + w_j:
                jumped[j] |= seen
                overtaken[i] |= seen
    assert find(rows) == (jumped, overtaken)


@pytest.mark.parametrize(
    ("rule", "overtakes"), [("fcfs", False), ("strict_acuity", False), ("c_mu", True)]
)
def test_rules_that_serve_each_acuity_first_come_first_served_overtake_nobody(
    rule: str, overtakes: bool
) -> None:
    """One pool. c-mu puts the shorter care first, whoever came earlier: acuity 2 before 1."""
    scenario = make_queue_scenario(
        rates={"a": (0.5, 0.9), "b": (0.5, 0.9)},
        treatments=[Exponential(kind="exponential", mean_hours=hours) for hours in (0.5, 0.2)],
        pools={"bed": 1},
    )
    compiled = compile_scenario(scenario)
    log = simulate(compiled, make_rule(rule, compiled), episodes=4, seed=1, horizon_hours=100)
    found = find_overtaking(
        log.episode,
        compiled.attribute_values["group"][log.type],
        compiled.type_acuity[log.type],
        log.arrival_hours,
        log.wait_hours,
        log.outcome == Outcome.SERVED,
    )
    assert found.jumped.any() == overtakes
    assert found.overtaken.any() == overtakes


def test_nobody_overtakes_nobody_and_columns_must_fit() -> None:
    none, hours, flags = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.bool_)
    assert find_overtaking(none, none, none, hours, hours, flags).jumped.size == 0
    with pytest.raises(ShapeError, match="six columns"):
        find_overtaking(none, none, none, np.zeros(1), hours, flags)
