"""Group specs: what they mean, what is refused and at which field, groups nobody can be in."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest

from grpo.config import TrainConfig
from grpo.environments.catalogue import GYMNASIUM_ENVIRONMENTS, RANGES
from grpo.environments.foreign_groups import find_impossible
from grpo.environments.registry import check_config
from grpo.errors import InputError, drop_tags
from grpo.grouping.labels import make_labeller
from grpo.grouping.specs import GroupSpec, find_when, list_variants, merge_attributes

SIDE: dict[str, Any] = {
    "kind": "threshold",
    "feature": 0,
    "edges": [0.0],
    "labels": ["left", "right"],
}
LENGTH: dict[str, Any] = {"kind": "norm", "edges": [0.05], "labels": ["near", "far"]}
POLES: dict[str, Any] = {
    "kind": "variant",
    "variants": [
        {"label": "short", "options": {"length": 0.25}},
        {"label": "usual"},
        {"label": "long", "options": {"length": 1.5}},
    ],
}
GRAVITY: dict[str, Any] = {
    "kind": "variant",
    "variants": [{"label": "earth"}, {"label": "moon", "options": {"gravity": 1.62}}],
}
BY_AGE: dict[str, Any] = {"kind": "attribute", "attributes": ["age_group"]}


def product_of(*members: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "product", "of": list(members)}


def make_config(grouping: dict[str, Any], **changes: Any) -> TrainConfig:
    body = {"environment": {"kind": "gymnasium", "id": "CartPole-v1"}, "grouping": grouping}
    return TrainConfig.parse(body | changes)


def parse(grouping: dict[str, Any]) -> GroupSpec:
    return make_config(grouping).grouping


def label(grouping: dict[str, Any], states: Any, copies: Any) -> list[str]:
    labeller = make_labeller(parse(grouping))
    rows = np.asarray(states, dtype=np.float32)
    numbers = labeller.label(rows, np.zeros(len(rows), dtype=np.int64), np.asarray(copies))
    return [labeller.names[n] for n in numbers]


def test_a_norm_is_the_length_of_the_whole_state_and_an_edge_is_in_the_upper_group() -> None:
    spec = {"kind": "norm", "edges": [5.0, 13.0], "labels": ["a", "b", "c"]}
    states = [[3, 3.9, 0, 0], [3, 4, 0, 0], [0, 0, 5, 11.9], [0, 0, -5, 12], [9, 9, 9, 9]]
    assert label(spec, states, [0] * 5) == ["a", "b", "b", "c", "c"]


def test_copy_i_is_of_variant_i_modulo_their_number() -> None:
    assert label(POLES, np.zeros((5, 4)), range(5)) == ["short", "usual", "long", "short", "usual"]


def test_a_product_names_every_combination_and_its_last_member_varies_fastest() -> None:
    spec = product_of(SIDE, product_of(POLES, GRAVITY))
    labeller = make_labeller(parse(spec))
    assert len(labeller.names) == 12
    assert labeller.names[:3] == ("left+short+earth", "left+short+moon", "left+usual+earth")
    states = np.zeros((7, 4))
    states[:3, 0] = -1
    assert label(spec, states, range(7)) == [
        "left+short+earth",
        "left+short+moon",
        "left+usual+earth",
        "right+usual+moon",
        "right+long+earth",
        "right+long+moon",
        "right+short+earth",
    ]


def test_variants_of_a_product_are_all_combinations_in_the_order_of_their_labels() -> None:
    assert list_variants(parse(product_of(POLES, SIDE, GRAVITY))) == (
        {"length": 0.25},
        {"length": 0.25, "gravity": 1.62},
        {},
        {"gravity": 1.62},
        {"length": 1.5},
        {"length": 1.5, "gravity": 1.62},
    )
    assert list_variants(parse(SIDE)) == ({},)


def test_labels_belong_to_states_where_any_member_says_so() -> None:
    step = SIDE | {"when": "step"}
    assert find_when(parse(product_of(POLES, step))) == "step"
    assert find_when(parse(product_of(POLES, SIDE))) == find_when(parse(POLES)) == "reset"


def test_a_product_of_attributes_is_one_spec_of_all_of_them() -> None:
    spec = parse(product_of(BY_AGE, {"kind": "attribute", "attributes": ["sex", "district"]}))
    merged = merge_attributes(spec)
    assert merged is not None
    assert merged.attributes == ("age_group", "sex", "district")
    assert merge_attributes(parse(POLES)) is None


MANY = {"edges": [float(n) for n in range(8)], "labels": list("abcdefghi")}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("an edge of length 0", LENGTH | {"edges": [0.0]}, "/grouping/edges/0"),
    ("labels and edges", LENGTH | {"edges": [0.01, 0.02]}, "/grouping/labels"),
    ("one variant", POLES | {"variants": POLES["variants"][:1]}, "/grouping/variants"),
    ("labels twice", POLES | {"variants": [{"label": "a"}] * 2}, "/grouping"),
    ("attributes of states", product_of(SIDE, BY_AGE), "/grouping"),
    ("one member", product_of(SIDE), "/grouping/of"),
    ("four members", product_of(SIDE, LENGTH, POLES, GRAVITY), "/grouping/of"),
    ("when differs", product_of(SIDE, LENGTH | {"when": "step"}), "/grouping"),
    ("an option twice", product_of(POLES, POLES), "/grouping"),
    ("81 groups", product_of(SIDE | MANY, LENGTH | MANY | {"edges": range(1, 9)}), "/grouping"),
    ("four deep", product_of(SIDE, product_of(SIDE, product_of(SIDE, product_of(SIDE, LENGTH)))),
     "/grouping"),
    ("a member's field", product_of(SIDE, product_of(POLES, SIDE | {"feature": -1})),
     "/grouping/of/1/of/1/feature"),
    ("an unknown member", product_of(SIDE, {"kind": "zodiac"}), "/grouping/of/1/kind"),
    ("attributes twice", product_of(BY_AGE, BY_AGE), "/grouping"),
    ("ambiguous labels", product_of(
        SIDE | {"labels": ["a", "a+b"]}, LENGTH | {"labels": ["c", "b+c"]}), "/grouping"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "pointer"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_spec_that_means_nothing_is_refused_by_field(spec: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InputError) as refused:
        parse(spec)
    assert pointer in [issue.pointer for issue in refused.value.issues]


def varied(**options: float) -> dict[str, Any]:
    return POLES | {"variants": [{"label": "a"}, {"label": "b", "options": options}]}


UNFITTING: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("attributes", BY_AGE, {}, "/grouping/kind"),
    ("attributes, multiplied", product_of(BY_AGE, {"kind": "attribute", "attributes": ["sex"]}),
     {}, "/grouping/of/0/kind"),
    ("a feature inside", product_of(POLES, SIDE | {"feature": 4}), {}, "/grouping/of/1/feature"),
    ("an unknown option", varied(colour=1.0), {}, "/grouping/variants/1/options/colour"),
    ("an option out of range", varied(length=50.0), {}, "/grouping/variants/1/options/length"),
    ("an option inside", product_of(SIDE, varied(length=-1.0)), {},
     "/grouping/of/1/variants/1/options/length"),
    ("the same environment twice", varied(length=0.5), {}, "/grouping/variants/1/options"),
    ("fewer copies than variants", POLES,
     {"algorithm": {"num_envs": 2, "minibatch_size": 16}}, "/algorithm/num_envs"),
    ("fewer episodes than variants need", POLES, {"evaluation": {"episodes": 5}},
     "/evaluation/episodes"),
    ("a start further off than any", SIDE | {"edges": [0.06]}, {}, "/grouping/edges"),
    ("a start longer than any", LENGTH | {"edges": [0.11]}, {}, "/grouping/edges"),
    ("a start on both sides", product_of(SIDE, SIDE), {}, "/grouping/of"),
    ("a short state with one long feature", product_of(
        SIDE | {"edges": [0.04]}, LENGTH | {"edges": [0.03]}), {}, "/grouping/of"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "changes", "pointer"), [c[1:] for c in UNFITTING], ids=[c[0] for c in UNFITTING]
)
def test_a_spec_that_does_not_fit_the_environment_is_refused_by_field(
    spec: dict[str, Any], changes: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InputError) as refused:
        check_config(make_config(spec, **changes))
    assert [issue.pointer for issue in refused.value.issues] == [pointer]


@pytest.mark.parametrize(
    "spec", [SIDE, LENGTH, POLES, product_of(SIDE, LENGTH), product_of(POLES, GRAVITY, SIDE)]
)
def test_a_fitting_spec_passes(spec: dict[str, Any]) -> None:
    check_config(make_config(spec))


def test_what_no_first_state_can_be_a_later_one_can() -> None:
    check_config(make_config(SIDE | {"edges": [0.06], "when": "step"}))
    check_config(make_config(LENGTH | {"edges": [1e6], "when": "step"}))
    with pytest.raises(InputError, match="no state of CartPole-v1 can belong to group 'right'"):
        check_config(make_config(SIDE | {"edges": [2.4], "when": "step"}))


def test_impossible_groups_of_a_unit_square_by_hand() -> None:
    """Lengths in the square reach sqrt 2; beyond x = .6 they are above .6."""
    square = ((-1.0, 1.0), (-1.0, 1.0))
    wide = SIDE | {"edges": [0.6]}
    assert find_impossible(parse(LENGTH | {"edges": [1.41]}), square) is None
    assert find_impossible(parse(LENGTH | {"edges": [1.42]}), square) == "far"
    assert find_impossible(parse(product_of(wide, LENGTH | {"edges": [0.61]})), square) is None
    impossible = find_impossible(parse(product_of(wide, LENGTH | {"edges": [0.6]})), square)
    assert impossible == "right+near"
    assert find_impossible(parse(SIDE), ((0.0, 0.0), ANYTHING)) == "left"


ANYTHING = (-math.inf, math.inf)


@pytest.mark.parametrize("described", GYMNASIUM_ENVIRONMENTS, ids=lambda d: d.id)
def test_ranges_hold_every_state_that_random_play_meets(described: Any) -> None:
    environment = gymnasium.make(described.id)
    environment.action_space.seed(3)
    firsts, states = [], []
    for episode in range(20):
        state, over, steps = environment.reset(seed=episode)[0], False, 0
        firsts.append(state)
        while not over and steps < 200:
            states.append(state)
            state, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
            over, steps = terminated or truncated, steps + 1
    environment.close()
    ranges = RANGES[described.id]
    for seen, bounds in ((firsts, ranges.starts), (states, ranges.states)):
        low, high = np.array(bounds, dtype=np.float32).T
        assert np.all((np.array(seen) >= low - 1e-6) & (np.array(seen) <= high + 1e-6))
    # The starts are no wider than they need to be: 20 of them fill most of it.
    span = np.ptp(np.array(firsts), axis=0)
    low, high = np.array(ranges.starts).T
    assert np.all(span >= 0.7 * (high - low) - 1e-6)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (("environment", "hospital", "hold"), ["environment", "hold"]),
        (("environment", "hospital", "hospital"), ["environment", "hospital"]),
        (("acuities", 0, "needs", "value", "constant"),
         ["acuities", 0, "needs", "value", "constant"]),
        (("acuities", 0, "treatment", "value", "constant", "hours"),
         ["acuities", 0, "treatment", "value", "hours"]),
        (("grouping", "product", "of", 1, "norm", "edges"), ["grouping", "of", 1, "edges"]),
        (("grouping", "variant", "variants", 0, "options", "norm"),
         ["grouping", "variants", 0, "options", "norm"]),
        (("grouping", "variant", "variants", 0, "options", "Bad", "[key]"),
         ["grouping", "variants", 0, "options", "Bad"]),
    ],
)  # fmt: skip
def test_only_tags_of_unions_are_left_out_of_pointers(
    location: tuple[str | int, ...], expected: list[str | int]
) -> None:
    assert drop_tags(location) == expected
