"""Policies without training, records with them, and a live API to ask."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from grpo.config import HospitalEnvironment, TrainConfig
from grpo.environments.hospital.scenario import CompiledScenario, compile_environment
from grpo.models.parameters import IndexTerm, initialise_actor, named_views
from grpo.models.policy import Manifest, Policy
from grpo.models.serialization import digest_bytes, dump_policy
from service.database import Database, migrate
from service.embedded import bind
from service.jobs.leases import claim
from service.jobs.outcomes import succeed
from service.jobs.repository import insert_job
from service.serving import make_server
from service.settings import Settings

HOSPITAL_JOB: dict[str, Any] = {
    "environment": {"kind": "hospital", "scenario": "rural_hospital"},
    "grouping": {"kind": "attribute", "attributes": ["age_group"]},
    "algorithm": {"group_robustness_weight": 0.5},
    "budget": {"total_timesteps": 40_000},
    "seed": 1,
    "evaluation": {"episodes": 2, "warmup_hours": 1.0, "horizon_hours": 12.0},
}
CARTPOLE_JOB: dict[str, Any] = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {"kind": "threshold", "feature": 0, "edges": [0.0], "labels": ["left", "right"]},
    "algorithm": {"group_robustness_weight": 0.2},
    "budget": {"total_timesteps": 4_096},
    "seed": 1,
    "evaluation": {"episodes": 2},
}


def compile_job(config: TrainConfig) -> CompiledScenario:
    environment = config.environment
    assert isinstance(environment, HospitalEnvironment)
    return compile_environment(environment)


def make_policy(config: TrainConfig, seed: int = 0) -> Policy:
    """An untrained network with large last weights, so that its decisions depend on the state."""
    if isinstance(config.environment, HospitalEnvironment):
        compiled = compile_job(config)
        observation_size, num_actions = compiled.observation_size, compiled.num_actions
        labels = compiled.action_labels
    else:
        observation_size, num_actions, labels = 4, 2, ()
    manifest = Manifest(
        kind=config.environment.kind,
        config=config.model_dump(mode="json"),
        observation_size=observation_size,
        num_actions=num_actions,
        hidden_sizes=(16, 16),
        action_labels=labels,
        sharpness=1.0,
        seed=seed,
    )
    entries = manifest.network_shape.actor_entries
    actor = initialise_actor(manifest.network_shape, np.random.default_rng(seed))
    tensors: dict[str, Any] = dict(named_views(entries, actor))
    tensors["actor.2.weight"] *= 300.0
    index = IndexTerm.empty(num_actions)
    tensors |= {
        "index.feature": index.feature,
        "normalization.mean": np.zeros(observation_size, dtype=np.float32),
        "normalization.inverse_std": np.ones(observation_size, dtype=np.float32),
    }
    return Policy(manifest, tensors)


def make_waiting_room(num_patients: int, seed: int = 0) -> dict[str, Any]:
    """The body of an act request for the rural hospital."""
    rng = np.random.default_rng(seed)
    return {
        "time": "2026-11-22T14:05:00+01:00",
        "resources": [
            {"pool": "ed_space", "capacity": 6, "free": 2},
            {"pool": "nurse_unit", "capacity": 12, "free": 6},
            {"pool": "ward_bed", "capacity": 12, "free": 1},
            {"pool": "swing_bed", "capacity": 4, "free": 4},
            {"pool": "transfer_crew", "capacity": 2, "free": 0},
        ],
        "patients": [
            {
                "id": f"p{n:05}",
                "stage": "ed",
                "acuity": int(rng.integers(1, 6)),
                "predicted_stay_band": str(rng.choice(["short", "long"])),
                "age": int(rng.integers(0, 100)),
                "waiting_minutes": float(rng.uniform(0, 240)),
            }
            for n in range(num_patients)
        ],
    }


@dataclass(frozen=True)
class Stored:
    """A policy in the records, and the job that is said to have trained it."""

    policy_id: str
    job_id: str
    policy: Policy
    config: TrainConfig


def store_policy(
    database: Database, body: dict[str, Any], seed: int = 0, owner: str | None = None
) -> Stored:
    """Write a job that has succeeded, with an untrained policy."""
    config = TrainConfig.parse(body)
    policy = make_policy(config, seed)
    model = dump_policy(policy)
    with database.writing() as session:
        plain = config.model_dump(mode="json")
        job_id = insert_job(session, plain, config.budget.total_timesteps, owner)
    held = claim(database, job_id, "test", 30.0)
    assert held is not None
    policy_id = succeed(
        database,
        job_id,
        held.fence,
        model=model,
        sha256=digest_bytes(model),
        manifest=policy.manifest.model_dump(mode="json"),
        report=None,
    )
    return Stored(policy_id, job_id, policy, config)


@contextmanager
def running_api(settings: Settings) -> Iterator[httpx.Client]:
    """Serve the API over a real socket from a thread of this process; no worker."""
    migrate(settings)
    listener: socket.socket = bind(settings.host, settings.port)
    server = make_server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client:
        wait_until_ready(client)
        yield client
    server.should_exit = True
    thread.join()
    listener.close()


def wait_until_ready(client: httpx.Client, timeout_seconds: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, client.get("/readyz").text
        time.sleep(0.05)
