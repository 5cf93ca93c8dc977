"""Dispatch rules: indices by hand, and who is started first."""

from __future__ import annotations

import numpy as np
import pytest

from grpo.environments.hospital.dispatch_rules import IndexRule, make_rule
from grpo.environments.hospital.scenario import Constant, compile_scenario, make_queue_scenario
from grpo.environments.hospital.simulate import Outcome, simulate
from grpo.errors import InputError

SCENARIO = make_queue_scenario(
    rates={"all": (1.0, 2.0)},
    treatments=(Constant(hours=2.0), Constant(hours=0.5)),
    pools={"bed": 4, "nurse": 2},
    needs=({"bed": 1, "nurse": 2}, {"bed": 1, "nurse": 1}),
    costs_per_hour=(10.0, 3.0),
    targets_minutes=(0.0, 30.0),
)


@pytest.mark.parametrize(
    ("name", "intercept", "slope"),
    [
        ("fcfs", (0, 0), (1, 1)),
        ("strict_acuity", (-1e6, -2e6), (1, 1)),
        # A target of 0 counts as 5 minutes: 1 / (1/12) and 1 / (1/2).
        ("apq", (0, 0), (12, 2)),
        # c / (E S * largest share): 10 / (2 * 2/2) and 3 / (0.5 * 1/2).
        ("c_mu", (5, 12), (0, 0)),
        ("gc_mu", (0, 0), (60, 24)),
    ],
)
def test_indices_by_hand(
    name: str, intercept: tuple[float, float], slope: tuple[float, float]
) -> None:
    rule = make_rule(name, compile_scenario(SCENARIO))
    assert rule.name == name
    assert rule.intercept == pytest.approx(intercept)
    assert rule.slope == pytest.approx(slope)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(InputError, match="gc_mu"):
        make_rule("luck", compile_scenario(SCENARIO))


def test_fcfs_starts_patients_in_the_order_of_arrival() -> None:
    compiled = compile_scenario(SCENARIO)
    log = simulate(compiled, make_rule("fcfs", compiled), episodes=1, seed=1, horizon_hours=500)
    served = log.outcome == Outcome.SERVED
    starts = (log.arrival_hours + log.wait_hours)[served]
    # A patient who needs two nurses may be overtaken while only one is free, and by those only.
    one_nurse = log.type[served] == 1
    assert np.all(np.diff(starts[one_nurse]) >= 0)
    assert np.all(np.diff(starts[~one_nurse]) >= 0)


def test_equal_indices_go_to_the_longest_wait_not_to_the_first_class() -> None:
    """With a constant index everywhere the rule is FCFS, patient by patient."""
    compiled = compile_scenario(SCENARIO)
    zeros = np.zeros(2)
    flat = simulate(compiled, IndexRule("flat", zeros, zeros), episodes=2, seed=4)
    fcfs = simulate(compiled, make_rule("fcfs", compiled), episodes=2, seed=4)
    assert np.array_equal(flat.wait_hours, fcfs.wait_hours)
