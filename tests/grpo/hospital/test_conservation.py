"""Nobody is lost and no resource leaks, in random small hospitals under random choices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.environments.hospital.live.snapshot import snapshot_of
from grpo.environments.hospital.model.scenario_model import Law
from grpo.environments.hospital.physics import state as columns
from grpo.environments.hospital.scenario import (
    Constant,
    Exponential,
    Lognormal,
    Scenario,
    compile_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import Outcome, simulate
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.errors import SimulationError
from tests.grpo.hospital.problems import random_allowed

LAWS: st.SearchStrategy[Law] = st.one_of(
    st.builds(Exponential, mean_hours=st.floats(0.05, 5)),
    st.builds(Lognormal, mean_hours=st.floats(0.05, 5), cv=st.floats(0.1, 2)),
    st.builds(Constant, hours=st.floats(0.05, 5)),
)


@st.composite
def small_scenarios(draw: st.DrawFn) -> Scenario:
    num_classes = draw(st.integers(1, 4))
    pools = {"bed": draw(st.integers(1, 5)), "nurse": draw(st.integers(1, 8))}
    needs = [
        {"bed": 1, "nurse": draw(st.integers(0, min(3, pools["nurse"])))}
        for _ in range(num_classes)
    ]
    groups = draw(st.integers(1, 3))
    return make_queue_scenario(
        rates={
            f"g{g}": [draw(st.floats(0.05, 1.5)) for _ in range(num_classes)] for g in range(groups)
        },
        treatments=[draw(LAWS) for _ in range(num_classes)],
        pools=pools,
        needs=needs,
        patience=[draw(st.one_of(st.none(), LAWS)) for _ in range(num_classes)],
        costs_per_hour=[draw(st.floats(0, 10)) for _ in range(num_classes)],
        targets_minutes=[draw(st.one_of(st.none(), st.floats(0, 120))) for _ in range(num_classes)],
        factor_beyond_target=draw(st.floats(1, 3)),
        lump_hours=draw(st.floats(0, 10)),
        waiting_room=draw(st.integers(0, 12)),
    )


@settings(max_examples=60, deadline=None)
@given(scenario=small_scenarios(), seed=st.integers(0, 2**32))
def test_patients_and_resources_are_conserved(scenario: Scenario, seed: int) -> None:
    compiled = compile_scenario(scenario, group_aware=True)
    environment = HospitalVectorEnvironment(
        compiled, 3, np.ones((2, compiled.num_types)), burn_in=False
    )
    _, masks = environment.reset(seed)
    generator = np.random.default_rng(seed)
    for _ in range(60):
        masks = environment.step(random_allowed(masks, generator)).action_masks
        for i in range(3):
            counts = environment.state.counts[i]
            assert counts[columns.ARRIVED] == (
                counts[columns.DISCHARGED]
                + counts[columns.LEFT]
                + counts[columns.DIVERTED]
                + counts[columns.WAITING]
                + counts[columns.IN_CARE]
            )
            snapshot = snapshot_of(environment, i)
            assert len(snapshot.patients) == counts[columns.WAITING]
            slots = environment.state.links.shape[1]
            in_place = slots - counts[columns.NUM_VACANT]
            assert in_place == counts[columns.WAITING] + counts[columns.IN_CARE]
            # Units in use are those of the patients in care, found through the event heap.
            events = environment.state.stacks[i, columns.HEAP, : counts[columns.NUM_EVENTS]]
            links = environment.state.links[i, events]
            in_care = links[links[:, columns.PENDING] == columns.COMPLETES]
            assert len(in_care) == counts[columns.IN_CARE]
            used = compiled.needs[in_care[:, columns.CLASS]].sum(axis=0)
            assert np.array_equal(compiled.capacity - used, snapshot.free)
            assert min(snapshot.free) >= 0


@settings(max_examples=40, deadline=None)
@given(scenario=small_scenarios(), hold=st.booleans(), seed=st.integers(0, 2**32))
def test_every_arrival_is_logged_once_with_one_outcome(
    scenario: Scenario, hold: bool, seed: int
) -> None:
    compiled = compile_scenario(scenario, hold=hold)
    generator = np.random.default_rng(seed)
    log = simulate(
        compiled,
        lambda _, masks: random_allowed(masks, generator),
        episodes=2,
        seed=seed,
        warmup_hours=0.0,
        horizon_hours=30.0,
    )
    for episode in range(2):
        arrivals = log.arrival_hours[log.episode == episode]
        assert np.all(np.diff(arrivals) > 0)
        assert np.all((arrivals >= 0) & (arrivals < 30))
    assert np.all(np.isin(log.outcome, [int(outcome) for outcome in Outcome]))
    assert np.all(log.wait_hours >= 0)
    assert np.all(log.arrival_hours + log.wait_hours <= 30 + 1e-9)
    assert np.all(log.wait_hours[log.outcome == Outcome.DIVERTED] == 0)
    waiting = log.outcome == Outcome.WAITING
    assert np.allclose((log.arrival_hours + log.wait_hours)[waiting], 30)


def test_a_hospital_without_any_choice_is_refused_instead_of_running_for_ever() -> None:
    scenario = make_queue_scenario(
        rates={"all": (1.0,)}, treatments=(Constant(hours=0.5),), pools={"bed": 1}
    )
    compiled = compile_scenario(scenario, hold=False)
    environment = HospitalVectorEnvironment(compiled, 2, np.ones((1, compiled.num_types)))
    with pytest.raises(SimulationError, match="no choice to make"):
        environment.reset(1)
