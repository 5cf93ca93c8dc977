"""POST /policy/{id}/act: decisions over HTTP, the same as in the library, and what it refuses."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import update

from grpo.config import TrainConfig
from grpo.models.serialization import dump_policy
from service.api.problems import MEDIA_TYPE
from service.database import Database
from service.policies.models import PolicyRow
from tests.service.conftest import MAX_PATIENTS
from tests.service.support import (
    CARTPOLE_JOB,
    HOSPITAL_JOB,
    Stored,
    make_policy,
    make_waiting_room,
    store_policy,
)

JSON = {"Content-Type": "application/json"}
NOW = "2026-11-22T14:05:00+01:00"


def act(api: httpx.Client, policy: Stored, body: Any) -> httpx.Response:
    content = json.dumps(body).encode()
    return api.post(f"/policy/{policy.policy_id}/act", content=content, headers=JSON)


def decision(api: httpx.Client, policy: Stored, body: Any) -> dict[str, Any]:
    response = act(api, policy, body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_everybody_waiting_is_ranked_once(api: httpx.Client, hospital: Stored) -> None:
    room = make_waiting_room(20)
    answer = decision(api, hospital, room)
    ids = [entry["patient"] for entry in answer["ranking"]]
    assert sorted(ids) == sorted(patient["id"] for patient in room["patients"])
    chosen = [entry["patient"] for entry in answer["assignments"]]
    assert ids[: len(chosen)] == chosen
    assert [entry["rank"] for entry in answer["assignments"]] == list(range(1, len(chosen) + 1))
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
    assert (answer["policy"], answer["source"]) == (hospital.policy_id, "network")


def test_assignments_fit_what_is_free(api: httpx.Client, hospital: Stored) -> None:
    for seed in range(10):
        room = make_waiting_room(12, seed)
        free = {resource["pool"]: resource["free"] for resource in room["resources"]}
        answer = decision(api, hospital, room)
        for pool, units in free.items():
            assert sum(entry["needs"].get(pool, 0) for entry in answer["assignments"]) <= units
        fits = {entry["patient"]: entry["feasible"] for entry in answer["ranking"]}
        assert all(fits[entry["patient"]] for entry in answer["assignments"])


def test_the_same_request_gets_the_same_bytes(api: httpx.Client, hospital: Stored) -> None:
    room = make_waiting_room(20)
    assert act(api, hospital, room).content == act(api, hospital, room).content


def test_the_order_of_patients_and_pools_does_not_matter(
    api: httpx.Client, hospital: Stored
) -> None:
    room = make_waiting_room(15)
    turned = room | {"patients": room["patients"][::-1], "resources": room["resources"][::-1]}
    assert decision(api, hospital, room) == decision(api, hospital, turned)


def test_a_group_blind_policy_ignores_age_and_groups(api: httpx.Client, hospital: Stored) -> None:
    room = make_waiting_room(15)
    other = copy.deepcopy(room)
    for patient in other["patients"]:
        patient["age"] = 100 - patient["age"]
        patient["groups"] = {"age_group": "unheard_of", "sex": "f"}
    assert decision(api, hospital, room) == decision(api, hospital, other)


def test_a_group_aware_policy_needs_the_group(api: httpx.Client, records: Database) -> None:
    body = HOSPITAL_JOB | {"environment": HOSPITAL_JOB["environment"] | {"group_aware": True}}
    policy = store_policy(records, body, seed=5)
    room = make_waiting_room(2)
    problem = act(api, policy, room).json()
    assert problem["errors"][0]["pointer"] == "/patients/0/groups/age_group"
    assert "elderly" in problem["errors"][0]["allowed"]
    for patient in room["patients"]:
        patient["groups"] = {"age_group": "elderly"}
    classes = [entry["class"] for entry in decision(api, policy, room)["assignments"]]
    assert all(name.endswith(".elderly") for name in classes)


def test_arrival_times_and_waits_say_the_same(api: httpx.Client, hospital: Stored) -> None:
    waits = {"a": 45.0, "b": 7.5, "c": 0.0}
    arrived = {
        "a": "2026-11-22T13:20:00+01:00",
        "b": "2026-11-22T12:57:30Z",  # another zone, the same clock of the world
        "c": NOW,
    }
    base = make_waiting_room(3)
    told, timed = copy.deepcopy(base), copy.deepcopy(base)
    for n, name in enumerate(waits):
        told["patients"][n] |= {"id": name, "waiting_minutes": waits[name]}
        timed["patients"][n] |= {"id": name, "arrived": arrived[name]}
        del timed["patients"][n]["waiting_minutes"]
    assert decision(api, hospital, told) == decision(api, hospital, timed)


def test_an_empty_waiting_room_and_a_full_hospital_are_answered(
    api: httpx.Client, hospital: Stored
) -> None:
    room = make_waiting_room(3)
    empty = decision(api, hospital, room | {"patients": []})
    assert (empty["assignments"], empty["ranking"], empty["stop"]) == ([], [], "nobody_waits")
    full = copy.deepcopy(room)
    for resource in full["resources"]:
        resource["free"] = 0
    answer = decision(api, hospital, full)
    assert (answer["assignments"], answer["stop"], answer["hold"]) == ([], "nothing_fits", None)
    assert not any(entry["feasible"] for entry in answer["ranking"])


def test_assignments_stop_at_the_number_asked_for(api: httpx.Client, hospital: Stored) -> None:
    for seed in range(20):
        room = make_waiting_room(12, seed)
        free = decision(api, hospital, room)
        if len(free["assignments"]) > 1:
            break
    assert len(free["assignments"]) > 1
    one = decision(api, hospital, room | {"options": {"max_assignments": 1}})
    assert one["assignments"] == free["assignments"][:1]
    assert one["stop"] == "max_assignments"


def test_what_lies_outside_of_training_is_said(api: httpx.Client, hospital: Stored) -> None:
    room = make_waiting_room(41)
    room["resources"][0]["capacity"] = 7
    warnings = decision(api, hospital, room)["warnings"]
    assert any("capacity 7" in warning for warning in warnings)
    assert any("41 patients" in warning for warning in warnings)


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set one place of a body; a value of KeyError removes it."""

    def apply(body: Any) -> None:
        *parents, last = [int(p) if p.isdigit() else p for p in path.split("/")]
        for parent in parents:
            body = body[parent]
        if value is KeyError:
            del body[last]
        elif last == "-":
            body.append(value)
        else:
            body[last] = value

    return apply


def late(body: dict[str, Any]) -> None:
    body["patients"][1]["arrived"] = "2026-11-22T14:05:00.001+01:00"
    del body["patients"][1]["waiting_minutes"]


def stranger(body: dict[str, Any]) -> None:
    body["patients"].append(body["patients"][0] | {"acuity": 2})


REFUSED: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("negative wait", change("patients/0/waiting_minutes", -1), "/patients/0/waiting_minutes"),
    (
        "infinite wait",
        change("patients/0/waiting_minutes", float("inf")),
        "/patients/0/waiting_minutes",
    ),
    ("wait NaN", change("patients/0/waiting_minutes", float("nan")), "/patients/0/waiting_minutes"),
    ("endless wait", change("patients/0/waiting_minutes", 1e300), "/patients/0/waiting_minutes"),
    ("wait in quotes", change("patients/0/waiting_minutes", "5"), "/patients/0/waiting_minutes"),
    ("no wait at all", change("patients/0/waiting_minutes", KeyError), "/patients/0"),
    ("both waits", change("patients/0/arrived", NOW), "/patients/0"),
    ("arrival in the future", late, "/patients/1/arrived"),
    ("unknown acuity", change("patients/2/acuity", 6), "/patients/2/acuity"),
    ("acuity zero", change("patients/2/acuity", 0), "/patients/2/acuity"),
    ("acuity in quotes", change("patients/2/acuity", "3"), "/patients/2/acuity"),
    ("acuity with a fraction", change("patients/2/acuity", 2.5), "/patients/2/acuity"),
    ("acuity true", change("patients/2/acuity", True), "/patients/2/acuity"),
    ("no acuity", change("patients/2/acuity", KeyError), "/patients/2/acuity"),
    (
        "no stay band",
        change("patients/2/predicted_stay_band", KeyError),
        "/patients/2/predicted_stay_band",
    ),
    (
        "unknown stay band",
        change("patients/2/predicted_stay_band", "medium"),
        "/patients/2/predicted_stay_band",
    ),
    ("unknown stage", change("patients/2/stage", "icu"), "/patients/2/stage"),
    ("unknown field", change("patients/2/name", "Ada"), "/patients/2/name"),
    ("free text as id", change("patients/2/id", "Ada Lovelace"), "/patients/2/id"),
    ("a patient twice", stranger, "/patients/3/id"),
    ("patients as object", change("patients", {}), "/patients"),
    ("no patients", change("patients", KeyError), "/patients"),
    ("unknown pool", change("resources/0/pool", "helipad"), "/resources/0/pool"),
    ("a pool twice", change("resources/1/pool", "ed_space"), "/resources/1/pool"),
    ("a pool missing", change("resources/1", KeyError), "/resources"),
    ("more free than there is", change("resources/0/free", 7), "/resources/0/free"),
    ("far too few free", change("resources/0/free", -100_001), "/resources/0/free"),
    ("holds of no pool", change("patients/2/holds", {"helipad": 1}), "/patients/2/holds/helipad"),
    ("negative holds", change("patients/2/holds", {"ed_space": -1}), "/patients/2/holds/ed_space"),
    ("half a bed", change("resources/0/free", 0.5), "/resources/0/free"),
    ("time without zone", change("time", "2026-11-22T14:05:00"), "/time"),
    ("time that is none", change("time", "yesterday"), "/time"),
    ("no time", change("time", KeyError), "/time"),
    ("unknown option", change("options", {"explain": True}), "/options/explain"),
    ("negative option", change("options", {"max_assignments": -1}), "/options/max_assignments"),
]


@pytest.mark.parametrize(
    ("spoil", "pointer"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_refused_fact_is_named(
    api: httpx.Client,
    hospital: Stored,
    spoil: Callable[[dict[str, Any]], None],
    pointer: str,
) -> None:
    room = make_waiting_room(3)
    spoil(room)
    response = act(api, hospital, room)
    assert response.status_code == 422, response.text
    problem = response.json()
    assert problem["code"] == "invalid_request"
    assert pointer in [issue["pointer"] for issue in problem["errors"]], problem["errors"]


def test_nobody_of_an_acuity_that_never_waits_there_is_refused_by_acuity(
    api: httpx.Client, hospital: Stored
) -> None:
    room = make_waiting_room(1)
    room["patients"][0] |= {"stage": "transfer", "acuity": 5}
    (issue,) = act(api, hospital, room).json()["errors"]
    assert issue["pointer"] == "/patients/0/acuity"
    assert "transfer" in issue["message"]


def test_a_patient_who_boards_waits_for_a_ward_without_a_stay_band(
    api: httpx.Client, hospital: Stored
) -> None:
    """Two on the way to the ward and one to a crew; no space in the department is needed."""
    boards = {"waiting_minutes": 30.0, "holds": {"ed_space": 1, "nurse_unit": 1}}
    room = make_waiting_room(0)
    room["resources"][0]["free"] = -1  # a shift has ended, and its patients are still there
    room["patients"] = [
        {"id": "w1", "stage": "ward", "acuity": 3} | boards,
        {"id": "w2", "stage": "ward", "acuity": 2} | boards,
        {"id": "t1", "stage": "transfer", "acuity": 1} | boards,
    ]
    answer = decision(api, hospital, room | {"options": {"choice": "most_likely"}})
    fits = {entry["patient"]: entry["feasible"] for entry in answer["ranking"]}
    assert fits == {"w1": True, "w2": True, "t1": False}  # no crew is free
    for entry in answer["assignments"]:
        assert entry["class"].startswith("ward.")
        own = entry["action"] == entry["class"]
        assert entry["needs"] == ({"ward_bed": 1} if own else {"swing_bed": 1})


def test_all_mistakes_are_named_at_once(api: httpx.Client, hospital: Stored) -> None:
    room = make_waiting_room(3)
    for n in range(3):
        room["patients"][n]["acuity"] = 9
    problem = act(api, hospital, room).json()
    assert [issue["pointer"] for issue in problem["errors"]] == [
        f"/patients/{n}/acuity" for n in range(3)
    ]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"time":' * 100_000, 400),
        (b'{"time":"\xff"}', 400),
        (b'{"time":"\\ud800"}', 400),
        (b"nul", 400),
        (b"null", 422),
        (b"[]", 422),
        (b'{"patients":[{"waiting_minutes":1e999}]}', 422),
        (b'{"patients":[{"acuity":' + b"9" * 5_000 + b"}]}", 400),
        (b'{"patients":[{"acuity":' + b"9" * 50 + b"}]}", 422),
    ],
    ids=[
        "empty",
        "cut",
        "lists deep",
        "objects deep",
        "not UTF-8",
        "lone surrogate",
        "cut word",
        "null",
        "list",
        "overflow",
        "endless integer",
        "long integer",
    ],
)
def test_a_broken_body_is_the_clients_error(
    api: httpx.Client, hospital: Stored, cartpole: Stored, content: bytes, status: int
) -> None:
    for policy in (hospital, cartpole):
        path = f"/policy/{policy.policy_id}/act"
        response = api.post(path, content=content, headers=JSON)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == MEDIA_TYPE


def test_a_body_for_another_kind_of_policy_is_refused_in_words(
    api: httpx.Client, hospital: Stored, cartpole: Stored
) -> None:
    wrong = act(api, hospital, {"observation": [0.0, 0.0, 0.0, 0.0]})
    assert wrong.status_code == 422
    assert "hospital" in wrong.json()["detail"]
    other = act(api, cartpole, make_waiting_room(3))
    assert other.status_code == 422
    assert "observation" in other.json()["detail"]


def test_too_many_patients_are_refused_with_the_limit(api: httpx.Client, hospital: Stored) -> None:
    assert len(decision(api, hospital, make_waiting_room(MAX_PATIENTS))["ranking"]) == MAX_PATIENTS
    room = make_waiting_room(5)
    room["patients"] = [room["patients"][0] | {"id": f"p{n}"} for n in range(MAX_PATIENTS + 1)]
    (issue,) = act(api, hospital, room).json()["errors"]
    assert (issue["pointer"], issue["given"]) == ("/patients", str(MAX_PATIENTS + 1))
    assert str(MAX_PATIENTS) in issue["allowed"]


def test_an_observation_gets_the_policys_action(api: httpx.Client, cartpole: Stored) -> None:
    rng = np.random.default_rng(3)
    masks = np.ones((1, 2), dtype=np.bool_)
    for _ in range(20):
        observation = rng.normal(size=(1, 4)).astype(np.float32)
        answer = decision(api, cartpole, {"observation": [float(x) for x in observation[0]]})
        expected = cartpole.policy.probabilities(observation, masks)[0]
        assert answer["probabilities"] == pytest.approx(list(expected), abs=1e-6)
        assert answer["action"] == int(expected.argmax())


def test_a_seed_draws_from_the_probabilities_and_repeats(
    api: httpx.Client, cartpole: Stored
) -> None:
    body = {"observation": [0.0, 0.0, 0.0, 0.1]}
    drawn = [decision(api, cartpole, body | {"seed": seed}) for seed in range(200)]
    again = decision(api, cartpole, body | {"seed": 7})
    assert again == drawn[7]
    share = np.mean([answer["action"] for answer in drawn])
    expected = drawn[0]["probabilities"][1]
    assert 0.05 < expected < 0.95
    error = np.sqrt(expected * (1 - expected) / len(drawn))
    assert abs(share - expected) < 4 * error


@pytest.mark.parametrize(
    "observation",
    [[], [0.0] * 3, [0.0] * 5, [0.0, 0.0, 0.0, 1e39], ["0", 0, 0, 0], [None] * 4, 1.0],
    ids=["empty", "short", "long", "beyond 32 bits", "text", "null", "scalar"],
)
def test_a_wrong_observation_is_refused(
    api: httpx.Client, cartpole: Stored, observation: Any
) -> None:
    response = act(api, cartpole, {"observation": observation})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"].startswith("/observation")


@pytest.mark.parametrize("damage", ["truncated", "altered", "swapped digest"])
def test_a_damaged_model_is_refused_and_never_used(
    api: httpx.Client, records: Database, damage: str
) -> None:
    policy = store_policy(records, CARTPOLE_JOB, seed=77)
    model = bytearray(dump_policy(policy.policy))
    values: dict[str, Any] = {"model": bytes(model[:-1])}
    if damage == "altered":
        model[-1] ^= 1
        values = {"model": bytes(model)}
    elif damage == "swapped digest":
        values = {"sha256": "0" * 64}
    with records.writing() as session:
        session.execute(update(PolicyRow).where(PolicyRow.id == policy.policy_id).values(**values))
    for _ in range(2):
        response = act(api, policy, {"observation": [0.0] * 4})
        assert (response.status_code, response.json()["code"]) == (500, "model_rejected")
    assert api.get(f"/policy/{policy.policy_id}").status_code == 200
    assert api.get("/healthz").status_code == 200


def test_unknown_policies_are_not_found(api: httpx.Client) -> None:
    response = api.post("/policy/unknown/act", json={"observation": [0.0]})
    assert (response.status_code, response.json()["code"]) == (404, "policy_not_found")


PRINT_MODULES = "print(json.dumps(sorted(sys.modules)))"
SCRIPT = """
import json, sys
from tests.service.support import *
from pathlib import Path
settings = Settings(home=Path(sys.argv[1]), port=0, log_level="error")
with running_api(settings) as client:
    database = Database(settings)
    hospital = store_policy(database, HOSPITAL_JOB)
    response = client.post(f"/policy/{hospital.policy_id}/act", json=make_waiting_room(5))
    assert response.status_code == 200, response.text
    response = client.post("/jobs", json=HOSPITAL_JOB)
    assert response.status_code == 202, response.text
    database.close()
"""


def test_the_api_process_acts_without_torch_and_without_scipy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + PRINT_MODULES, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "numba" in loaded
    assert not loaded & {"torch", "gymnasium", "matplotlib", "scipy.stats", "scipy.optimize"}
    # Numba looks for BLAS in scipy.linalg by itself; nothing else of scipy may come in.
    command = [sys.executable, "-c", "import json, sys, numba.np.arraymath\n" + PRINT_MODULES]
    alone = subprocess.run(command, capture_output=True, text=True, check=True)
    assert scipy_parts(loaded) <= scipy_parts(set(json.loads(alone.stdout)))


def scipy_parts(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "scipy"}


def test_policies_survive_being_read_again(hospital: Stored) -> None:
    twin = make_policy(TrainConfig.parse(HOSPITAL_JOB), seed=11)
    for name, tensor in hospital.policy.tensors.items():
        assert np.array_equal(tensor, twin.tensors[name])
