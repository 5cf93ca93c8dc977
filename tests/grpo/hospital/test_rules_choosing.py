"""How the kernel follows a rule: the choice, the draw, the ties, in waiting rooms made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from grpo.environments.hospital.compiling.parameters import make_parameters
from grpo.environments.hospital.model.scenario_model import CareOption, Fact, Pool
from grpo.environments.hospital.physics import state as columns
from grpo.environments.hospital.physics.dispatch_kernel import choose_activity
from grpo.environments.hospital.physics.kernel import kernel
from grpo.environments.hospital.physics.rule_table import IndexRule, RuleTable, stack_rules
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.rules.rule_specs import parse_rule
from grpo.environments.hospital.scenario import (
    CompiledScenario,
    Constant,
    compile_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import Outcome, simulate

SCENARIO = make_queue_scenario(
    rates={"young": (1.0, 2.0, 1.0), "old": (1.0, 1.0, 2.0)},
    treatments=(Constant(hours=1.0),) * 3,
    pools={"bed": 6},
    needs=({"bed": 3}, {"bed": 1}, {"bed": 1}),
    costs_per_hour=(6.0, 2.0, 1.0),
)
BLIND = compile_scenario(SCENARIO)
AWARE = compile_scenario(SCENARIO, group_aware=True)


@kernel
def start_whom(
    state: columns.State, par: columns.Parameters, i: int, table: RuleTable, rule: int
) -> int:
    """Call ``choose_activity``, which only kernels may call."""
    return choose_activity(state, par, i, table, rule)


def choose(
    rule: IndexRule,
    waits: tuple[tuple[float, ...], ...],
    *,
    free: int = 6,
    totals: tuple[float, ...] = (),
    times: int = 1,
    compiled: CompiledScenario = BLIND,
) -> list[int]:
    """Ask a rule ``times`` times whom to start at noon in a room where nothing moves.

    ``waits`` holds the hours that everybody has waited, by class, the longest first.
    """
    par_state = make_room(compiled, waits, free, totals)
    table = stack_rules([rule], len(compiled.capacity))
    return [int(start_whom(*par_state, 0, table, 0)) for _ in range(times)]


def make_room(
    compiled: CompiledScenario,
    waits: tuple[tuple[float, ...], ...],
    free: int,
    totals: tuple[float, ...],
) -> tuple[columns.State, columns.Parameters]:
    heads = np.zeros((len(totals), compiled.num_types))
    par = make_parameters(compiled, heads, discount_rate=0.0)
    state = columns.make_state(compiled, 1, len(totals), 5)
    state.clock[0, columns.NOW] = 12.0
    state.counts[0, columns.FREE] = free
    state.heads[0, :, columns.TOTAL] = [-total for total in totals]
    everybody = sorted((wait for queue in waits for wait in queue), reverse=True)
    slot = 0
    for k, queue in enumerate(waits):
        state.queues[0, k, columns.LENGTH] = len(queue)
        state.counts[0, columns.PRESENT] |= bool(queue) << k
        for place, wait in enumerate(queue):
            if place == 0:
                state.queues[0, k, columns.HEAD] = slot
            state.times[0, slot, columns.ARRIVED_AT] = 12.0 - wait
            state.keys[0, slot, columns.SERIAL] = everybody.index(wait)
            slot += 1
    return state, par


WAITS = ((1.0,), (3.0, 2.5), (2.0, 1.5, 0.5))


@pytest.mark.parametrize(
    ("name", "chosen"), [("fcfs", 1), ("strict_acuity", 0), ("longest_queue", 2)]
)
def test_the_class_with_the_largest_index_is_started(name: str, chosen: int) -> None:
    assert choose(make_rule(name, BLIND), WAITS) == [chosen]


def test_a_class_that_does_not_fit_is_passed_over_and_an_empty_room_starts_nobody() -> None:
    strict = make_rule("strict_acuity", BLIND)
    assert choose(strict, WAITS, free=2) == [1]
    assert choose(strict, WAITS, free=0) == [-1]
    assert choose(strict, ((), (), ())) == [-1]


def test_equal_indices_go_to_the_first_arrival_in_whatever_class() -> None:
    flat = IndexRule("flat", np.zeros(3), np.zeros(3))
    for waits, first in (
        (((1.0,), (3.0,), (2.0,)), 1),
        (((1.0,), (2.0,), (3.0,)), 2),
        (((4.0,), (3.0,), (2.0,)), 0),
    ):
        assert choose(flat, waits) == [first]


def test_the_longest_queue_breaks_its_ties_by_arrival() -> None:
    rule = make_rule("longest_queue", BLIND)
    assert choose(rule, ((1.0, 0.5), (2.0, 0.2), (3.0,))) == [1]


def test_what_is_kept_free_is_free_after_the_start() -> None:
    spec = {"kind": "reservation", "base": {"kind": "fcfs"}, "keep": {"2": {"bed": 3}}}
    rule = make_rule(parse_rule(spec), BLIND)
    assert choose(rule, WAITS, free=4) == [1]  # 4 - 1 = 3 stay free
    assert choose(rule, WAITS, free=3) == [2]  # 3 - 1 < 3: acuity 2 must leave them
    assert choose(rule, ((), (3.0,), ()), free=3) == [-1]


def test_the_lottery_gives_each_patient_tickets_by_his_cost() -> None:
    """Tickets n c: 1 * 6, 2 * 2 and 3 * 1 of 13."""
    chosen = choose(make_rule("cost_lottery", BLIND), WAITS, times=20_000)
    shares = np.bincount(chosen, minlength=3) / 20_000
    exact = np.array([6, 4, 3]) / 13
    assert np.all(np.abs(shares - exact) <= 4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_the_lottery_draws_only_among_those_who_fit() -> None:
    chosen = choose(make_rule("cost_lottery", BLIND), WAITS, free=2, times=20_000)
    shares = np.bincount(chosen, minlength=3) / 20_000
    exact = np.array([0, 4, 3]) / 7
    assert np.all(np.abs(shares - exact) <= 4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_random_gives_every_class_that_fits_the_same_chance() -> None:
    chosen = choose(make_rule("random", BLIND), WAITS, times=20_000)
    shares = np.bincount(chosen, minlength=3) / 20_000
    assert np.all(np.abs(shares - 1 / 3) <= 4 * np.sqrt(2 / 9 / 20_000))


def test_a_lottery_without_tickets_starts_the_first_arrival() -> None:
    free_of_charge = make_queue_scenario(
        rates={"all": (1.0, 1.0)},
        treatments=(Constant(hours=1.0),) * 2,
        pools={"bed": 2},
        costs_per_hour=(0.0, 0.0),
    )
    compiled = compile_scenario(free_of_charge)
    rule = make_rule("cost_lottery", compiled)
    assert choose(rule, ((1.0,), (2.0,)), free=2, compiled=compiled, times=5) == [1] * 5


def test_the_group_that_has_cost_most_goes_first_and_inside_it_the_first_arrival() -> None:
    rule = make_rule("worst_group_first", AWARE)
    assert AWARE.class_labels[:2] == ("ed.1.young", "ed.1.old")
    waits = ((5.0,), (1.0,), (4.0,), (2.0,), (3.0,), (0.5,))
    assert choose(rule, waits, totals=(7.0, 8.0), compiled=AWARE) == [3]
    assert choose(rule, waits, totals=(9.0, 8.0), compiled=AWARE) == [0]
    # Equal debts: whoever arrived first, whatever his group.
    assert choose(rule, waits, totals=(8.0, 8.0), compiled=AWARE) == [0]


def test_fcfs_starts_patients_in_the_order_of_arrival() -> None:
    log = simulate(BLIND, make_rule("fcfs", BLIND), episodes=1, seed=1, horizon_hours=200)
    served = log.outcome == Outcome.SERVED
    starts = (log.arrival_hours + log.wait_hours)[served]
    # A patient who needs three beds may be overtaken while fewer are free, and by those only.
    one_bed = BLIND.type_acuity[log.type[served]] > 1
    assert np.all(np.diff(starts[one_bed]) >= 0)
    assert np.all(np.diff(starts[~one_bed]) >= 0)


def with_a_hallway() -> CompiledScenario:
    """Acuity 2 may also be cared for in the hallway."""
    hallway = CareOption(
        name="hallway", needs=Fact(value={"hall": 1}, basis="assumed", source="a test")
    )
    pool = Pool(name="hall", capacity=Fact(value=2, basis="assumed", source="a test"))
    first, second, third = SCENARIO.acuities
    second = second.model_copy(update={"options": (hallway,)})
    changed = {"acuities": (first, second, third), "pools": (*SCENARIO.pools, pool)}
    return compile_scenario(SCENARIO.model_copy(update=changed))


def test_a_class_takes_the_first_option_that_leaves_enough_free() -> None:
    compiled = with_a_hallway()
    assert compiled.action_labels[:4] == ("ed.1", "ed.2", "ed.2:hallway", "ed.3")
    fcfs = make_rule("fcfs", compiled)
    kept = parse_rule({"kind": "reservation", "keep": {"2": {"bed": 2}}})
    reserving = make_rule(kept, compiled)
    for free_beds, rule, chosen in (
        (6, fcfs, 1),
        (0, fcfs, 2),
        (3, reserving, 1),  # 3 - 1 = 2 beds stay free
        (2, reserving, 2),  # too few would: the hallway
    ):
        state, par = make_room(compiled, WAITS, free_beds, ())
        state.counts[0, columns.FREE + 1] = 2
        table = stack_rules([rule], len(compiled.capacity))
        assert start_whom(state, par, 0, table, 0) == chosen
