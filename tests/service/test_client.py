"""The client: typed answers, problems as one exception, waiting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from grpo.config import TrainConfig
from service.api.schemas import Job
from service.client import GRPOClient, GRPOClientError
from service.database import Database
from service.jobs.leases import claim
from service.jobs.outcomes import record_metrics
from service.jobs.records import Metric, Progress
from tests.service.support import CARTPOLE_JOB, HOSPITAL_JOB, Stored


@pytest.fixture
def client(api: httpx.Client) -> Iterator[GRPOClient]:
    with GRPOClient(str(api.base_url)) as client:
        yield client


def values_of(iteration: int) -> dict[str, Any]:
    numbers = dict.fromkeys(
        (
            "steps_per_second",
            "mean_return",
            "worst_group_return",
            "return_gap",
            "objective",
            "policy_loss",
            "value_loss",
            "entropy",
            "approx_kl",
            "clip_fraction",
            "explained_variance",
        ),
        1.5,
    )
    return numbers | {
        "iteration": iteration,
        "group_returns": {"left": 1.0, "right": 2.0},
        "group_weights": {"left": 0.5, "right": 0.5},
        "episodes": 3,
    }


def test_a_config_and_its_plain_data_submit_the_same_job(client: GRPOClient) -> None:
    typed = client.submit(TrainConfig.parse(HOSPITAL_JOB))
    plain = client.submit(HOSPITAL_JOB)
    assert typed.config == plain.config
    assert client.job(typed.id).status == "queued"
    assert client.jobs(limit=2).data[0].id == plain.id


def test_a_refusal_carries_code_and_fields(client: GRPOClient) -> None:
    with pytest.raises(GRPOClientError) as caught:
        client.submit(HOSPITAL_JOB | {"seed": -1})
    error = caught.value
    assert (error.code, error.status) == ("invalid_request", 422)
    assert error.issues[0].pointer == "/seed"
    assert error.request_id
    assert "/seed" in str(error)


def test_an_unknown_id_is_an_error_with_a_code(client: GRPOClient) -> None:
    with pytest.raises(GRPOClientError, match="job_not_found"):
        client.job("unknown")


def test_no_service_is_an_error_with_a_code() -> None:
    with GRPOClient("http://127.0.0.1:9") as client:
        for call in (client.jobs, client.readiness):
            with pytest.raises(GRPOClientError) as caught:
                call()
            assert (caught.value.code, caught.value.status) == ("unreachable", 0)


def test_waiting_reports_until_the_job_is_over(client: GRPOClient) -> None:
    job = client.submit(CARTPOLE_JOB)
    seen: list[Job] = []

    def on_progress(job: Job) -> None:
        seen.append(job)
        if len(seen) == 2:
            client.cancel(job.id)

    over = client.wait(job.id, on_progress=on_progress, interval_seconds=0.01)
    assert [job.status for job in seen] == ["queued", "queued", "cancelled"]
    assert over.status == "cancelled"


def test_waiting_gives_up_after_its_timeout(client: GRPOClient) -> None:
    job = client.submit(CARTPOLE_JOB)
    with pytest.raises(GRPOClientError) as caught:
        client.wait(job.id, timeout_seconds=0.05, interval_seconds=0.01)
    assert caught.value.code == "timeout"


def test_metrics_come_once_each_and_in_order(client: GRPOClient, records: Database) -> None:
    job_id = client.submit(CARTPOLE_JOB).id
    held = claim(records, job_id, "test", 30.0)
    assert held is not None
    progress = Progress("training", 2_048, 4_096, 1000.0, 2.0)
    for n in (1, 2, 3):
        metric = Metric(n, 1024 * n, 0.5 * n, values_of(n))
        record_metrics(records, job_id, held.fence, [metric], progress)
    everything = client.metrics(job_id)
    assert [m.iteration for m in everything] == [1, 2, 3]
    assert everything[2].group_returns == {"left": 1.0, "right": 2.0}
    assert [m.iteration for m in client.metrics(job_id, after=2)] == [3]
    assert client.metrics(job_id, after=3) == []
    paged = client.request("GET", f"/jobs/{job_id}/metrics", params={"limit": 2}).json()
    assert (paged["has_more"], paged["next_after"]) == (True, 2)
    job = client.job(job_id)
    assert (job.status, job.progress.fraction, job.progress.seconds_left) == ("running", 0.5, 2.0)
    latest = client.fairness(job_id).latest
    assert latest is not None
    assert latest.iteration == 3


def test_policies_are_found_by_their_own_id_and_by_their_jobs(
    client: GRPOClient, cartpole: Stored
) -> None:
    by_own, by_job = client.policy(cartpole.policy_id), client.policy(cartpole.job_id)
    assert by_own == by_job
    assert by_own.manifest["kind"] == by_own.kind == "gymnasium"
    assert by_own.environment == "CartPole-v1"
    assert cartpole.policy_id in [policy.id for policy in client.policies()]


def test_lists_do_not_end_with_their_first_page(
    client: GRPOClient, hospital: Stored, cartpole: Stored
) -> None:
    submitted = [client.submit(CARTPOLE_JOB).id for _ in range(5)]
    paged = [job.id for job in client.each_job(page_size=2)]
    assert paged[:5] == submitted[::-1]
    assert paged == [job.id for job in client.jobs(limit=1000).data]
    policies = [policy.id for policy in client.policies(page_size=1)]
    assert {hospital.policy_id, cartpole.policy_id} <= set(policies)
    assert len(policies) == len(set(policies)) >= 2


def test_the_key_is_not_part_of_what_the_client_shows() -> None:
    with GRPOClient("http://127.0.0.1:9", "a-very-secret-key") as client:
        assert "secret" not in repr(client)
