"""Comparisons against exact answers, plain statistics, and contenders that are secretly alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from grpo.comparison import contenders as contenders_module
from grpo.comparison.contenders import Contender, Design, half_of, make_contenders, run_contender
from grpo.comparison.judging import OWN_COSTS, Judge, Question
from grpo.comparison.picture import draw_comparison
from grpo.comparison.ranking import compare
from grpo.comparison.report import RuleComparison
from grpo.config import TrainConfig
from grpo.environments.hospital.model.scenario_model import AlternativeCosts, Fact
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.rules.rule_specs import parse_rule
from grpo.environments.hospital.scenario import (
    Exponential,
    Scenario,
    compile_scenario,
    load_scenario,
    make_queue_scenario,
)
from grpo.errors import InputError
from grpo.fairness.statements import NOT_DISTINGUISHABLE
from grpo.models.parameters import NetworkShape, initialise_actor, named_views
from grpo.models.policy import Manifest, Policy
from grpo.training.starting_rule import make_index_term, rule_tensors

PATIENTS_PER_HOUR = 0.45
DESIGN = Design(replications=30, seed=4, warmup_hours=300.0, horizon_hours=12_000.0)


def three_classes(**options: Any) -> Scenario:
    """Case cmu_mm1_nonpreemptive, its classes spread over two groups alike."""
    laws = tuple(Exponential(mean_hours=1 / rate) for rate in (1.0, 0.5, 0.4))
    half = (0.1, 0.075, 0.05)
    costs = {"costs_per_hour": (1.0, 3.0, 2.0)} | options
    return make_queue_scenario(
        rates={"young": half, "old": half}, treatments=laws, pools={"bed": 1}, **costs
    )


def ask(
    scenario: Scenario, *rules: Any, design: Design = DESIGN, weight: float = 0.5
) -> RuleComparison:
    chosen = make_contenders(scenario, [parse_rule(rule) for rule in rules], {})
    return compare(chosen, Question(design, (scenario.mix_by,), weight=weight))


@pytest.fixture(scope="module")
def exact() -> RuleComparison:
    return ask(three_classes(), "fcfs", "c_mu", {"kind": "apq", "rates": [1, 1, 1]})


def test_values_and_differences_cover_the_exact_answers(exact: RuleComparison) -> None:
    """Costs per hour in queue: 4.845 under FCFS, 4.0103571 under c-mu; .45 patients an hour."""
    fcfs, c_mu, _ = (contender.everybody for contender in exact.contenders)
    first, second = fcfs.metrics["cost_per_patient"], c_mu.metrics["cost_per_patient"]
    difference = c_mu.differences["cost_per_patient"]
    for value, per_hour in ((first, 4.845), (second, 4.0103571), (difference, -0.8346429)):
        assert value.low is not None
        assert value.high is not None
        assert value.low < per_hour / PATIENTS_PER_HOUR < value.high
    assert difference.verdict == "lower"


def test_pairing_narrows_the_difference(exact: RuleComparison) -> None:
    """The same patients came: the difference is surer than either of the two costs."""

    def width(value: Any) -> float:
        return float(value.high - value.low)

    fcfs, c_mu, _ = (contender.everybody for contender in exact.contenders)
    first, second = (width(e.metrics["cost_per_patient"]) for e in (fcfs, c_mu))
    unpaired = np.hypot(first, second)
    assert width(c_mu.differences["cost_per_patient"]) < 0.5 * unpaired


def test_a_rule_under_another_name_is_exactly_not_distinguishable(exact: RuleComparison) -> None:
    """Equal rates of accumulation are FCFS, patient by patient."""
    same = exact.contenders[2]
    for outcome in (same.everybody, *same.groups.values()):
        for difference in outcome.differences.values():
            assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
            assert difference.verdict == NOT_DISTINGUISHABLE
    assert same.differences is not None
    assert same.differences.gap.value == 0.0
    assert any(
        "apq 1:1:1: cost per patient against fcfs: not distinguishable" in said
        for said in exact.statements
    )


def test_an_interval_is_as_wide_as_students() -> None:
    scenario = three_classes()
    design = Design(replications=30, seed=9, warmup_hours=100.0, horizon_hours=500.0)
    found = ask(scenario, "fcfs", "c_mu", design=design)
    means = []
    for contender in make_contenders(scenario, [parse_rule("fcfs"), parse_rule("c_mu")], {}):
        log = run_contender(contender, design)
        sums = np.bincount(log.episode, weights=log.cost, minlength=30)
        counts = np.bincount(log.episode, minlength=30)
        ratio = sums.sum() / counts.sum()
        means.append(ratio + (sums - ratio * counts) / counts.mean())
    differences = means[1] - means[0]
    difference = found.contenders[1].everybody.differences["cost_per_patient"]
    assert difference.value == pytest.approx(differences.mean())
    half = stats.t.ppf(0.975, 29) * differences.std(ddof=1) / np.sqrt(30)
    assert difference.low is not None
    assert difference.high is not None
    assert (difference.high - difference.low) / 2 == pytest.approx(half, rel=0.1)


def test_three_replications_give_no_impossible_bound_and_a_warning(exact: RuleComparison) -> None:
    scenario = three_classes()
    design = Design(replications=3, seed=4, warmup_hours=0.0, horizon_hours=40.0)
    found = ask(scenario, "fcfs", design=design)
    [contender] = make_contenders(scenario, [parse_rule("fcfs")], {})
    log = run_contender(contender, design)
    sums = np.bincount(log.episode, weights=log.cost, minlength=3)
    counts = np.bincount(log.episode, minlength=3)
    ratio = sums.sum() / counts.sum()
    half = stats.t.ppf(0.975, 2) * np.std(sums - ratio * counts, ddof=1) / counts.mean() / 3**0.5
    assert half > ratio  # so that the linear interval holds costs below zero
    outcome = found.contenders[0]
    cost = outcome.everybody.metrics["cost_per_patient"]
    bounds = ratio * np.exp(np.array([-1, 1]) * half / ratio)
    assert (cost.low, cost.high) == pytest.approx(tuple(bounds))
    assert found.cost_sets[0].ranking[0].cost_per_patient == cost
    for value in (outcome.summary.worst_group, outcome.summary.objective):
        assert value.low is not None
        assert 0 < value.low < ratio
    assert any("at least 6 replications" in said for said in found.statements)
    assert not any("at least 6 replications" in said for said in exact.statements)


def test_the_objective_mixes_everybody_and_the_worst_group(exact: RuleComparison) -> None:
    for contender in exact.contenders:
        everybody = contender.everybody.metrics["cost_per_patient"].value
        judged = {g: o.metrics["standardised_cost"].value for g, o in contender.groups.items()}
        worst = max(value for value in judged.values() if value is not None)
        least = min(value for value in judged.values() if value is not None)
        assert everybody is not None
        assert contender.worst_group is not None
        assert judged[contender.worst_group] == contender.summary.worst_group.value == worst
        assert contender.summary.gap.value == pytest.approx(worst - least)
        assert contender.summary.objective.value == pytest.approx((everybody + worst) / 2)


def test_other_costs_may_turn_the_order_while_the_decisions_stay() -> None:
    """Twice the costs are twice the result; costs of class 1 alone turn FCFS and c-mu around."""
    scenario = three_classes()
    sets = [("double", (2.0, 6.0, 4.0)), ("first_only", (1.0, 0.0, 0.0))]
    others = tuple(
        AlternativeCosts(
            name=name,
            cost_per_hour=Fact(value=rates, basis="assumed", source="a test"),
            costs=scenario.costs,
        )
        for name, rates in sets
    )
    design = Design(replications=10, seed=4, warmup_hours=100.0, horizon_hours=1_000.0)
    found = ask(
        scenario.model_copy(update={"alternative_costs": others}), "fcfs", "c_mu", design=design
    )
    own, double, first_only = found.cost_sets
    assert [own.name, double.name, first_only.name] == [OWN_COSTS, "double", "first_only"]
    assert [r.label for r in own.ranking] == [r.label for r in double.ranking] == ["c_mu", "fcfs"]
    for plain, doubled in zip(own.ranking, double.ranking, strict=True):
        assert plain.cost_per_patient.value is not None
        assert doubled.cost_per_patient.value == pytest.approx(2 * plain.cost_per_patient.value)
    # c-mu serves class 2 before class 1, so that class 1 alone prefers FCFS or not by its wait:
    # 4.071 hours under the order 2, 1, 3 against 3.6 and more for all under FCFS.
    waits = {r.label: r.cost_per_patient.value for r in first_only.ranking}
    assert [r.label for r in first_only.ranking] == sorted(waits, key=lambda name: waits[name] or 0)
    assert any("order" in said for said in found.statements)


def test_a_start_from_empty_is_noticed_and_a_long_warm_up_is_not() -> None:
    """At a load of .95 a queue takes some 1 / (1 - sqrt(.95))^2 = 1,560 services to fill."""
    busy = make_queue_scenario(
        rates={"all": (0.95,)}, treatments=(Exponential(mean_hours=1.0),), pools={"bed": 1}
    )
    cold = Design(replications=40, seed=2, warmup_hours=0.0, horizon_hours=800.0)
    [check] = ask(busy, "fcfs", design=cold).warmup
    assert check.drifts
    assert check.crowded is None
    assert check.first_half is not None
    assert check.second_half is not None
    assert check.first_half < check.second_half
    short = Design(replications=40, seed=2, warmup_hours=40.0, horizon_hours=800.0)
    found = ask(busy, "fcfs", design=short)
    assert not found.warmup[0].is_forgotten
    assert any(
        "Warm-up of 40 h is not shown to be long enough" in said for said in found.statements
    )
    idle = make_queue_scenario(
        rates={"all": (0.5,)}, treatments=(Exponential(mean_hours=1.0),), pools={"bed": 1}
    )
    warm = Design(replications=40, seed=2, warmup_hours=100.0, horizon_hours=800.0)
    found = ask(idle, "fcfs", "longest_queue", design=warm)
    assert not any(check.drifts for check in found.warmup)
    assert all(check.is_forgotten for check in found.warmup)
    assert [check.confidence for check in found.warmup] == [0.975, 0.975]
    assert any("Warm-up of 100 h is long enough" in said for said in found.statements)


@pytest.mark.parametrize(
    ("horizon", "half"), [(720.0, 336.0), (73.0, 24.0), (71.0, 24.0), (30.0, 15.0)]
)
def test_halves_are_whole_days_without_the_last_where_there_is_room(
    horizon: float, half: float
) -> None:
    assert half_of(three_classes(), horizon) == half


def test_a_simulation_in_parts_is_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load_scenario("rural_hospital")
    [contender] = make_contenders(scenario, [parse_rule("c_mu")], {})
    design = Design(replications=5, seed=3, warmup_hours=24.0, horizon_hours=48.0)
    whole = run_contender(contender, design)
    monkeypatch.setattr(contenders_module, "PATIENTS_AT_ONCE", 150)
    counts: list[int] = []
    parts = run_contender(contender, design, counts.append)
    assert len(counts) > 1
    assert sum(counts) == parts.episodes == whole.episodes == 5
    for name in ("episode", "type", "arrival_hours", "wait_hours", "cost"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))


def serve_rule(name: str) -> Policy:
    """A policy whose manifest says that the rule it started from is served."""
    config = TrainConfig.parse(
        {
            "environment": {"kind": "hospital", "scenario": "rural_hospital"},
            "grouping": {"kind": "attribute", "attributes": ["age_group"]},
            "budget": {"total_timesteps": 40_000},
        }
    )
    rural = compile_scenario(load_scenario("rural_hospital"))
    rule = make_rule(name, rural)
    index = make_index_term(rule, rural)
    shape = NetworkShape(rural.observation_size, (4,), rural.num_actions, 0)
    actor = initialise_actor(shape, np.random.default_rng(0), index)
    tensors: dict[str, Any] = {
        **named_views(shape.actor_entries, actor),
        **rule_tensors(rule, rural),
        "index.feature": index.feature,
        "normalization.mean": np.zeros(rural.observation_size, dtype=np.float32),
        "normalization.inverse_std": np.ones(rural.observation_size, dtype=np.float32),
    }
    manifest = Manifest(
        kind="hospital",
        config=config.model_dump(mode="json"),
        observation_size=rural.observation_size,
        num_actions=rural.num_actions,
        feature_names=rural.feature_names,
        hidden_sizes=(4,),
        rule=name,
        served="rule",
    )
    return Policy(manifest, tensors)


def test_a_policy_that_serves_c_mu_is_c_mu() -> None:
    scenario = load_scenario("rural_hospital")
    chosen = make_contenders(scenario, [parse_rule("c_mu")], {"mine": serve_rule("c_mu")})
    design = Design(replications=4, seed=3, warmup_hours=24.0, horizon_hours=120.0)
    found = compare(chosen, Question(design, ("age_group",)))
    assert [c.kind for c in found.contenders] == ["rule", "policy"]
    # Waits pass through float32 features: a near-tie may be decided the other way, rarely.
    value = found.contenders[1].everybody.metrics["cost_per_patient"].value
    assert value == pytest.approx(
        found.contenders[0].everybody.metrics["cost_per_patient"].value, rel=0.02
    )


def test_a_comparison_comes_back_from_its_json_and_makes_a_picture(
    exact: RuleComparison, tmp_path: Path
) -> None:
    assert RuleComparison.model_validate_json(exact.model_dump_json()) == exact
    path = tmp_path / "comparison.png"
    draw_comparison(exact, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_group_aware_contenders_are_named_as_such() -> None:
    design = Design(replications=2, seed=1, warmup_hours=10.0, horizon_hours=100.0)
    rules = ("fcfs", "worst_group_first", {"kind": "head_start", "hours_per_step": 1.0})
    found = ask(three_classes(), *rules, design=design)
    assert [contender.group_aware for contender in found.contenders] == [False, True, True]
    assert any("worst_group_first" in said and "unlawful" in said for said in found.statements)


def contenders_of(*rules: Any) -> list[Contender]:
    return make_contenders(three_classes(), [parse_rule(rule) for rule in rules], {})


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="/rules: name one"):
        contenders_of()
    with pytest.raises(InputError, match="/rules/1: is there twice"):
        contenders_of("fcfs", "fcfs")
    with pytest.raises(InputError, match="/policies/mine: was trained on a scenario"):
        make_contenders(three_classes(), [], {"mine": serve_rule("c_mu")})
    alone = Design(replications=1, seed=1, warmup_hours=0.0, horizon_hours=10.0)
    with pytest.raises(InputError, match="2 or more"):
        compare(contenders_of("fcfs"), Question(alone, ("group",)))
    endless = Design(replications=10_000, seed=1, warmup_hours=0.0, horizon_hours=100_000.0)
    with pytest.raises(InputError, match=r"/replications.*at most"):
        compare(contenders_of("fcfs"), Question(endless, ("group",)))
    with pytest.raises(InputError, match="no such attribute"):
        compare(contenders_of("fcfs"), Question(DESIGN, ("moon",)))


def test_every_contender_meets_the_same_patients() -> None:
    design = Design(replications=2, seed=1, warmup_hours=10.0, horizon_hours=100.0)
    chosen = contenders_of("random", "worst_group_first", "c_mu")
    judge = Judge.make(chosen[0].compiled, Question(design, ("group",)))
    assert len({judge.judge(contender).log_digest for contender in chosen}) == 1
