"""A whole scenario inside a job: the same as one by name, limits, and errors at their fields."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from grpo.config import HospitalEnvironment, TrainConfig
from grpo.environments.hospital.scenario import compile_environment, load_scenario
from grpo.environments.registry import check_config
from grpo.errors import InputError
from grpo.grouping.heads import build_heads
from grpo.grouping.specs import AttributeGroups
from grpo.models.serialization import dump_policy, load_policy
from grpo.training.evaluation import evaluate_policy
from grpo.training.job import train_policy
from service.api.example_scenario import SCENARIO

BY_AGE: dict[str, Any] = {"kind": "attribute", "attributes": ["age_group"]}
SMALL: dict[str, Any] = {
    "algorithm": {
        "group_robustness_weight": 0.5,
        "num_envs": 16,
        "num_steps": 16,
        "minibatch_size": 128,
        "hidden_sizes": [16],
    },
    "budget": {"total_timesteps": 1000},
    "evaluation": {"episodes": 2, "warmup_hours": 0, "horizon_hours": 48},
}


def with_scenario(scenario: Any, grouping: dict[str, Any] = BY_AGE, **changes: Any) -> TrainConfig:
    environment = {"kind": "hospital", "scenario": scenario}
    return TrainConfig.parse({"environment": environment, "grouping": grouping} | SMALL | changes)


def renamed_rural() -> dict[str, Any]:
    return load_scenario("rural_hospital").model_dump(mode="json") | {"name": "our_hospital"}


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The example with one field changed."""
    scenario = copy.deepcopy(SCENARIO)
    inner: Any = scenario
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return scenario


def fact(value: Any) -> dict[str, Any]:
    return {"value": value, "basis": "assumed", "source": "a test"}


def test_a_policy_trained_on_the_same_numbers_given_inline_is_the_same_policy() -> None:
    by_name = train_policy(with_scenario("rural_hospital"), num_threads=1)
    inline = train_policy(with_scenario(renamed_rural()), num_threads=1)
    assert inline.report.provenance.environment == "our_hospital"
    assert inline.policy.tensors.keys() == by_name.policy.tensors.keys()
    for name, tensor in by_name.policy.tensors.items():
        assert np.array_equal(inline.policy.tensors[name], tensor), name
    assert [m.mean_return for m in inline.history] == [m.mean_return for m in by_name.history]
    assert inline.report.arms == by_name.report.arms


def test_a_stored_policy_carries_its_scenario_and_is_judged_the_same_from_it() -> None:
    config = with_scenario(SCENARIO, {"kind": "attribute", "attributes": ["district"]})
    check_config(config)
    result = train_policy(config, num_threads=1)
    restored = load_policy(dump_policy(result.policy))
    read_back = TrainConfig.parse(restored.manifest.config)
    assert read_back == config
    assert evaluate_policy(read_back, restored) == result.report


def test_a_product_of_attributes_is_the_attributes_together() -> None:
    scenario = copy.deepcopy(SCENARIO)
    scenario["attributes"].append(
        {"name": "sex", "values": ["f", "m"], "share": fact([0.6, 0.4]), "protected": True}
    )
    leaves = [{"kind": "attribute", "attributes": [name]} for name in ("sex", "district")]
    config = with_scenario(scenario, {"kind": "product", "of": leaves})
    check_config(config)
    both = with_scenario(scenario, {"kind": "attribute", "attributes": ["sex", "district"]})
    one, other = (train_policy(each, num_threads=1) for each in (config, both))
    assert one.report.groups == ("f+north", "f+south", "m+north", "m+south")
    assert one.report.arms == other.report.arms
    assert isinstance(config.environment, HospitalEnvironment)
    heads = build_heads(
        compile_environment(config.environment), AttributeGroups(attributes=("sex", "district"))
    )
    assert one.policy.manifest.group_labels == heads.labels


NORTH_ONLY = [
    {"name": "district", "values": ["north", "south"], "share": fact([1.0, 0.0])},
]
MANY = [f"v{n}" for n in range(20)]
REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    ("a number", 5, {}, "/environment/scenario"),
    ("a list", [SCENARIO], {}, "/environment/scenario"),
    ("an empty object", {}, {}, "/environment/scenario/name"),
    ("no units", changed(("pools", 0, "capacity"), fact(0)), {},
     "/environment/scenario/pools/0/capacity/value"),
    ("no basis", changed(("waiting_room",), {"value": 4, "source": "a test"}), {},
     "/environment/scenario/waiting_room/basis"),
    ("a law's number", changed(("acuities", 1, "treatment", "value", "cv"), -1), {},
     "/environment/scenario/acuities/1/treatment/value/cv"),
    ("a pool named like a law", changed(("acuities", 0, "needs"), fact({"constant": -1})), {},
     "/environment/scenario/acuities/0/needs/value/constant"),
    ("shares", changed(("arrivals", "hourly_share"), fact([0.1] * 24)), {},
     "/environment/scenario/arrivals/hourly_share/value"),
    ("an undeclared pool", changed(("acuities", 0, "needs"), fact({"ward": 1})), {},
     "/environment/scenario/acuities/0/needs/value/ward"),
    ("more visits than any hospital", changed(("arrivals", "visits_per_day"), fact(1e9)), {},
     "/environment/scenario/arrivals/visits_per_day/value"),
    ("a review every microsecond", changed(("review_minutes",), fact(1e-9)), {},
     "/environment/scenario/review_minutes/value"),
    ("1,600 types", changed(("attributes",), [
        *SCENARIO["attributes"],
        {"name": "a", "values": MANY, "share": fact([0.05] * 20)},
        {"name": "b", "values": MANY, "share": fact([0.05] * 20)}]), {},
     "/environment/scenario/attributes"),
    ("a built-in's name", changed(("name",), "rural_hospital"), {}, "/environment/scenario/name"),
    ("nobody in a group", changed(("attributes",), NORTH_ONLY), {}, "/grouping/attributes"),
    ("nobody in a product", changed(("attributes",), [
        *NORTH_ONLY, {"name": "sex", "values": ["f", "m"], "share": fact([0.5, 0.5])}]),
     {"grouping": {"kind": "product", "of": [{"kind": "attribute", "attributes": ["sex"]},
                                             {"kind": "attribute", "attributes": ["district"]}]}},
     "/grouping/of"),
    ("an attribute in a product", SCENARIO,
     {"grouping": {"kind": "product", "of": [{"kind": "attribute", "attributes": ["district"]},
                                             {"kind": "attribute", "attributes": ["sex"]}]}},
     "/grouping/of/1/attributes/0"),
    ("a rule by cost without cost", changed(("acuities", 1, "cost_per_hour"), fact(0)), {},
     "/algorithm/start_rule"),
    ("places for millions", changed(("waiting_room",), fact(100_000)),
     {"algorithm": {"num_envs": 256}}, "/environment/scenario"),
    ("millions judged", changed(("arrivals", "visits_per_day"), fact(100_000.0)),
     {"evaluation": {"episodes": 64, "horizon_hours": 336}}, "/evaluation/episodes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "changes", "pointer"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_refused_scenario_names_its_field(
    scenario: Any, changes: dict[str, Any], pointer: str
) -> None:
    grouping = {"kind": "attribute", "attributes": ["district"]}
    with pytest.raises(InputError) as refused:
        check_config(with_scenario(scenario, **{"grouping": grouping, **changes}))
    assert pointer in [issue.pointer for issue in refused.value.issues]
    assert len(str(refused.value)) < 8000


def test_too_many_classes_are_refused_when_groups_are_told_apart() -> None:
    """3 acuities, 2 stay bands and 32 districts: 192 classes group-aware, 6 group-blind."""
    names = [f"v{n}" for n in range(32)]
    scenario = changed(
        ("attributes",), [{"name": "district", "values": names, "share": fact([1 / 32] * 32)}]
    )
    scenario["acuities"].append(scenario["acuities"][1] | {"level": 3})
    scenario["acuity_share"] = fact({name: [0.3, 0.3, 0.4] for name in names})
    scenario["stay_bands"]["long_share"] = fact(dict.fromkeys(names, 0.3))
    config = with_scenario(scenario, {"kind": "attribute", "attributes": ["district"]})
    check_config(config)
    environment = {"kind": "hospital", "scenario": scenario, "group_aware": True}
    aware = TrainConfig.parse(config.model_dump() | {"environment": environment})
    with pytest.raises(InputError, match=r"192 classes.*at most 128"):
        check_config(aware)
