"""F of a training: baselines, floors, memory, and the kinds of groups on one path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.environments.registry import check_config
from grpo.errors import InputError
from grpo.hyperparameters import Algorithm
from grpo.objectives.advantages import combine_heads, combine_labels
from grpo.objectives.baselines import GroupBaseline
from grpo.objectives.group_weights import Mean
from grpo.oracles.problems import make_t2
from grpo.training.objective import GroupWeigher, make_objective
from grpo.training.performance import Performance, certain_performance
from grpo.training.specialists import _measured, measure_baseline
from grpo.training.tabular import TabularTask, make_tabular_algorithm

LABELS = ("young", "old")
HOSPITAL = {
    "environment": {"kind": "hospital", "scenario": "rural_hospital"},
    "grouping": {"kind": "attribute", "attributes": ["age_group"]},
}
CARTPOLE: dict[str, Any] = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {"kind": "threshold", "feature": 2, "edges": [0], "labels": ["left", "right"]},
}


def make(**fields: Any) -> Any:
    return make_objective(Algorithm.parse(fields), 2)


def test_value_is_the_methods_own_of_the_utilities() -> None:
    returns = {"young": 5.0, "old": 1.0}
    best = {"young": 10.0, "old": 2.0}
    regret = make_objective(
        Algorithm(), 2, baseline=GroupBaseline("regret", dict.fromkeys(LABELS, 0.0), best)
    )
    assert make().value(4.0, returns) == pytest.approx(0.5 * 4 + 0.5 * 1)
    assert regret.value(4.0, returns) == pytest.approx(0.5 * 4 + 0.5 * -5)
    assert make(method="mean").value(4.0, returns) == 4.0
    nash = make(method="alpha_fair", fairness_floor=-1.0)
    assert nash.value(4.0, {"young": 8.0, "old": 3.0}) == pytest.approx(6 - 1)


def test_floors_by_label_and_for_all_others() -> None:
    objective = make(method="floor", floors={"old": 3.0, "*": 6.0})
    assert objective.find_unmet({"young": 5.0, "old": 5.0}) == {"young": 1.0}
    assert objective.value(4.0, {"young": 5.0, "old": 5.0}) == 4.0 - 20
    named = make(method="floor", floors={"old": 3.0})
    assert named.find_unmet({"young": -100.0, "old": 5.0}) == {}
    assert make().find_unmet({"young": -100.0}) == {}


def test_coefficients_carry_the_derivative_of_the_utility() -> None:
    best = {"young": 10.0, "old": 2.0}
    baseline = GroupBaseline("normalised", dict.fromkeys(LABELS, 0.0), best)
    objective = make_objective(Algorithm(method="worst"), 2, baseline=baseline)
    weights = GroupWeigher(objective).weigh(
        LABELS, certain_performance(0.0, np.array([5.0, 0.6])), 1.0
    )
    assert weights.shares.tolist() == [0.0, 1.0]  # .3 of the range against .5
    assert weights.coefficients.tolist() == [0.0, 0.5]


def test_groups_never_seen_get_no_weight_and_keep_their_memory() -> None:
    weigher = GroupWeigher(make(method="group_dro", dual_step=1.0))
    both = certain_performance(0.0, np.array([2.0, 1.0]))
    weigher.weigh(LABELS, both, 1.0)
    before = weigher.save_state()["memory"]
    hidden = Performance(
        0.0, both.rates, both.returns, both.errors, np.array([True, False]), both.shares
    )
    weights = weigher.weigh(LABELS, hidden, 1.0)
    assert weights.shares.tolist() == [1.0, 0.0]
    assert weigher.save_state()["memory"][1] == before[1]


def test_memory_grows_with_groups_that_appear_later() -> None:
    weigher = GroupWeigher(make_objective(Algorithm(method="group_dro"), None))
    weigher.weigh(("a",), certain_performance(0.0, np.array([2.0])), 1.0)
    later = weigher.weigh(("a", "b"), certain_performance(0.0, np.array([2.0, 1.0])), 1.0)
    assert later.shares.sum() == pytest.approx(1)
    assert later.shares[1] > later.shares[0]


def test_nobody_seen_is_plain_ppo() -> None:
    nobody = certain_performance(0.0, np.zeros(2))
    nobody = Performance(
        0.0, nobody.rates, nobody.returns, nobody.errors, np.zeros(2, bool), nobody.shares
    )
    weights = GroupWeigher(make()).weigh(LABELS, nobody, 1.0)
    assert (weights.weight, weights.shares.tolist()) == (0.0, [0.0, 0.0])


@pytest.mark.parametrize("method", ["softmin", "alpha_fair", "floor"])
def test_one_group_leaves_nothing_to_be_robust_about(method: str) -> None:
    fields: dict[str, Any] = {
        "alpha_fair": {"fairness_floor": 0.0},
        "floor": {"floors": {"*": 1.0}},
    }
    objective = make_objective(Algorithm.parse({"method": method, **fields.get(method, {})}), 1)
    assert objective.method == Mean()


def test_reward_groups_and_labels_combine_alike_where_both_describe_the_same_reward() -> None:
    """A step of one group: its head's advantage is A_0 over the share, every other's is 0."""
    rng = np.random.default_rng(0)
    advantages = rng.normal(size=(6, 4)).astype(np.float32)
    groups = rng.integers(0, 2, size=(6, 4))
    shares, q = np.array([0.25, 0.75]), np.array([0.9, 0.1])
    heads = np.stack([advantages * (groups == g) / shares[g] for g in range(2)], axis=-1)
    heads = np.concatenate([advantages[..., None], heads], axis=-1).astype(np.float32)
    by_label = combine_labels(advantages, groups, 0.6, q, shares)
    assert combine_heads(heads, 0.6, q) == pytest.approx(by_label, abs=1e-5)


def test_specialists_of_t2_reach_what_each_group_can_get_alone() -> None:
    config = TrainConfig.parse(
        {
            **CARTPOLE,  # names an environment that is not made: the task below is what is trained
            "algorithm": make_tabular_algorithm(group_baseline="normalised").model_dump(),
            "budget": {"total_timesteps": 60 * 256 * 64},
        }
    )
    _measured.clear()
    task = TabularTask(make_t2())
    baseline = measure_baseline(config, task, 1, lambda: None)
    best = [baseline.specialists[label] for label in task.problem.labels]
    assert best == pytest.approx([10.0, 1.0], rel=0.02)
    # the reference chooses uniformly: (10 + 0 + 6) / 3 and (0 + 1 + .5) / 3
    reference = [baseline.references[label] for label in task.problem.labels]
    assert reference == pytest.approx([16 / 3, 0.5], rel=1e-5)
    calls: list[int] = []
    robust = config.model_copy(
        update={"algorithm": make_tabular_algorithm(group_baseline="regret", method="worst")}
    )
    again = measure_baseline(
        robust.model_copy(update={"budget": config.budget}), task, 1, lambda: calls.append(1)
    )
    assert again.specialists == baseline.specialists
    assert calls == []  # another method and kind of baseline train no specialist anew


@pytest.mark.parametrize(
    ("job", "algorithm", "pointer"),
    [
        (HOSPITAL, {"method": "floor", "floors": {"aliens": 1.0}}, "/algorithm/floors/aliens"),
        (CARTPOLE, {"method": "floor", "floors": {"up": 1.0}}, "/algorithm/floors/up"),
    ],
)
def test_floor_for_a_group_that_does_not_exist_is_refused(
    job: dict[str, Any], algorithm: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_config(TrainConfig.parse({**job, "algorithm": algorithm}))
    assert [issue.pointer for issue in caught.value.issues] == [pointer]


def test_state_groups_have_no_specialists() -> None:
    grouping = {**CARTPOLE["grouping"], "when": "step"}
    job = {**CARTPOLE, "grouping": grouping, "algorithm": {"group_baseline": "regret"}}
    with pytest.raises(InputError, match="/algorithm/group_baseline"):
        check_config(TrainConfig.parse(job))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"method": "mean", "group_robustness_weight": 0.5}, "/group_robustness_weight"),
        ({"method": "floor", "floors": {"*": 0.0}, "group_robustness_weight": 0.1},
         "/group_robustness_weight"),
        ({"method": "alpha_fair"}, "/fairness_floor"),
        ({"method": "floor"}, "/floors"),
        ({"method": "floor", "floors": {}}, "/floors"),
        ({"method": "softmin", "cvar_alpha": 0.5}, "/cvar_alpha"),
        ({"method": "cvar", "cvar_alpha": 0.0}, "/cvar_alpha"),
        ({"method": "worst", "dual_step": 0.1}, "/dual_step"),
        ({"method": "gini", "fairness_alpha": 1.0}, "/fairness_alpha"),
        ({"method": "mean", "group_baseline": "regret"}, "/group_baseline"),
        ({"specialist_share": 0.2}, "/specialist_share"),
        ({"method": "median"}, "/method"),
    ],
)  # fmt: skip
def test_parameters_that_a_method_does_not_read_or_lacks_are_named(
    fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InputError) as caught:
        Algorithm.parse(fields)
    assert pointer in [issue.pointer for issue in caught.value.issues]


@pytest.mark.parametrize("method", ["mean", "alpha_fair", "floor"])
def test_methods_without_a_weight_have_none_where_it_is_left_out(method: str) -> None:
    fields: dict[str, Any] = {
        "alpha_fair": {"fairness_floor": -9.0},
        "floor": {"floors": {"*": -9.0}},
    }
    algorithm = Algorithm.parse({"method": method, **fields.get(method, {})})
    assert algorithm.group_robustness_weight == 0.0
    assert Algorithm.parse(algorithm.model_dump(mode="json")) == algorithm
