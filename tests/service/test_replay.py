"""What the simulator's states get over HTTP is what the policy does in the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from grpo.environments.hospital.live.recommend import recommend
from grpo.environments.hospital.live.snapshot import Snapshot, seed_of, snapshot_of
from grpo.environments.hospital.scenario import CompiledScenario
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from service.api.example_scenario import SCENARIO
from service.database import Database
from tests.service.support import HOSPITAL_JOB, Stored, compile_job, store_policy

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
BANDS = ("short", "long")


def to_body(snapshot: Snapshot, compiled: CompiledScenario) -> dict[str, Any]:
    """Write a simulator's state as a live request."""
    return {
        "time": (
            MONDAY + timedelta(days=snapshot.day_of_week, hours=snapshot.hour_of_day)
        ).isoformat(),
        "resources": [
            {"pool": name, "free": free, "capacity": capacity}
            for name, free, capacity in zip(
                compiled.pool_names, snapshot.free, snapshot.capacity, strict=True
            )
        ],
        "patients": [
            {
                "id": patient.id,
                "stage": compiled.stage_names[compiled.class_stage[patient.class_index]],
                "acuity": int(compiled.class_acuity[patient.class_index]),
                "predicted_stay_band": BANDS[compiled.class_band[patient.class_index]],
                "waiting_minutes": 60 * patient.wait_hours,
                "holds": dict(zip(compiled.pool_names, patient.held, strict=False)),
            }
            for patient in snapshot.patients
        ],
    }


@pytest.mark.parametrize(
    "scenario",
    ["rural_hospital", "urban_hospital", "pediatric_hospital", SCENARIO],
    ids=["rural", "urban", "pediatric", "inline"],
)
def test_replayed_states_get_the_simulators_actions(
    api: httpx.Client, records: Database, scenario: str | dict[str, Any]
) -> None:
    body = HOSPITAL_JOB | {"environment": {"kind": "hospital", "scenario": scenario}}
    stored: Stored = store_policy(records, body, seed=21)
    compiled, policy = compile_job(stored.config), stored.policy
    shown = api.get(f"/policy/{stored.policy_id}").json()["environment"]
    assert shown == (scenario if isinstance(scenario, str) else scenario["name"])
    num_envs, steps = 4, 60
    environment = HospitalVectorEnvironment(compiled, num_envs, np.ones((1, compiled.num_types)))
    observations, masks = environment.reset(7)
    compared = held = 0
    for _ in range(steps):
        actions = policy.act(observations, masks)
        for i in range(num_envs):
            snapshot = snapshot_of(environment, i)
            room = to_body(snapshot, compiled) | {"options": {"choice": "most_likely"}}
            answer = api.post(f"/policy/{stored.policy_id}/act", json=room).json()
            expected = recommend(policy, compiled, snapshot)
            told = [compiled.action_labels.index(a["action"]) for a in answer["assignments"]]
            if answer["hold"] is not None:
                told.append(compiled.hold_action)
            assert tuple(told) == expected.actions
            assert told[0] == actions[i]
            patients = [entry["patient"] for entry in answer["ranking"]]
            assert patients == [entry.patient_id for entry in expected.ranking]
            compared += 1
            held += told[0] == compiled.hold_action
        transition = environment.step(actions)
        observations, masks = transition.observations, transition.action_masks
    assert compared == num_envs * steps
    assert held < compared  # the policy does start patients


def test_a_policy_that_is_judged_by_drawing_is_served_by_drawing(
    api: httpx.Client, records: Database
) -> None:
    """Over HTTP come the actions that the simulator's own draws give, and not the argmax always."""
    stored: Stored = store_policy(records, HOSPITAL_JOB, seed=22)
    compiled, policy = compile_job(stored.config), stored.policy
    assert policy.sharpness != "greedy"
    environment = HospitalVectorEnvironment(compiled, 8, np.ones((1, compiled.num_types)))
    observations, masks = environment.reset(3)
    differ = 0
    for step in range(15):
        for i in range(8):
            snapshot = snapshot_of(environment, i)
            room = to_body(snapshot, compiled)
            seeded = room | {"options": {"seed": step}}
            for body, seed in ((room, seed_of(snapshot)), (seeded, step)):
                answer = api.post(f"/policy/{stored.policy_id}/act", json=body).json()
                rng = np.random.default_rng(seed)
                expected = recommend(policy, compiled, snapshot, rng=rng)
                told = [compiled.action_labels.index(a["action"]) for a in answer["assignments"]]
                told += [compiled.hold_action] if answer["hold"] is not None else []
                assert answer["choice"] == "drawn"
                assert tuple(told) == expected.actions
                differ += expected.actions != recommend(policy, compiled, snapshot).actions
        transition = environment.step(policy.act(observations, masks, np.random.default_rng(step)))
        observations, masks = transition.observations, transition.action_masks
    assert differ > 0
