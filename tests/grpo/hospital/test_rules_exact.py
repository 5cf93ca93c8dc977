"""Rules against queueing theory: published answers, limiting cases and conservation laws.

Estimates are means over independent episodes and must lie within 4 standard errors of the exact
answer, with an error small enough to matter; a correct rule fails one check in 16,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.rules.rule_specs import parse_rule
from grpo.environments.hospital.scenario import (
    CompiledScenario,
    Constant,
    Exponential,
    compile_scenario,
    load_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import Outcome, PatientLog, simulate
from grpo.errors import InputError
from grpo.oracles.accumulating_priority import accumulating_priority_waits

Float64 = NDArray[np.float64]
EPISODES = 40
HOUR = Exponential(mean_hours=1.0)


def one_server(rates: Sequence[float], **options: Any) -> CompiledScenario:
    """Classes of one service law before one server; class k is acuity k + 1."""
    laws = (HOUR,) * len(rates)
    scenario = make_queue_scenario(
        rates={"all": tuple(rates)}, treatments=laws, pools={"bed": 1}, **options
    )
    return compile_scenario(scenario)


def run(compiled: CompiledScenario, rule: Any, hours: float, warmup: float = 200.0) -> PatientLog:
    return simulate(
        compiled,
        make_rule(parse_rule(rule), compiled),
        episodes=EPISODES,
        seed=31,
        warmup_hours=warmup,
        horizon_hours=hours,
    )


def means_by_acuity(log: PatientLog, compiled: CompiledScenario, values: Float64) -> Float64:
    """Average values over the patients of each acuity, by episode: [E, acuities]."""
    levels = compiled.type_acuity.max()
    cell = log.episode * levels + compiled.type_acuity[log.type] - 1
    sums = np.bincount(cell, weights=values, minlength=log.episodes * levels)
    counts = np.bincount(cell, minlength=log.episodes * levels)
    return np.asarray((sums / counts).reshape(log.episodes, levels))


def check(samples: Float64, exact: Sequence[float] | Float64, largest_error: float) -> None:
    """Demand means [E, M] within 4 standard errors, none beyond a share of the exact value."""
    errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.all(errors <= largest_error * np.abs(exact)), errors / exact
    assert np.all(np.abs(samples.mean(axis=0) - exact) <= 4 * errors), samples.mean(axis=0)


@pytest.mark.parametrize("rates", [(4.0, 2.0, 1.0), (1.0, 3.0, 9.0)])
def test_accumulating_priority_meets_kleinrock(rates: tuple[float, ...]) -> None:
    arrivals = np.array([0.2, 0.3, 0.25])
    compiled = one_server(arrivals.tolist())
    log = run(compiled, {"kind": "apq", "rates": rates}, hours=16_000.0)
    exact = accumulating_priority_waits(arrivals, 1.0, np.array(rates))
    check(means_by_acuity(log, compiled, log.wait_hours), exact, 0.03)


def test_equal_rates_are_first_come_first_served_patient_by_patient() -> None:
    compiled = one_server((0.25, 0.35, 0.3))
    equal = run(compiled, {"kind": "apq", "rates": (2.0, 2.0, 2.0)}, hours=400.0)
    assert np.array_equal(equal.wait_hours, run(compiled, "fcfs", hours=400.0).wait_hours)


def test_endless_ratios_are_strict_priority_patient_by_patient() -> None:
    """Whose waits are Cobham's, which the strict rule is checked against elsewhere."""
    compiled = one_server((0.25, 0.35, 0.3))
    steep = run(compiled, {"kind": "apq", "rates": (1e9, 1e4, 0.0)}, hours=400.0)
    strict = run(compiled, "strict_acuity", hours=400.0)
    assert np.array_equal(steep.wait_hours, strict.wait_hours)


def test_random_order_costs_the_same_overall_and_treats_alike_who_comes_alike() -> None:
    """Service times do not tell classes apart, so sum rho W is FCFS's: .8 / .2 = 4 hours."""
    compiled = one_server((0.4, 0.4))
    waits = {
        rule: means_by_acuity(log := run(compiled, rule, hours=10_000.0), compiled, log.wait_hours)
        for rule in ("random", "fcfs")
    }
    check(waits["random"], (4.0, 4.0), 0.03)
    check(waits["random"] - waits["fcfs"] + 4.0, (4.0, 4.0), 0.03)


def test_random_with_a_single_class_is_first_come_first_served() -> None:
    compiled = one_server((0.8,))
    random, fcfs = (run(compiled, rule, hours=400.0) for rule in ("random", "fcfs"))
    assert np.array_equal(random.wait_hours, fcfs.wait_hours)


def test_c_mu_serves_in_the_order_of_the_optimum() -> None:
    """Case cmu_mm1_nonpreemptive: c mu = 1, 1.5, .8, so the best order is 2, 1, 3."""
    laws = tuple(Exponential(mean_hours=1 / rate) for rate in (1.0, 0.5, 0.4))
    scenario = make_queue_scenario(
        rates={"all": (0.2, 0.15, 0.1)},
        treatments=laws,
        pools={"bed": 1},
        costs_per_hour=(1.0, 3.0, 2.0),
    )
    compiled = compile_scenario(scenario)
    assert make_rule("c_mu", compiled).intercept == pytest.approx([1.0, 1.5, 0.8])
    log = run(compiled, "c_mu", hours=30_000.0)
    rates = compiled.type_rates
    costs = means_by_acuity(log, compiled, log.cost) @ rates
    check(costs[:, None], [4.0103571], 0.02)


def test_without_impatience_c_mu_theta_is_c_mu() -> None:
    compiled = one_server((0.2, 0.3, 0.3), costs_per_hour=(1.0, 3.0, 2.0))
    logs = [run(compiled, rule, hours=200.0) for rule in ("c_mu", "c_mu_theta")]
    assert np.array_equal(logs[0].wait_hours, logs[1].wait_hours)


def test_the_earliest_target_of_equal_targets_is_first_come_first_served() -> None:
    compiled = one_server((0.4, 0.4), targets_minutes=(60.0, 60.0))
    logs = [run(compiled, rule, hours=200.0) for rule in ("earliest_target", "fcfs", "gc_mu")]
    assert np.array_equal(logs[0].wait_hours, logs[1].wait_hours)
    assert np.array_equal(logs[2].wait_hours, logs[1].wait_hours)


def test_worst_group_first_evens_out_the_weighted_waits() -> None:
    """Case group_robust_mm1: equal weighted waits are 8.07263, the least possible worst group."""
    groups = {"adult": (0.25, 0, 0), "pediatric": (0, 0.4, 0), "elderly": (0, 0, 0.2)}
    scenario = make_queue_scenario(
        rates=groups, treatments=(HOUR,) * 3, pools={"bed": 1}, costs_per_hour=(1.0, 1.5, 2.5)
    )
    compiled = compile_scenario(scenario, group_aware=True)
    log = run(compiled, "worst_group_first", hours=8000.0)
    weighted = means_by_acuity(log, compiled, log.cost)
    check(weighted, np.full(3, 8.0726257), 0.04)
    spread = np.ptp(weighted.mean(axis=0))
    assert spread < 0.05 * 8.07, "groups' running costs are kept together"


RURAL = load_scenario("rural_hospital")


@pytest.mark.parametrize("base", ["fcfs", "strict_acuity", "apq"])
def test_a_head_start_of_nothing_is_the_plain_rule(base: str) -> None:
    aware, blind = compile_scenario(RURAL, group_aware=True), compile_scenario(RURAL)
    spec = {"kind": "head_start", "base": {"kind": base}, "hours_per_step": 0.0}
    logs = [run(aware, spec, hours=100.0), run(aware, base, hours=100.0)]
    assert np.array_equal(logs[0].wait_hours, logs[1].wait_hours)
    assert np.array_equal(logs[1].wait_hours, run(blind, base, hours=100.0).wait_hours)


def test_a_head_start_helps_those_who_have_it() -> None:
    aware = compile_scenario(RURAL, group_aware=True)
    groups = aware.attribute_values[RURAL.mix_by]

    def wait_of_the_last(hours_per_step: float) -> float:
        log = run(aware, {"kind": "head_start", "hours_per_step": hours_per_step}, hours=300.0)
        return float(log.wait_hours[groups[log.type] == groups.max()].mean())

    assert wait_of_the_last(2.0) < wait_of_the_last(0.5) < wait_of_the_last(0.0)


TRUNK = {  # reserved: reward per hour, loss of class 1, loss of class 2 (Miller 1969)
    0: (33.507598, 0.30192504, 0.30192504),
    1: (39.431712, 0.12600424, 0.44101483),
    2: (41.2773, 0.059492918, 0.54287288),
    3: (41.690983, 0.031078901, 0.63323261),
    4: (41.536937, 0.017928051, 0.71824256),
    5: (41.157363, 0.011466505, 0.79799709),
    6: (40.714532, 0.0081669927, 0.86984852),
    7: (40.305594, 0.0064801821, 0.92939987),
    8: (39.999945, 0.0056783918, 0.97161497),
    9: (39.834654, 0.0053733466, 0.9938015),
}


def two_classes_and_ten_beds() -> CompiledScenario:
    """Case trunk_reservation: whoever is not admitted at once is lost."""
    scenario = make_queue_scenario(
        rates={"all": (4.0, 8.0)},
        treatments=(HOUR, HOUR),
        pools={"bed": 10},
        patience=(Constant(hours=1e-6),) * 2,
    )
    return compile_scenario(scenario)


@cache
def losses(reserved: int) -> Float64:
    """Share of each class that is lost while so many beds are kept from class 2, [E, 2]."""
    compiled = two_classes_and_ten_beds()
    rule = {"kind": "reservation", "keep": {"2": {"bed": reserved}}} if reserved else "fcfs"
    log = run(compiled, rule, hours=900.0, warmup=20.0)
    return means_by_acuity(log, compiled, 1.0 * (log.outcome == Outcome.LEFT))


@pytest.mark.parametrize("reserved", TRUNK)
def test_reserved_beds_lose_the_published_shares(reserved: int) -> None:
    check(losses(reserved), TRUNK[reserved][1:], 0.07)


def test_three_beds_are_the_best_to_reserve() -> None:
    """Reward 10 for an admission of class 1, 1 for class 2, paired on the same patients."""
    rewards = {r: 40 * (1 - losses(r)[:, 0]) + 8 * (1 - losses(r)[:, 1]) for r in TRUNK}
    for reserved, (exact, _, _) in TRUNK.items():
        check(rewards[reserved][:, None], [exact], 0.01)
        if reserved != 3:
            lost = rewards[3] - rewards[reserved]
            assert lost.mean() > 2 * lost.std(ddof=1) / np.sqrt(EPISODES), reserved


def test_beds_that_leave_a_class_none_are_refused() -> None:
    compiled = two_classes_and_ten_beds()
    spec = parse_rule({"kind": "reservation", "keep": {"2": {"bed": 10}}})
    with pytest.raises(InputError, match="could never start"):
        make_rule(spec, compiled)
