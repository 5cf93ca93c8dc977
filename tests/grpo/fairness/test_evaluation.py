"""Judging finished policies on the simulator and on Gymnasium environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.environments.hospital.compiling.compiled import CompiledScenario
from grpo.environments.hospital.model.scenario_model import Exponential, Scenario
from grpo.environments.hospital.queue_scenarios import make_queue_scenario
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.scenario import compile_scenario, load_scenario
from grpo.environments.hospital.simulate import simulate
from grpo.errors import InputError
from grpo.fairness.report import FairnessReport
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from grpo.models.policy import Manifest, Policy
from grpo.seeding import derive_seed
from grpo.training.evaluation import evaluate_policy, patients_of
from grpo.training.starting_rule import rule_tensors, wait_features

AGE = {"kind": "attribute", "attributes": ["age_group"]}
SIDES = {"kind": "threshold", "feature": 0, "edges": [0.0], "labels": ["left", "right"]}


def hospital_config(scenario: str = "rural_hospital", **changes: Any) -> TrainConfig:
    plain: dict[str, Any] = {
        "environment": {"kind": "hospital", "scenario": scenario},
        "grouping": AGE,
        "evaluation": {"episodes": 12, "warmup_hours": 24, "horizon_hours": 168},
    }
    return TrainConfig.parse(plain | changes)


def cartpole_config(**changes: Any) -> TrainConfig:
    plain: dict[str, Any] = {
        "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
        "grouping": SIDES,
        "evaluation": {"episodes": 6},
    }
    return TrainConfig.parse(plain | changes)


def rule_policy(name: str, compiled: CompiledScenario) -> Policy:
    """Serve a dispatch rule as a policy, through observations and masks."""
    rule = make_rule(name, compiled)
    actions = compiled.num_actions
    manifest = Manifest(
        kind="hospital",
        config={},
        observation_size=compiled.observation_size,
        num_actions=actions,
        hidden_sizes=(4,),
        served="rule",
        rule=name,
    )
    tensors: dict[str, Any] = {
        "index.bias": np.zeros(actions, np.float32),
        "index.slope": np.zeros(actions, np.float32),
        "index.feature": wait_features(compiled),
        **rule_tensors(rule, compiled),
    }
    return Policy(manifest, tensors)


def linear_policy(weights: list[float]) -> Policy:
    """Push right where ``weights @ observation`` is positive: tanh of it against 0."""
    manifest = Manifest(
        kind="gymnasium", config={}, observation_size=4, num_actions=2, hidden_sizes=(1,)
    )
    tensors = {
        "actor.0.weight": np.array(weights, np.float32)[:, None],
        "actor.0.bias": np.zeros(1, np.float32),
        "actor.1.weight": np.array([[0.0, 1.0]], np.float32),
        "index.bias": np.zeros(2, np.float32),
        "index.slope": np.zeros(2, np.float32),
        "index.feature": np.full(2, -1),
        "normalization.mean": np.zeros(4, np.float32),
        "normalization.inverse_std": np.ones(4, np.float32),
    }
    return Policy(manifest, tensors)


@pytest.fixture(scope="module")
def compiled() -> CompiledScenario:
    return compile_scenario(load_scenario("rural_hospital"))


@pytest.fixture(scope="module")
def report(compiled: CompiledScenario) -> FairnessReport:
    return evaluate_policy(hospital_config(), rule_policy("strict_acuity", compiled))


def test_a_policy_that_is_a_rule_fares_like_that_rule(report: FairnessReport) -> None:
    rule = report.arm("strict_acuity")
    assert rule is not None
    for ours, theirs in zip(report.policy.groups, rule.groups, strict=True):
        assert ours == theirs
    against = [d for d in report.differences if d.against == "strict_acuity"]
    assert {d.verdict for d in against} == {"not distinguishable"}


def test_policy_rules_and_starting_rule_are_judged_on_the_same_patients(
    report: FairnessReport,
) -> None:
    assert [arm.name for arm in report.arms] == ["policy", "fcfs", "strict_acuity", "start_rule"]
    counts = {tuple(o.count for o in (*arm.groups, arm.everybody)) for arm in report.arms}
    assert len(counts) == 1
    (groups,) = counts
    assert sum(groups[:-1]) == groups[-1]
    # 25 visits a day for 7 days in 12 episodes: 2,100 on average, standard deviation 46.
    assert abs(groups[-1] - 2_100) < 5 * 46


def test_the_report_records_its_circumstances(report: FairnessReport) -> None:
    facts = report.provenance
    assert (facts.environment, facts.evaluation_seed, facts.episodes) == (
        "rural_hospital",
        20_001,
        12,
    )
    assert (facts.warmup_hours, facts.horizon_hours) == (24, 168)
    assert sorted(level for cell in facts.merged_acuities for level in cell) == [1, 2, 3, 4, 5]
    assert sum(facts.acuity_mix) == pytest.approx(1)
    assert facts.judged_by == "standardised_cost"
    assert FairnessReport.model_validate_json(report.model_dump_json()) == report


def test_the_same_job_gets_the_same_report(
    report: FairnessReport, compiled: CompiledScenario
) -> None:
    assert evaluate_policy(hospital_config(), rule_policy("strict_acuity", compiled)) == report


def test_costs_by_group_add_up_to_the_simulators_total(compiled: CompiledScenario) -> None:
    log = simulate(
        compiled, make_rule("fcfs", compiled), episodes=4, seed=3, warmup_hours=0, horizon_hours=72
    )
    heads = build_heads(compiled, AttributeGroups(attributes=("age_group",)))
    patients = patients_of(log, compiled, heads)
    assert patients.sums(patients.cost)[:, :-1].sum() == pytest.approx(log.cost.sum())
    assert patients.waiting.sum() + patients.seen.sum() + patients.left.sum() == len(log.cost)


@pytest.mark.parametrize("scenario", ["rural_hospital", "urban_hospital"])
def test_rules_that_see_only_acuity_show_no_gap_once_costs_are_standardised(scenario: str) -> None:
    """Arrivals see time averages: given acuity and equal laws, every group fares alike.

    The range of three groups' errors exceeds one and a half times its own 95% value in about 1 of
    1,000 cases.
    """
    config = hospital_config(scenario, evaluation={"episodes": 16, "horizon_hours": 168})
    compiled = compile_scenario(load_scenario(scenario))
    report = evaluate_policy(config, rule_policy("fcfs", compiled))
    for name in ("fcfs", "strict_acuity"):
        arm = report.arm(name)
        assert arm is not None
        assert arm.gap.value is not None
        assert arm.gap.null_95 is not None
        assert arm.gap.value < 1.5 * arm.gap.null_95


def test_patients_are_not_grouped_by_thresholds_nor_episodes_by_attributes(
    compiled: CompiledScenario,
) -> None:
    with pytest.raises(InputError, match="/grouping/kind"):
        evaluate_policy(hospital_config(grouping=SIDES), rule_policy("fcfs", compiled))
    with pytest.raises(InputError, match="/grouping/kind"):
        evaluate_policy(cartpole_config(grouping=AGE), linear_policy([0, 0, 1, 1]))


def test_returns_by_group_equal_those_of_episodes_played_one_by_one() -> None:
    weights = [0.1, 0.2, 1.0, 0.3]
    report = evaluate_policy(cartpole_config(), linear_policy(weights))
    returns: dict[str, list[float]] = {"left": [], "right": []}
    for episode in range(6):
        environment = gymnasium.make("CartPole-v1")
        observation, _ = environment.reset(seed=derive_seed(20_001, f"episode {episode}"))
        side = "left" if observation[0] < 0 else "right"
        total, over = 0.0, False
        while not over:
            action = int(np.dot(observation, weights) > 0)
            observation, reward, terminated, truncated, _ = environment.step(action)
            total, over = total + float(reward), terminated or truncated
        returns[side].append(total)
        environment.close()
    for outcome in report.policy.groups:
        assert outcome.count == len(returns[outcome.group])
        expected = np.mean(returns[outcome.group])
        assert outcome.metrics["mean_return"].value == pytest.approx(expected)


def test_groups_of_states_share_episodes() -> None:
    grouping = SIDES | {"when": "step"}
    report = evaluate_policy(cartpole_config(grouping=grouping), linear_policy([0, 0, 1, 1]))
    # Each of 6 episodes is shared out among the groups that its states belong to.
    assert sum(outcome.count for outcome in report.policy.groups) == pytest.approx(6)
    assert report.policy.gap.null_95 is None


def test_a_feature_that_does_not_exist_is_refused() -> None:
    config = cartpole_config(grouping=SIDES | {"feature": 4})
    with pytest.raises(InputError, match="/grouping/feature"):
        evaluate_policy(config, linear_policy([0, 0, 1, 1]))


def known(value: Any) -> dict[str, Any]:
    return {"value": value, "basis": "assumed", "source": "a test"}


def test_wards_triage_and_harm_reach_the_report_and_small_combinations_are_named() -> None:
    """Group a's urgent are taken for less urgent in 4 of 10 cases, b's never."""
    plain = make_queue_scenario(
        rates={"a": (0.3, 0.3), "b": (0.3, 0.3)},
        treatments=[Exponential(kind="exponential", mean_hours=1.0)] * 2,
        pools={"bed": 3, "ward": 4},
        needs=[{"bed": 1}] * 2,
    ).model_dump(mode="json")
    ward = {
        "name": "ward",
        "options": [{"name": "own", "needs": known({"ward": 1})}],
        "stay": known({"kind": "exponential", "mean_hours": 6.0}),
        "waiting_cost_per_hour": known(1.0),
    }
    half = known({"a": [0.5, 0.5], "b": [0.5, 0.5]})
    sex = {"name": "sex", "values": ["f", "m", "x"], "share": known([0.49, 0.49, 0.02])}
    scenario = plain | {
        "stages": [ward],
        "routes": [{"origin": "ed", "destination": "ward", "probability": half}],
        "attributes": [*plain["attributes"], sex],
        "triage_error": known({"a": [[0.6, 0.4], [0, 1]], "b": [[1, 0], [0, 1]]}),
        "harm": known({"hours": [0.0, 20.0], "added_probability": [0.0, 0.2]}),
    }
    evaluation = {"episodes": 8, "warmup_hours": 24, "horizon_hours": 168}
    config = TrainConfig.parse(
        {
            "environment": {"kind": "hospital", "scenario": scenario},
            "grouping": {"kind": "attribute", "attributes": ["group"]},
            "algorithm": {"start_rule": "fcfs"},
            "evaluation": evaluation,
        }
    )
    compiled = compile_scenario(Scenario.parse(scenario))
    report = evaluate_policy(config, rule_policy("fcfs", compiled))
    metrics = [outcome.metrics for outcome in report.policy.groups]
    # Half of a's patients are urgent: .2 of them, of about 800; standard error .014.
    assert metrics[0]["under_triaged"].value == pytest.approx(0.2, abs=0.06)
    assert metrics[1]["under_triaged"].value == 0
    by_recorded = [group["cost_by_recorded_acuity"].value for group in metrics]
    by_true = [group["standardised_cost"].value for group in metrics]
    assert by_recorded[0] != by_true[0]
    assert by_recorded[0] == pytest.approx(by_true[0], rel=0.5)
    for group in metrics:
        boarding, deaths = group["mean_boarding_minutes"].value, group["deaths_per_thousand"].value
        assert boarding is not None
        assert boarding > 0
        assert deaths is not None
        # Half of all go to the ward, at .01 per hour since arrival, of at most 20 h.
        assert 0 < deaths < 100
    assert report.intersections is not None
    assert [cell.label for cell in report.intersections.cells] == ["a+f", "a+m", "b+f", "b+m"]
    assert [name.split()[0] for name in report.intersections.withheld] == ["a+x", "b+x"]
