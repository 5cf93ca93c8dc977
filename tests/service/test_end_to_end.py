"""The main job with real processes: API, worker and trainings, on every database and broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from grpo.models.serialization import load_policy
from service.api.schemas import Job
from service.client import GRPOClient, GRPOClientError
from service.embedded import EmbeddedService
from tests.backends import Backend, on_every_broker
from tests.service.support import CARTPOLE_JOB, HOSPITAL_JOB, make_waiting_room

pytestmark = on_every_broker

SMALL = {"num_envs": 16, "num_steps": 32, "minibatch_size": 256, "update_epochs": 1}
TINY_HOSPITAL = HOSPITAL_JOB | {"algorithm": SMALL, "budget": {"total_timesteps": 30 * 16 * 32}}
TINY_CARTPOLE = CARTPOLE_JOB | {
    "algorithm": SMALL | {"group_robustness_weight": 0.2},
    "budget": {"total_timesteps": 2 * 16 * 32},
}
ENDLESS = TINY_HOSPITAL | {"budget": {"total_timesteps": 100_000_000}}


@pytest.fixture(scope="module")
def service(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedService]:
    home: Path = tmp_path_factory.mktemp("end_to_end")
    settings = backend.settings(home, port=0, heartbeat_seconds=0.2, sweep_seconds=0.2)
    with EmbeddedService(settings, logs=home / "logs") as service:
        service.wait_ready()
        yield service


@pytest.fixture(scope="module")
def client(service: EmbeddedService) -> Iterator[GRPOClient]:
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def trained(client: GRPOClient) -> Job:
    """A hospital job that has succeeded."""
    job = client.wait(client.submit(TINY_HOSPITAL).id, timeout_seconds=120)
    assert job.status == "succeeded", (job.reason, job.detail)
    return job


@pytest.fixture(scope="module")
def balanced(client: GRPOClient) -> Job:
    """A job of the other kind that has succeeded."""
    job = client.wait(client.submit(TINY_CARTPOLE).id, timeout_seconds=120)
    assert job.status == "succeeded", (job.reason, job.detail)
    return job


def test_the_metrics_of_a_training_grow_until_it_is_cancelled_within_seconds(
    client: GRPOClient,
) -> None:
    job = client.submit(ENDLESS)
    lengths: list[int] = []
    asked: list[float] = []

    def watch(_: Job) -> None:
        lengths.append(len(client.metrics(job.id)))
        if lengths[-1] >= 10 and len(set(lengths) - {0}) >= 2 and not asked:
            asked.append(time.monotonic())
            assert client.cancel(job.id).status in {"cancelling", "cancelled"}

    over = client.wait(job.id, on_progress=watch, interval_seconds=0.1, timeout_seconds=120)
    assert (over.status, over.reason) == ("cancelled", "cancelled_by_client")
    assert time.monotonic() - asked[0] < 10
    assert over.policy_id is None
    with pytest.raises(GRPOClientError, match="policy_not_found"):
        client.policy(job.id)
    assert lengths == sorted(lengths)
    series = client.metrics(job.id)
    assert [m.iteration for m in series] == list(range(1, len(series) + 1))
    assert all(a.timesteps < b.timesteps for a, b in pairwise(series))
    assert set(series[0].group_returns) <= {"pediatric", "adult", "elderly"}


def test_a_finished_job_has_a_policy_and_a_report_by_group(
    client: GRPOClient, trained: Job
) -> None:
    assert trained.progress.fraction == 1.0
    assert [attempt.end_reason for attempt in trained.attempts] == ["succeeded"]
    fairness = client.fairness(trained.id)
    assert fairness.final
    assert fairness.report is not None
    text = str(fairness.report)
    assert all(group in text for group in ("pediatric", "adult", "elderly"))
    policy = client.policy(trained.id)
    assert policy.id == trained.policy_id
    assert policy.job_id == trained.id
    assert policy.report == fairness.report
    assert policy.manifest["config"] == trained.config.model_dump(mode="json")


def test_a_trained_policy_decides_and_repeats_itself(client: GRPOClient, trained: Job) -> None:
    room = make_waiting_room(20)
    first, again = client.act(trained.id, room), client.act(str(trained.policy_id), room)
    assert first == again
    assert first["digest"] == client.policy(trained.id).digest
    assert {entry["patient"] for entry in first["ranking"]} == {p["id"] for p in room["patients"]}


def test_a_job_of_the_other_kind_trains_too(client: GRPOClient, balanced: Job) -> None:
    job = balanced
    answer = client.act(job.id, {"observation": [0.0, 0.1, 0.0, -0.1]})
    assert answer["action"] in {0, 1}
    assert sum(answer["probabilities"]) == pytest.approx(1.0, abs=1e-5)
    assert [event.kind for event in client.events(job.id)] == ["submitted", "started", "succeeded"]
    assert load_policy(client.model(job.id), client.policy(job.id).digest).manifest.reproducible


def test_what_a_training_printed_is_kept(client: GRPOClient, balanced: Job) -> None:
    job = balanced
    printed: list[dict[str, Any]] = []
    deadline = time.monotonic() + 20
    while "evaluating" not in [event.get("phase") for event in printed]:
        assert time.monotonic() < deadline  # the worker writes the rest when the process has left
        texts = [log.text for log in client.logs(job.id)]
        printed = [json.loads(line) for text in texts for line in text.splitlines()]
        time.sleep(0.1)
    phases = [event["phase"] for event in printed if event["event"] == "training_phase"]
    assert phases == ["compiling", "training", "validating", "evaluating"]
    assert {event["job_id"] for event in printed} == {job.id}


def test_a_burst_of_submissions_ends_in_true_terminal_states(client: GRPOClient) -> None:
    def submit(number: int) -> str:
        body: dict[str, Any] = TINY_CARTPOLE | {"seed": number}
        return client.submit(body).id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(submit, range(20)))
    assert len(set(ids)) == 20
    cancelled = ids[2:]
    for job_id in cancelled:
        client.cancel(job_id)
    jobs = [client.wait(job_id, interval_seconds=0.2, timeout_seconds=120) for job_id in ids]
    for job in jobs:
        expected = {"succeeded", "cancelled"} if job.id in cancelled else {"succeeded"}
        assert job.status in expected, (job.reason, job.detail)
        assert (job.policy_id is not None) == (job.status == "succeeded")
        assert (job.reason == "cancelled_by_client") == (job.status == "cancelled")
    again = {job.id: job.status for job in client.jobs(limit=1000).data}
    assert all(again[job.id] == job.status for job in jobs)
