"""The theorem of zero gaps, and mechanisms that break it: controls that show the test could fail.

With classes (stage, acuity) and laws that are equal given the acuity, a rule cannot tell groups
apart, and Poisson arrivals see time averages: given the acuity, patients of all groups cost the
same in expectation. So the costs standardised to one acuity mix are equal, under every rule.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.rules.dispatch_rules import RULE_NAMES, IndexRule, make_rule
from grpo.environments.hospital.scenario import (
    Exponential,
    Lognormal,
    compile_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.simulate import PatientLog, simulate
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from tests.grpo.hospital.problems import Float64, rural, two_groups

FACT = {"basis": "assumed", "source": "Chosen to be seen."}
BOARDING_COST = 5.0  # of an hour, as relative units


def group_costs(
    compiled: CompiledScenario, rule: str | IndexRule, attribute: str, target: str
) -> Float64:
    """Cost per patient by episode and group, [episodes, G], with the exact weights of the heads."""
    chosen = make_rule(rule, compiled) if isinstance(rule, str) else rule
    log = simulate(compiled, chosen, episodes=100, seed=21, horizon_hours=700)
    return weigh(compiled, log, log.cost, attribute, target)


def weigh(
    compiled: CompiledScenario,
    log: PatientLog,
    values: Float64,
    attribute: str = "group",
    target: str = "standardised",
) -> Float64:
    """Mean of patients' values by episode and group, [episodes, G], as ``group_costs``."""
    heads = build_heads(
        compiled,
        AttributeGroups(attributes=(attribute,)),
        "raw" if target == "raw" else "standardised",
        evaluation_hours=1e9,
    )
    sums = np.zeros((log.episodes, compiled.num_types))
    np.add.at(sums, (log.episode, log.type), values)
    return np.asarray(sums @ heads.weights[1:].T / log.horizon_hours)


def gap_in_errors(costs: Float64) -> tuple[float, float]:
    """Difference of the first two groups in standard errors, and the error relative to the cost."""
    differences = costs[:, 0] - costs[:, -1]
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() / error), float(error / costs.mean())


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_equal_laws_given_acuity_leave_no_standardised_gap(rule: str) -> None:
    compiled = compile_scenario(two_groups())
    gap, relative_error = gap_in_errors(group_costs(compiled, rule, "group", "standardised"))
    assert relative_error < 0.02
    assert abs(gap) < 4


def test_the_raw_gap_of_the_same_hospital_is_large() -> None:
    compiled = compile_scenario(two_groups())
    gap, _ = gap_in_errors(group_costs(compiled, "strict_acuity", "group", "raw"))
    assert abs(gap) > 8


def test_stay_bands_that_correlate_with_age_open_a_standardised_gap() -> None:
    """Control: c-mu prefers short stays, hence children; the same test must see it."""
    gap, _ = gap_in_errors(group_costs(rural(), "c_mu", "age_group", "standardised"))
    assert gap < -8


RATES = st.lists(st.floats(0.1, 1.0), min_size=3, max_size=3)
INDEX = st.lists(st.floats(0.0, 5.0), min_size=3, max_size=3)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(young=RATES, old=RATES, load=st.floats(0.3, 0.95), intercepts=INDEX, slopes=INDEX)
def test_whatever_the_load_and_the_index_rule_the_standardised_gap_is_zero(
    young: list[float], old: list[float], load: float, intercepts: list[float], slopes: list[float]
) -> None:
    """Any mixes of two groups, any work for three beds below what they can do, any index."""
    means = np.array([1.5, 1.0, 0.6])
    rates = np.array([young, old])
    rates *= 3 * load / (rates.sum(axis=0) @ means)
    compiled = compile_scenario(
        make_queue_scenario(
            rates={"young": tuple(rates[0]), "old": tuple(rates[1])},
            treatments=[
                Lognormal(mean_hours=1.5, cv=0.7),
                Lognormal(mean_hours=1.0, cv=1.2),
                Exponential(mean_hours=0.6),
            ],
            pools={"bed": 3},
            patience=(None, Exponential(mean_hours=10), Exponential(mean_hours=4)),
            costs_per_hour=(10, 3, 1),
            targets_minutes=(0, 20, 60),
            factor_beyond_target=2,
            lump_hours=6,
        )
    )
    rule = IndexRule("drawn", np.array(intercepts), np.array(slopes))
    gap, _ = gap_in_errors(group_costs(compiled, rule, "group", "standardised"))
    assert abs(gap) < 4.5  # of 6 draws: one in 20,000 sets of seeds would go beyond


def worsening_by_group() -> CompiledScenario:
    """The same department, in which the old get worse while they wait and the young hardly do."""
    plain = two_groups().model_dump(mode="json", exclude_none=True)
    for acuity in plain["acuities"][1:]:
        acuity["deterioration_per_hour"] = FACT | {"value": 0.3}
    plain["deterioration_factor"] = FACT | {"value": {"young": 0.001, "old": 1.0}}
    plain["costs"]["deterioration_hours"] = FACT | {"value": 4}
    return compile_scenario(type(two_groups()).parse(plain))


def test_getting_worse_by_group_is_a_mechanism_that_opens_a_gap_under_any_rule() -> None:
    """Control, and a mechanism by name: what a group costs while it waits is no longer equal."""
    for rule in ("fcfs", "strict_acuity"):
        gap, _ = gap_in_errors(group_costs(worsening_by_group(), rule, "group", "standardised"))
        assert gap < -8


def admitting(young: float, old: float) -> CompiledScenario:
    """The department with twice the beds, which admits so many of each group to a ward of eight."""
    plain = two_groups().model_dump(mode="json", exclude_none=True)
    for pool in plain["pools"]:
        pool["capacity"]["value"] *= 2
    plain["pools"].append({"name": "ward_bed", "capacity": FACT | {"value": 8}})
    plain["stages"] = [
        {
            "name": "ward",
            "options": [{"name": "own", "needs": FACT | {"value": {"ward_bed": 1}}}],
            "stay": FACT | {"value": {"kind": "exponential", "mean_hours": 10}},
            "waiting_cost_per_hour": FACT | {"value": BOARDING_COST},
        }
    ]
    chances = {"young": (young,) * 3, "old": (old,) * 3}
    plain["routes"] = [
        {"origin": "ed", "destination": "ward", "probability": FACT | {"value": chances}}
    ]
    return compile_scenario(type(two_groups()).parse(plain))


def test_boarding_by_group_is_a_mechanism_that_opens_a_gap_of_the_boarding_itself() -> None:
    """Only the old are admitted. What they board for is the whole gap: waits remain alike."""
    compiled = admitting(0.0, 0.4)
    rule = make_rule("strict_acuity", compiled)
    log = simulate(compiled, rule, episodes=40, seed=21, horizon_hours=700)
    assert log.courses is not None
    boarding = BOARDING_COST * log.courses.boarding_hours
    gap, _ = gap_in_errors(weigh(compiled, log, log.cost))
    assert gap < -8
    assert not weigh(compiled, log, boarding)[:, 0].any()
    rest, relative_error = gap_in_errors(weigh(compiled, log, log.cost - boarding))
    assert relative_error < 0.05
    assert abs(rest) < 4


def test_boarding_that_befalls_both_groups_alike_opens_no_gap() -> None:
    compiled = admitting(0.2, 0.2)
    rule = make_rule("strict_acuity", compiled)
    log = simulate(compiled, rule, episodes=40, seed=21, horizon_hours=700)
    assert log.courses is not None
    assert log.courses.boarding_hours.mean() > 0.2
    gap, relative_error = gap_in_errors(weigh(compiled, log, log.cost))
    assert relative_error < 0.05
    assert abs(gap) < 4


def rushed(old: float) -> CompiledScenario:
    """The department with twice the beds; every two days 15 come in 2 h, so many of them old."""
    plain = two_groups().model_dump(mode="json", exclude_none=True)
    plain["surges"] = [
        {
            "name": "rush",
            "first_hour": FACT | {"value": 10},
            "every_hours": FACT | {"value": 48},
            "duration_hours": FACT | {"value": 2},
            "patients": FACT | {"value": 15},
            "mix_share": FACT | {"value": (1 - old, old)},
            "acuity_share": plain["acuity_share"],
        }
    ]
    for pool in plain["pools"]:
        pool["capacity"]["value"] *= 2
    return compile_scenario(type(two_groups()).parse(plain))


@pytest.mark.parametrize("rule", ["fcfs", "strict_acuity"])
def test_coming_at_other_hours_is_a_mechanism_that_opens_a_gap(rule: str) -> None:
    """A rush of the old alone finds the queue that it makes; one mixed as ever opens no gap."""
    usual = 1.8 / 3.8  # of an hour's patients, as ``two_groups`` has them
    for old, breaks in ((1.0, True), (usual, False)):
        compiled = rushed(old)
        log = simulate(compiled, make_rule(rule, compiled), episodes=40, seed=21, horizon_hours=720)
        gap, relative_error = gap_in_errors(weigh(compiled, log, log.cost))
        assert relative_error < 0.05
        assert gap < -8 if breaks else abs(gap) < 4
