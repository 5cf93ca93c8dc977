"""What the simulator's states get over HTTP is what the policy does in the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from grpo.environments.hospital.recommend import recommend
from grpo.environments.hospital.scenario import CompiledScenario
from grpo.environments.hospital.snapshot import Snapshot, snapshot_of
from grpo.environments.hospital.vector_environment import HospitalVectorEnvironment
from service.database import Database
from tests.service.support import HOSPITAL_JOB, Stored, compile_job, store_policy

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
BANDS = ("short", "long")


def to_body(snapshot: Snapshot, compiled: CompiledScenario) -> dict[str, Any]:
    """Write a simulator's state as a live request."""
    return {
        "time": (MIDNIGHT + timedelta(hours=snapshot.hour_of_day)).isoformat(),
        "resources": [
            {"pool": name, "free": free, "capacity": capacity}
            for name, free, capacity in zip(
                compiled.pool_names, snapshot.free, snapshot.capacity, strict=True
            )
        ],
        "patients": [
            {
                "id": patient.id,
                "acuity": int(compiled.class_acuity[patient.class_index]),
                "predicted_stay_band": BANDS[compiled.class_band[patient.class_index]],
                "waiting_minutes": 60 * patient.wait_hours,
            }
            for patient in snapshot.patients
        ],
    }


@pytest.mark.parametrize("scenario", ["rural_hospital", "urban_hospital"])
def test_replayed_states_get_the_simulators_actions(
    api: httpx.Client, records: Database, scenario: str
) -> None:
    body = HOSPITAL_JOB | {"environment": {"kind": "hospital", "scenario": scenario}}
    stored: Stored = store_policy(records, body, seed=21)
    compiled, policy = compile_job(stored.config), stored.policy
    num_envs, steps = 4, 60
    environment = HospitalVectorEnvironment(compiled, num_envs, np.ones((1, compiled.num_types)))
    observations, masks = environment.reset(7)
    compared = held = 0
    for _ in range(steps):
        actions = policy.act(observations, masks)
        for i in range(num_envs):
            snapshot = snapshot_of(environment, i)
            answer = api.post(
                f"/policy/{stored.policy_id}/act", json=to_body(snapshot, compiled)
            ).json()
            expected = recommend(policy, compiled, snapshot)
            told = [compiled.class_labels.index(a["class"]) for a in answer["assignments"]]
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
