"""A hospital with every mechanism at once keeps the promises that the simple ones keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.live.recommend import recommend
from grpo.environments.hospital.live.snapshot import snapshot_of
from grpo.environments.hospital.physics import state as columns
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import compile_scenario
from grpo.environments.hospital.simulate import Outcome, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from tests.grpo.hospital.problems import LinearPolicy, random_allowed
from tests.grpo.hospital.random_scenarios import random_scenario

HORIZON = 100.0
SEEDS = (5, 11)


def everything(seed: int = 5, *, hold: bool = True) -> CompiledScenario:
    return compile_scenario(random_scenario(seed, everything=True), hold=hold)


def environment(compiled: CompiledScenario, size: int = 4) -> HospitalVectorEnvironment:
    heads = build_heads(compiled, AttributeGroups(attributes=("age",)))
    return HospitalVectorEnvironment(compiled, size, heads.weights)


def test_the_scenario_has_every_mechanism() -> None:
    compiled = everything()
    scenario = compiled.scenario
    assert compiled.num_activities > compiled.num_classes
    assert compiled.weekly
    assert "sin_hour_of_week" in compiled.feature_names
    assert scenario.surges
    assert scenario.stages
    assert scenario.triage_error
    assert scenario.harm
    assert (compiled.deterioration_rates > 0).any()
    assert (compiled.laws.cleaning[:, 0] > 0).any()
    assert len(compiled.calendar.tracks) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_head_rewards_add_up_to_the_costs_of_the_logged_patients(seed: int) -> None:
    """Rates between events on one side, costs in closed form per patient on the other."""
    compiled = everything(seed)
    # Those who are there at the start belong to no log; without them all costs are logged.
    compiled = replace(compiled, initial=np.zeros_like(compiled.initial))
    heads = build_heads(compiled, AttributeGroups(attributes=("age",)))
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions, seed=3)
    log = simulate(
        compiled, policy.act, episodes=6, seed=8, warmup_hours=0.0, horizon_hours=HORIZON
    )
    vector = HospitalVectorEnvironment(compiled, 6, heads.weights, burn_in=False)
    vector.horizon_hours = HORIZON
    observations, masks = vector.reset(8)
    vector.state.clock[:, columns.LIMIT] = HORIZON
    live = np.ones(6, dtype=bool)
    while live.any():
        transition = vector.step(policy.act(observations, masks))
        observations, masks = transition.observations, transition.action_masks
        live = ~transition.truncated
    assert log.courses is not None
    assert log.courses.boarding_hours.sum() > 0
    assert (log.outcome == Outcome.TRANSFERRED).any()
    for episode in range(6):
        inside = log.episode == episode
        costs = np.bincount(
            log.type[inside], weights=log.cost[inside], minlength=compiled.num_types
        )
        assert vector.total_rewards[episode] == pytest.approx(-heads.weights @ costs, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_patients_are_conserved_at_every_choice(seed: int) -> None:
    vector = environment(everything(seed))
    _, masks = vector.reset(seed)
    generator = np.random.default_rng(seed)
    for _ in range(300):
        masks = vector.step(random_allowed(masks, generator)).action_masks
        counts = vector.state.counts
        there = counts[:, [columns.WAITING, columns.IN_CARE, columns.BOARDING]].sum(axis=1)
        gone = [columns.DISCHARGED, columns.LEFT, columns.DIVERTED, columns.TRANSFERRED]
        came = counts[:, columns.ARRIVED] + counts[:, columns.INITIAL]
        assert np.array_equal(came, there + counts[:, gone].sum(axis=1))
        slots = vector.state.links.shape[1] - counts[:, columns.NUM_VACANT]
        assert np.all(slots >= there)


def trajectory(vector: HospitalVectorEnvironment, steps: int) -> list[NDArray[np.generic]]:
    """What a policy and a trainer see of the first two hospitals from here on."""
    policy = LinearPolicy(vector.observation_size, vector.num_actions)
    observations, masks = vector._output.observations, vector._output.masks
    seen: list[NDArray[np.generic]] = [observations[:2].copy(), masks[:2].copy()]
    for _ in range(steps):
        transition = vector.step(policy.act(observations, masks))
        observations, masks = transition.observations, transition.action_masks
        seen += [observations[:2].copy(), masks[:2].copy(), transition.head_rewards[:2].copy()]
    return seen


def test_a_hospital_does_not_depend_on_how_many_run_beside_it() -> None:
    runs = []
    for size in (2, 7):
        vector = environment(everything(), size)
        vector.reset(7)
        runs.append(trajectory(vector, 200))
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


def test_saving_in_the_middle_and_going_on_gives_the_same_bits() -> None:
    vector = environment(everything())
    vector.reset(7)
    trajectory(vector, 150)
    saved = vector.save_state()
    first = trajectory(vector, 200)
    other = environment(everything())
    other.reset(99)
    other.restore_state(saved)
    assert all(np.array_equal(a, b) for a, b in zip(first, trajectory(other, 200), strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_recommendation_takes_the_turns_that_the_simulator_takes(seed: int) -> None:
    """From the same state, until time passes: boarders give their units back in both."""
    compiled = everything(seed)
    vector = environment(compiled, 6)
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions, seed=2)
    observations, masks = vector.reset(seed)
    compared = boarders = 0
    for _ in range(150):
        snapshots = [snapshot_of(vector, i) for i in range(6)]
        now = vector.state.clock[:, columns.NOW].copy()
        taken: list[list[int]] = [[] for _ in range(6)]
        for i in range(6):
            answer = recommend(policy, compiled, snapshots[i])
            taken[i] = list(answer.actions)
            boarders += sum(bool(p.held) for p in snapshots[i].patients)
        # Step all six until every one has moved in time; compare the actions of one instant.
        made: list[list[int]] = [[] for _ in range(6)]
        still = np.ones(6, dtype=bool)
        while still.any():
            actions = policy.act(observations, masks)
            for n in np.flatnonzero(still):
                made[n].append(int(actions[n]))
            transition = vector.step(actions)
            observations, masks = transition.observations, transition.action_masks
            still &= vector.state.clock[:, columns.NOW] == now
        for i in range(6):
            length = min(len(made[i]), len(taken[i]))
            assert made[i][:length] == taken[i][:length]
            compared += length
    assert compared > 900
    assert boarders > 100


@pytest.mark.parametrize("rule", ["fcfs", "strict_acuity", "c_mu"])
def test_every_rule_faces_the_same_patients(rule: str) -> None:
    compiled = everything()
    log = simulate(compiled, make_rule(rule, compiled), episodes=3, seed=5)
    other = simulate(compiled, make_rule("apq", compiled), episodes=3, seed=5)
    for column in ("episode", "type", "arrival_hours"):
        assert np.array_equal(getattr(log, column), getattr(other, column))
    assert log.courses is not None
    assert other.courses is not None
    both = (log.courses.recorded_acuity > 0) & (other.courses.recorded_acuity > 0)
    same = log.courses.recorded_acuity[both] == other.courses.recorded_acuity[both]
    assert same.all()
    left = (log.outcome == Outcome.LEFT) & (other.outcome == Outcome.LEFT)
    assert log.wait_hours[left] == pytest.approx(other.wait_hours[left], abs=1e-9)


def test_a_rule_in_the_kernel_equals_the_same_rule_as_a_chooser() -> None:
    compiled = everything(hold=False)
    rule = make_rule("fcfs", compiled)

    def choose(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        waits = observations[:, compiled.wait_features][:, compiled.activity_class]
        index = np.where(masks[:, :-1], waits, -np.inf)
        held = ~masks[:, :-1].any(axis=1)
        return np.where(held, compiled.hold_action, index.argmax(axis=1))

    inside = simulate(compiled, rule, episodes=4, seed=9)
    outside = simulate(compiled, choose, episodes=4, seed=9)
    assert np.array_equal(inside.wait_hours, outside.wait_hours)
    assert np.array_equal(inside.cost, outside.cost)
