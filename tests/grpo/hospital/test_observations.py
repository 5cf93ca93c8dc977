"""What a policy sees and may do: masks by brute force, and one path for simulator and requests."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from grpo.environments.hospital.live.recommend import recommend
from grpo.environments.hospital.live.snapshot import (
    PatientFacts,
    Snapshot,
    WaitingPatient,
    make_snapshot,
    snapshot_of,
)
from grpo.environments.hospital.physics.features import write_features
from grpo.environments.hospital.scenario import (
    CompiledScenario,
    Constant,
    Exponential,
    compile_scenario,
    make_queue_scenario,
)
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from grpo.errors import InputError, ShapeError
from tests.grpo.hospital.problems import LinearPolicy, random_allowed, rural


@pytest.mark.parametrize("hold", [True, False])
def test_masks_allow_exactly_what_waits_and_fits(hold: bool) -> None:
    compiled = rural(hold=hold)
    environment = HospitalVectorEnvironment(compiled, 4, np.ones((1, compiled.num_types)))
    _, masks = environment.reset(2)
    generator = np.random.default_rng(0)
    for _ in range(200):
        for i in range(4):
            snapshot = snapshot_of(environment, i)
            waiting = {patient.class_index for patient in snapshot.patients}
            expected = [
                k in waiting and all(n <= f for n, f in zip(needs, snapshot.free, strict=True))
                for k, needs in enumerate(compiled.needs)
            ]
            assert masks[i, :-1].tolist() == expected
            # A choice is due only where there is one.
            assert masks[i].sum() >= 2
            assert masks[i, -1] == hold
        masks = environment.step(random_allowed(masks, generator)).action_masks


def compile_classes(acuities: int, groups: int) -> CompiledScenario:
    """Acuities times groups that are told apart; 2 beds for a load of 3.3."""
    scenario = make_queue_scenario(
        rates={f"g{n}": (3.3 / (acuities * groups),) * acuities for n in range(groups)},
        treatments=(Exponential(mean_hours=1.0),) * acuities,
        pools={"bed": 2},
    )
    return compile_scenario(scenario, group_aware=True)


@pytest.mark.parametrize(("acuities", "groups"), [(3, 22), (5, 26), (8, 32)])
def test_a_class_beyond_a_word_of_64_is_seen_and_started(acuities: int, groups: int) -> None:
    """The kernel keeps the classes with somebody waiting as bits of four words."""
    compiled = compile_classes(acuities, groups)
    last = compiled.num_classes - 1
    assert last == acuities * groups - 1
    environment = HospitalVectorEnvironment(compiled, 2, np.ones((1, compiled.num_types)))
    _, masks = environment.reset(3)
    for _ in range(100):
        for i in range(2):
            waiting = {patient.class_index for patient in snapshot_of(environment, i).patients}
            assert set(np.flatnonzero(masks[i, :-1]).tolist()) == waiting
        # The last class that may be is started, or HOLD where none.
        starts = last - masks[:, -2::-1].argmax(axis=1)
        masks = environment.step(np.where(masks[:, :-1].any(axis=1), starts, last + 1)).action_masks


def test_more_classes_than_the_kernel_has_words_for_are_refused() -> None:
    with pytest.raises(InputError, match=r"make 270 classes.*at most 256"):
        compile_classes(9, 30)


def test_observation_by_hand() -> None:
    """Two classes, two pools; 3 waiting in class 1 for at most 2 h; 6 am."""
    observations = np.full((1, 12), np.nan, dtype=np.float32)
    write_features(
        np.array([0, 3]),
        np.array([9.0, 2.0]),
        np.array([1, 4]),
        np.array([4, 4]),
        np.array([8, 4]),
        6.0,
        observations,
        0,
    )
    expected = [0, math.log(4), 0, math.log(3), 0, 1, 1 / 4, 1, 1 / 2, 1, 1, 0]
    assert observations[0] == pytest.approx(expected, abs=1e-7)


class Recorder(LinearPolicy):
    """Keeps the observations and masks that it is asked about."""

    def __init__(self, observation_size: int, num_actions: int) -> None:
        super().__init__(observation_size, num_actions)
        self.asked: list[tuple[bytes, bytes]] = []

    def probabilities(
        self, observations: np.typing.NDArray[np.float32], masks: np.typing.NDArray[np.bool_]
    ) -> np.typing.NDArray[np.float32]:
        self.asked.append((observations.tobytes(), masks.tobytes()))
        return super().probabilities(observations, masks)


@pytest.mark.parametrize("group_aware", [False, True])
def test_a_request_sees_the_simulators_bits_and_takes_its_actions(group_aware: bool) -> None:
    compiled = rural(group_aware=group_aware)
    policy = Recorder(compiled.observation_size, compiled.num_actions)
    # Hold from midnight to noon, so that at noon several start at one instant.
    policy.weights[:, -1] = 0.0
    policy.weights[-2, -1] = 20.0
    environment = HospitalVectorEnvironment(compiled, 1, np.ones((1, compiled.num_types)))
    observations, masks = environment.reset(12)
    several = 0
    for _ in range(300):
        policy.asked.clear()
        answer = recommend(policy, compiled, snapshot_of(environment, 0))
        asked = policy.asked[: len(answer.actions)]
        for action, (observation_bits, mask_bits) in zip(answer.actions, asked, strict=True):
            assert observation_bits == observations[0].tobytes()
            assert mask_bits == masks[0].tobytes()
            assert action == policy.act(observations, masks)[0]
            transition = environment.step(np.array([action]))
            observations, masks = transition.observations, transition.action_masks
        assert transition.elapsed[0] > 0
        several += len(answer.assignments) > 1
    assert several >= 2


def request(ages: list[str]) -> list[PatientFacts]:
    return [
        PatientFacts(
            id=f"p{n:02d}",
            acuity=1 + n % 5,
            wait_hours=0.1 * (n * 7 % 13),
            stay_band=("short", "long")[n % 2],
            attributes={"age_group": age},
        )
        for n, age in enumerate(ages)
    ]


POOLS = {"ed_space": (3, 5), "nurse_unit": (7, 12)}
AGES = ["pediatric", "adult", "elderly", "adult"] * 5


def test_permuting_group_labels_leaves_a_group_blind_answer_unchanged() -> None:
    compiled = rural()
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions)
    answers = [
        recommend(
            policy,
            compiled,
            make_snapshot(compiled, hour_of_day=14.0, pools=POOLS, patients=request(ages)),
        )
        for ages in (AGES, AGES[::-1], sorted(AGES), ["unheard_of"] * 20)
    ]
    assert all(answer == answers[0] for answer in answers)


def test_a_group_aware_answer_depends_on_the_groups_and_needs_them() -> None:
    compiled = rural(group_aware=True)
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions)

    def ask(ages: list[str]) -> object:
        patients = request(ages)
        return recommend(
            policy,
            compiled,
            make_snapshot(compiled, hour_of_day=14.0, pools=POOLS, patients=patients),
        )

    assert ask(AGES) != ask(sorted(AGES))
    with pytest.raises(InputError, match="/patients/3/attributes/age_group"):
        ask(["adult"] * 3 + ["unheard_of"] + ["adult"] * 16)


def test_everybody_is_ranked_once_with_the_assigned_first() -> None:
    compiled = rural()
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions, seed=4)
    patients = request(AGES)
    snapshot = make_snapshot(compiled, hour_of_day=3.5, pools=POOLS, patients=patients)
    answer = recommend(policy, compiled, snapshot)
    assert sorted(r.patient_id for r in answer.ranking) == sorted(p.id for p in patients)
    assert [r.rank for r in answer.ranking] == list(range(1, 21))
    assert [a.patient_id for a in answer.assignments] == [
        r.patient_id for r in answer.ranking if r.assigned
    ]
    used = {name: sum(a.needs.get(name, 0) for a in answer.assignments) for name in POOLS}
    assert all(used[name] <= POOLS[name][0] for name in POOLS)
    # Inside a class the longer wait comes first, and equal waits by id.
    for label in compiled.class_labels:
        rows = [(-r.wait_hours, r.patient_id) for r in answer.ranking if r.class_label == label]
        assert rows == sorted(rows)


def test_the_answer_does_not_depend_on_the_order_of_the_request() -> None:
    compiled = rural()
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions)
    snapshot = make_snapshot(compiled, hour_of_day=1.0, pools=POOLS, patients=request(AGES))
    shuffled = replace(snapshot, patients=snapshot.patients[::-1])
    assert recommend(policy, compiled, snapshot) == recommend(policy, compiled, shuffled)


class Indifferent:
    """Finds every allowed action equally good."""

    def probabilities(
        self, observations: np.typing.NDArray[np.float32], masks: np.typing.NDArray[np.bool_]
    ) -> np.typing.NDArray[np.float32]:
        del observations
        return np.asarray(masks / masks.sum(axis=1, keepdims=True), dtype=np.float32)


def test_ties_go_to_the_longest_wait_and_then_to_the_least_id() -> None:
    compiled = compile_scenario(
        make_queue_scenario(
            rates={"all": (1.0,) * 4},
            treatments=(Exponential(mean_hours=1.0),) * 4,
            pools={"bed": 9},
        )
    )
    waits = [(0, 1.0, "d"), (1, 2.0, "c"), (2, 2.0, "b"), (3, 1.5, "a")]
    snapshot = Snapshot(0.0, (9,), (9,), tuple(WaitingPatient(i, k, w) for k, w, i in waits))
    answer = recommend(Indifferent(), compiled, snapshot)
    assert [a.patient_id for a in answer.assignments] == ["b", "c", "a", "d"]
    assert answer.stop == "nobody_waits"


def test_drawn_actions_follow_the_policys_probabilities() -> None:
    """Chi-square over 4 equally likely classes, 2,000 draws: below 16.3 (p = .001, 3 degrees)."""
    compiled = compile_scenario(
        make_queue_scenario(
            rates={"all": (1.0,) * 4},
            treatments=(Exponential(mean_hours=1.0),) * 4,
            pools={"bed": 9},
        ),
        hold=False,
    )
    patients = tuple(WaitingPatient(f"p{k}", k, 1.0) for k in range(4))
    snapshot = Snapshot(0.0, (9,), (9,), patients)
    rng = np.random.default_rng(5)
    counts = np.zeros(4)
    for _ in range(2_000):
        answer = recommend(Indifferent(), compiled, snapshot, max_assignments=1, rng=rng)
        counts[answer.actions[0]] += 1
    assert np.square(counts - 500).sum() / 500 < 16.3


def test_the_ranking_is_the_order_of_starts_as_room_comes_free() -> None:
    compiled = rural(hold=False)
    policy = LinearPolicy(compiled.observation_size, compiled.num_actions)
    full = {"ed_space": (0, 5), "nurse_unit": (1, 12)}
    facts = request(AGES)
    room = make_snapshot(compiled, hour_of_day=9.0, pools=full, patients=facts)
    ranked = [entry.patient_id for entry in recommend(policy, compiled, room).ranking]
    started: list[str] = []
    while len(started) < len(facts):
        waiting = [patient for patient in facts if patient.id not in started]
        units = max(int(compiled.needs[2 * (p.acuity - 1), 1]) for p in waiting)
        one_more = {"ed_space": (1, 5), "nurse_unit": (units, 12)}
        now = make_snapshot(compiled, hour_of_day=9.0, pools=one_more, patients=waiting)
        started.append(recommend(policy, compiled, now).assignments[0].patient_id)
    assert ranked == started


class Holder(Indifferent):
    """Always holds where it may."""

    def probabilities(
        self, observations: np.typing.NDArray[np.float32], masks: np.typing.NDArray[np.bool_]
    ) -> np.typing.NDArray[np.float32]:
        even = super().probabilities(observations, masks)
        return np.where(masks[:, -1:], np.eye(masks.shape[1], dtype=np.float32)[-1], even)


def test_holding_says_what_is_kept_and_still_ranks_everybody() -> None:
    compiled = rural()
    snapshot = make_snapshot(compiled, hour_of_day=9.0, pools=POOLS, patients=request(AGES))
    answer = recommend(Holder(), compiled, snapshot)
    assert answer.assignments == ()
    assert answer.stop == "hold"
    assert answer.actions == (compiled.hold_action,)
    assert answer.hold is not None
    assert answer.hold.free == {"ed_space": 3, "nurse_unit": 7}
    assert answer.hold.review_after_seconds == 900
    assert "3 of ed_space" in answer.hold.reason
    assert len(answer.ranking) == 20
    assert answer.probabilities["hold"] == 1.0


def test_nothing_waits_nothing_fits_and_a_limit_each_say_so() -> None:
    compiled = rural()
    policy = Indifferent()
    patients = request(AGES)
    nobody = make_snapshot(compiled, hour_of_day=9.0, pools=POOLS, patients=[])
    assert recommend(policy, compiled, nobody).stop == "nobody_waits"
    full = {"ed_space": (0, 5), "nurse_unit": (7, 12)}
    none_fits = make_snapshot(compiled, hour_of_day=9.0, pools=full, patients=patients)
    answer = recommend(policy, compiled, none_fits)
    assert answer.stop == "nothing_fits"
    assert not any(r.feasible for r in answer.ranking)
    plenty = make_snapshot(compiled, hour_of_day=9.0, pools=POOLS, patients=patients)
    limited = recommend(rural_starter(compiled.num_actions), compiled, plenty, max_assignments=2)
    assert limited.stop == "max_assignments"
    assert len(limited.assignments) == 2


def rural_starter(num_actions: int) -> LinearPolicy:
    """Never holds where it may start somebody."""
    policy = LinearPolicy(36, num_actions)
    policy.weights[:, -1] = -1e3 * np.abs(policy.weights[:, -1])
    policy.weights[-2:, -1] = 0.0
    return policy


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"acuity": 6}, "/patients/0/acuity"),
        ({"wait_hours": -0.1}, "/patients/0/wait_hours"),
        ({"wait_hours": math.nan}, "/patients/0/wait_hours"),
        ({"stay_band": None}, "/patients/0/stay_band"),
        ({"id": "p01"}, "/patients/1/id"),
    ],
)
def test_a_wrong_patient_is_refused_by_field(change: dict[str, object], pointer: str) -> None:
    patients = request(AGES)
    patients[0] = replace(patients[0], **change)  # type: ignore[arg-type]
    with pytest.raises(InputError) as refused:
        make_snapshot(rural(), hour_of_day=9.0, pools=POOLS, patients=patients)
    assert [issue.pointer for issue in refused.value.issues] == [pointer]


def test_wrong_pools_and_hours_are_refused_by_field() -> None:
    pools = {"ed_space": (6, 5), "ward": (1, 1)}
    with pytest.raises(InputError) as refused:
        make_snapshot(rural(), hour_of_day=24.0, pools=pools, patients=[])
    assert [issue.pointer for issue in refused.value.issues] == [
        "/hour_of_day",
        "/pools",
        "/pools/ed_space/free",
    ]


def test_forbidden_actions_are_refused_and_change_nothing() -> None:
    compiled = compile_scenario(
        make_queue_scenario(
            rates={"all": (1.0, 1e-6)}, treatments=(Constant(hours=1.0),) * 2, pools={"bed": 2}
        )
    )
    environment = HospitalVectorEnvironment(compiled, 2, np.ones((1, compiled.num_types)))
    _, masks = environment.reset(0)
    before = environment.state.clock.copy()
    wrong = np.array([compiled.hold_action, int(np.flatnonzero(~masks[1])[0])])
    with pytest.raises(InputError, match="/actions/1"):
        environment.step(wrong)
    with pytest.raises(InputError, match="/actions/0"):
        environment.step(np.array([7, 0]))
    with pytest.raises(ShapeError):
        environment.step(np.array([compiled.hold_action]))
    assert np.array_equal(environment.state.clock, before)
