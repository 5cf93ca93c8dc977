"""Rewards against costs computed a second way: by hand, from logs, and in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from grpo.environments.hospital.live.snapshot import snapshot_of
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.rules.rule_specs import PLAIN_RULES, parse_rule
from grpo.environments.hospital.scenario import (
    CompiledScenario,
    Constant,
    Exponential,
    compile_scenario,
    load_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import Outcome, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from tests.grpo.hospital.problems import LinearPolicy, rural, two_groups

HORIZON = 120.0
Float64 = NDArray[np.float64]


def test_head_rewards_add_up_to_the_costs_of_the_logged_patients() -> None:
    compiled = compile_scenario(two_groups())
    heads = build_heads(compiled, AttributeGroups(attributes=("group",)), "standardised")
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions, seed=3)
    log = simulate(
        compiled, policy.act, episodes=6, seed=8, warmup_hours=0.0, horizon_hours=HORIZON
    )
    environment = HospitalVectorEnvironment(compiled, 6, heads.weights, burn_in=False)
    environment.horizon_hours = HORIZON
    observations, masks = environment.reset(8)
    # The horizon counts from the first choice; put the limit at the hour where the log ends.
    environment.state.clock[:, 3] = HORIZON
    live = np.ones(6, dtype=bool)
    while live.any():
        transition = environment.step(policy.act(observations, masks))
        observations, masks, live = (
            transition.observations,
            transition.action_masks,
            ~transition.truncated,
        )
    for episode in range(6):
        inside = log.episode == episode
        costs = np.bincount(
            log.type[inside], weights=log.cost[inside], minlength=compiled.num_types
        )
        assert np.any(log.outcome[inside] == Outcome.LEFT)
        assert environment.total_rewards[episode] == pytest.approx(-heads.weights @ costs, rel=1e-9)


def test_discounted_reward_of_a_held_interval_is_the_exact_integral() -> None:
    """Without targets the cost rate r is constant between events: r (1 - exp(-b t)) / b."""
    scenario = make_queue_scenario(
        rates={"all": (1.0, 2.0)},
        treatments=(Constant(hours=1.0),) * 2,
        pools={"bed": 50},
        costs_per_hour=(5.0, 2.0),
    )
    compiled = compile_scenario(scenario)
    weights = np.array([[1.0, 1.0], [0.25, 4.0]])
    environment = HospitalVectorEnvironment(
        compiled, 1, weights, half_life_hours=0.5, burn_in=False
    )
    environment.reset(4)
    beta = math.log(2) / 0.5
    for _ in range(50):
        waiting = np.bincount(
            [patient.class_index for patient in snapshot_of(environment, 0).patients], minlength=2
        )
        rates = weights @ (waiting * np.array([5.0, 2.0]))
        transition = environment.step(np.array([compiled.hold_action]))
        hours = float(transition.elapsed[0])
        assert 0 < hours <= 0.25 + 1e-6
        exact = -rates * (1 - math.exp(-beta * hours)) / beta
        assert transition.head_rewards[0] == pytest.approx(exact, rel=1e-5)
        assert transition.discounts[0] == pytest.approx(math.exp(-beta * hours), rel=1e-6)


def test_waiting_past_the_target_costs_the_kinked_rate_and_leaving_adds_its_lump() -> None:
    """One bed is taken for ever; the second patient waits 3 h and leaves.

    Rate 2, target 1 h, factor 3: 2 * 1 + 6 * 2 = 14, and the lump of 5 h beyond target is 30.
    """
    scenario = make_queue_scenario(
        rates={"all": (0.5,)},
        treatments=(Constant(hours=1e6),),
        pools={"bed": 1},
        patience=(Constant(hours=3.0),),
        costs_per_hour=(2.0,),
        targets_minutes=(60.0,),
        factor_beyond_target=3.0,
        lump_hours=5.0,
    )
    compiled = compile_scenario(scenario)
    log = simulate(
        compiled,
        make_rule("fcfs", compiled),
        episodes=1,
        seed=1,
        warmup_hours=0,
        horizon_hours=50,
    )
    left = log.outcome == Outcome.LEFT
    assert left.sum() > 5
    assert log.outcome[0] == Outcome.SERVED
    assert log.wait_hours[left] == pytest.approx(3.0)
    assert log.cost[left] == pytest.approx(14.0 + 30.0)
    assert log.cost[0] == 0.0


def test_cost_rates_are_exactly_zero_whenever_nobody_waits() -> None:
    compiled = rural()
    heads = build_heads(compiled, AttributeGroups(attributes=("age_group",)))
    environment = HospitalVectorEnvironment(compiled, 8, heads.weights)
    observations, masks = environment.reset(3)
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions)
    for _ in range(300):
        empty = environment.state.counts[:, 4] == 0
        assert np.all(environment.state.heads[empty, :, 0] == 0.0)
        transition = environment.step(policy.act(observations, masks))
        observations, masks = transition.observations, transition.action_masks


@dataclass(frozen=True)
class Fates:
    """What became of the patients of a scenario under one rule, [H] heads, [5] acuities.

    Attributes:
        cost: cost per patient of every head.
        lumps: how much of it is for leaving.
        left: share that left unseen, by acuity.
        long_waits: 99% of the waits of an acuity are below it, hours.
    """

    cost: Float64
    lumps: Float64
    left: Float64
    long_waits: Float64


@pytest.fixture(scope="module", params=[("rural_hospital", 400), ("urban_hospital", 40),
                                        ("pediatric_hospital", 40), ("emergency_surge", 40)],
                ids=lambda param: param[0])  # fmt: skip
def fates(request: pytest.FixtureRequest) -> tuple[CompiledScenario, dict[str, Fates]]:
    """Run a built-in scenario under every rule that has no parameters."""
    name, episodes = request.param
    scenario = load_scenario(name)
    groups = AttributeGroups(attributes=(scenario.mix_by,))
    found = {}
    for rule in PLAIN_RULES:
        compiled = compile_scenario(scenario, group_aware=parse_rule(rule).group_aware)
        heads = build_heads(compiled, groups, "standardised", evaluation_hours=1e9).weights
        log = simulate(compiled, make_rule(rule, compiled), episodes=episodes, seed=11)
        left, acuity = log.outcome == Outcome.LEFT, compiled.type_acuity[log.type]
        cost, lumps = (
            heads @ np.bincount(log.type, weights=values, minlength=compiled.num_types)
            for values in (log.cost, left * compiled.leaving_costs[log.type])
        )
        found[rule] = Fates(
            cost,
            lumps,
            np.array([left[acuity == k].mean() for k in range(1, 6)]),
            np.array([np.quantile(log.wait_hours[acuity == k], 0.99) for k in range(1, 6)]),
        )
    return compile_scenario(scenario), found


def test_leaving_costs_at_least_a_99th_percentile_wait(
    fates: tuple[CompiledScenario, dict[str, Fates]],
) -> None:
    """Otherwise a policy gains by letting somebody wait until he leaves (acuity 1 never does)."""
    compiled, found = fates
    for rule, fate in found.items():
        for acuity in (2, 3, 4, 5):
            y = int(np.flatnonzero(compiled.type_acuity == acuity)[0])
            wait, target = fate.long_waits[acuity - 1], compiled.target_hours[y]
            cost = compiled.cost_rates[y] * (wait + max(wait - target, 0.0))
            assert compiled.leaving_costs[y] >= cost, (rule, acuity, wait)


@pytest.mark.parametrize("w", [0.0, 0.3, 0.7, 0.95])
def test_what_w_chooses_hardly_hangs_on_the_price_of_leaving(
    fates: tuple[CompiledScenario, dict[str, Fates]], w: float
) -> None:
    """Choosing among the rules as if leaving were twice as dear loses at most 5% of the objective.

    The best rule for (1 - w) mean + w worst may let an acuity leave more as w grows
    (docs/simulator.md says where); were it for a lump that is too cheap, this would fail.
    """
    found = fates[1]

    def objective(rule: str, times: float) -> float:
        costs = found[rule].cost + (times - 1) * found[rule].lumps
        return float((1 - w) * costs[0] + w * costs[1:].max())

    best, other = (min(found, key=lambda r, t=times: objective(r, t)) for times in (1.0, 2.0))  # type: ignore[misc]
    assert objective(other, 1.0) <= 1.05 * objective(best, 1.0)


def test_exponential_patience_is_drawn_at_arrival_and_kept() -> None:
    compiled = compile_scenario(
        make_queue_scenario(
            rates={"all": (3.0, 3.0)},
            treatments=(Exponential(mean_hours=1.0),) * 2,
            pools={"bed": 3},
            patience=(Exponential(mean_hours=1.0), Exponential(mean_hours=2.0)),
        )
    )
    logs = [
        simulate(
            compiled,
            make_rule(rule, compiled),
            episodes=4,
            seed=2,
            warmup_hours=10.0,
            horizon_hours=200.0,
        )
        for rule in ("fcfs", "strict_acuity")
    ]
    both_left = (logs[0].outcome == Outcome.LEFT) & (logs[1].outcome == Outcome.LEFT)
    assert both_left.sum() > 100
    assert logs[0].wait_hours[both_left] == pytest.approx(logs[1].wait_hours[both_left], abs=1e-9)
