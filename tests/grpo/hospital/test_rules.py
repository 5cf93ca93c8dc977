"""Dispatch rules: indices by hand, declared rules, and mistakes that name their field."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from grpo.environments.hospital.physics.rule_table import DispatchRule
from grpo.environments.hospital.rules.dispatch_rules import make_rule
from grpo.environments.hospital.rules.rule_specs import (
    PLAIN_RULES,
    RULE_KINDS,
    TunedIndex,
    parse_rule,
)
from grpo.environments.hospital.scenario import (
    Constant,
    Exponential,
    compile_scenario,
    load_scenario,
    make_queue_scenario,
)
from grpo.errors import RULE_TAGS, InputError

SCENARIO = make_queue_scenario(
    rates={"all": (1.0, 2.0)},
    treatments=(Constant(hours=2.0), Constant(hours=0.5)),
    pools={"bed": 4, "nurse": 2},
    needs=({"bed": 1, "nurse": 2}, {"bed": 1, "nurse": 1}),
    patience=(None, Exponential(mean_hours=4.0)),
    costs_per_hour=(10.0, 3.0),
    targets_minutes=(0.0, 30.0),
)


@pytest.mark.parametrize(
    ("name", "intercept", "slope"),
    [
        ("fcfs", (0, 0), (1, 1)),
        ("strict_acuity", (-1e6, -2e6), (1, 1)),
        # A target of 0 counts as 5 minutes: 1 / (1/12) and 1 / (1/2).
        ("apq", (0, 0), (12, 2)),
        # c / (E S * largest share): 10 / (2 * 2/2) and 3 / (0.5 * 1/2).
        ("c_mu", (5, 12), (0, 0)),
        ("gc_mu", (0, 0), (60, 24)),
        # Nobody of class 1 leaves, which counts as once in 1,000 hours; class 2 in 4: 12 / (1/4).
        ("c_mu_theta", (5000, 48), (0, 0)),
        ("earliest_target", (-1 / 12, -1 / 2), (1, 1)),
    ],
)
def test_indices_by_hand(
    name: str, intercept: tuple[float, float], slope: tuple[float, float]
) -> None:
    rule = make_rule(name, compile_scenario(SCENARIO))
    assert rule.name == name
    assert rule.intercept == pytest.approx(intercept)
    assert rule.slope == pytest.approx(slope)


def test_rates_and_credits_are_given_by_acuity_or_by_class() -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"))
    by_acuity = parse_rule({"kind": "apq", "rates": [5, 4, 3, 2, 1], "credits": [9, 0, 0, 0, 0]})
    rule = make_rule(by_acuity, compiled)
    assert rule.slope.tolist() == (6.0 - compiled.class_acuity).tolist()
    assert rule.intercept.tolist() == np.where(compiled.class_acuity == 1, 9.0, 0.0).tolist()
    rates = [float(k) for k in range(compiled.num_classes)]
    by_class = make_rule(parse_rule({"kind": "apq", "rates": rates}), compiled)
    assert by_class.slope.tolist() == rates


def test_a_head_start_of_two_hours_a_step_is_two_hours_of_every_slope() -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"), group_aware=True)
    spec = {"kind": "head_start", "base": {"kind": "apq"}, "hours_per_step": 2.0}
    rule, base = make_rule(parse_rule(spec), compiled), make_rule("apq", compiled)
    assert set(compiled.class_attribute) == {0, 1, 2}
    added = 2.0 * compiled.class_attribute * base.slope
    assert rule.intercept == pytest.approx(base.intercept + added)


def test_units_are_kept_by_acuity_and_a_class_of_its_own_entry_wins() -> None:
    compiled = compile_scenario(load_scenario("rural_hospital"))
    keep = {"4": {"ed_space": 2}, "ed.4.short": {"ed_space": 1}}
    rule = make_rule(parse_rule({"kind": "reservation", "keep": keep}), compiled)
    assert isinstance(rule, DispatchRule)
    assert rule.reserve is not None
    space = compiled.pool_names.index("ed_space")
    kept = dict(zip(compiled.class_labels, rule.reserve[:, space].tolist(), strict=True))
    assert {label: units for label, units in kept.items() if units} == {
        "ed.4.short": 1,
        "ed.4.long": 2,
    }
    assert rule.reserve.sum() == 3


@pytest.mark.parametrize("name", PLAIN_RULES)
def test_a_rule_comes_back_from_its_own_json(name: str) -> None:
    spec = parse_rule(name)
    assert parse_rule(json.loads(spec.model_dump_json())) == spec
    assert spec.kind == spec.label == name


def test_every_kind_is_known_to_the_pointers_of_errors() -> None:
    assert set(RULE_KINDS) == RULE_TAGS


RURAL = "rural_hospital"


@pytest.mark.parametrize(
    ("rule", "pointer", "words"),
    [
        ("luck", "/rule/kind", "gc_mu"),
        ({"kind": "fcfs", "speed": 1}, "/rule/speed", "not permitted"),
        ({"kind": "apq", "rates": [1.0, -2.0]}, "/rule/rates/1", "greater than or equal to 0"),
        ({"kind": "apq", "rates": [1.0, float("nan")]}, "/rule/rates/1", "finite"),
        ({"kind": "apq", "rates": [1.0, 2.0]}, "/rule/rates", "ed.1.short"),
        ({"kind": "reservation"}, "/rule/keep", "required"),
        ({"kind": "reservation", "keep": {}}, "/rule/keep", "at least 1"),
        (
            {"kind": "reservation", "base": {"kind": "reservation"}, "keep": {"3": {"x": 1}}},
            "/rule/base/kind",
            "reservation",
        ),
        (
            {"kind": "reservation", "base": {"kind": "apq", "rates": [1, "a"]}, "keep": {"3": {}}},
            "/rule/base/rates/1",
            "number",
        ),
        ({"kind": "reservation", "keep": {"7": {"nurse": 1}}}, "/rule/keep/7", "no such acuity"),
        ({"kind": "reservation", "keep": {"3": {"moon": 1}}}, "/rule/keep/3/moon", "ed_space"),
        (
            {"kind": "reservation", "keep": {"3": {"ed_space": 99}}},
            "/rule/keep/3/ed_space",
            "at most",
        ),
        ({"kind": "head_start", "hours_per_step": 1e9}, "/rule/hours_per_step", "less than"),
        (
            {"kind": "head_start", "base": {"kind": "c_mu"}, "hours_per_step": 1},
            "/rule/base/kind",
            "does not grow",
        ),
        (
            {"kind": "tuned_index", "classes": {"ed.1": {"intercept": 0, "slope": 1}}},
            "/rule/classes",
            "other classes",
        ),
    ],
)
def test_a_mistake_names_its_field(rule: Any, pointer: str, words: str) -> None:
    def read() -> None:
        spec = parse_rule(rule)
        make_rule(spec, compile_scenario(load_scenario(RURAL), group_aware=spec.group_aware))

    with pytest.raises(InputError) as caught:
        read()
    assert [issue.pointer for issue in caught.value.issues] == [pointer]
    assert words in str(caught.value)


@pytest.mark.parametrize("rule", ["worst_group_first", {"kind": "head_start", "hours_per_step": 0}])
def test_rules_that_look_at_groups_need_a_scenario_that_tells_them(rule: Any) -> None:
    with pytest.raises(InputError, match="compiled without them"):
        make_rule(parse_rule(rule), compile_scenario(load_scenario(RURAL)))


def test_a_tuned_index_is_read_class_by_class() -> None:
    compiled = compile_scenario(SCENARIO)
    weights = {"ed.2": {"intercept": 3.0, "slope": 0.5}, "ed.1": {"intercept": 1.0, "slope": 2.0}}
    spec = TunedIndex.parse({"classes": weights, "keep": {"2": {"nurse": 1}}})
    rule = make_rule(spec, compiled)
    assert isinstance(rule, DispatchRule)
    assert rule.reserve is not None
    assert (rule.intercept.tolist(), rule.slope.tolist()) == ([1.0, 3.0], [2.0, 0.5])
    assert rule.reserve.tolist() == [[0, 0], [0, 1]]
