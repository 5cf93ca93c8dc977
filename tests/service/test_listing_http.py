"""Lists in pages, narrowed by status; dry runs; models to take away."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from grpo.models.serialization import digest_bytes, dump_policy, load_policy
from service.api.schemas import TERMINAL
from service.database import Database
from service.jobs.leases import claim
from service.jobs.models import EventRow, JobRow
from service.jobs.outcomes import record_metrics, succeed
from service.jobs.records import Metric, Progress
from service.jobs.repository import request_cancel
from service.policies.models import PolicyRow
from tests.service.support import CARTPOLE_JOB, HOSPITAL_JOB, Stored, store_policy


def submit(api: httpx.Client) -> str:
    return str(api.post("/jobs", json=CARTPOLE_JOB).json()["id"])


def page_ids(page: dict[str, Any]) -> list[str]:
    return [job["id"] for job in page["data"]]


def test_pages_do_not_shift_when_jobs_come_meanwhile(api: httpx.Client) -> None:
    old = [submit(api) for _ in range(5)]
    found: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while len(found) < 5:
        page = api.get("/jobs", params=params).json()
        found += page_ids(page)
        params["after"] = page["next"]
        submit(api)
    assert found[:5] == old[::-1]


def test_a_list_narrowed_to_a_status_pages_through_exactly_those(
    api: httpx.Client, records: Database
) -> None:
    ids = [submit(api) for _ in range(6)]
    wanted = ids[::2]
    for job_id in wanted:
        request_cancel(records, job_id)
    first = api.get("/jobs", params={"status": "cancelled", "limit": 2}).json()
    assert page_ids(first) == wanted[:0:-1]
    request_cancel(records, submit(api))  # newer than the position: it is not seen
    params = {"status": "cancelled", "limit": 1, "after": first["next"]}
    assert page_ids(api.get("/jobs", params=params).json()) == wanted[:1]
    for status in [*sorted(TERMINAL), "queued", "running", "cancelling"]:
        page = api.get("/jobs", params={"status": status, "limit": 1000}).json()
        assert {job["status"] for job in page["data"]} <= {status}


def count_rows(records: Database) -> tuple[int, ...]:
    with records.reading() as session:
        tables = (JobRow, EventRow)
        return tuple(session.scalar(select(func.count()).select_from(t)) or 0 for t in tables)


def test_a_dry_run_checks_estimates_and_stores_nothing(
    api: httpx.Client, records: Database
) -> None:
    before = count_rows(records)
    headers = {"Idempotency-Key": "dry"}
    response = api.post("/jobs?dry_run=true", json=HOSPITAL_JOB, headers=headers)
    assert response.status_code == 200
    assert "location" not in response.headers
    estimate = response.json()
    # 40,000 steps in iterations of 256 environments x 128 steps = 32,768: two of them.
    assert (estimate["iterations"], estimate["timesteps"]) == (2, 65_536)
    speed = estimate["steps_per_second"]
    assert estimate["training_seconds"] == pytest.approx(65_536 / speed, abs=0.06)
    assert estimate["seconds"] > estimate["training_seconds"]
    assert estimate["config"]["algorithm"]["num_envs"] == 256
    refused = api.post("/jobs?dry_run=true", json=HOSPITAL_JOB | {"seed": -1})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert count_rows(records) == before
    later = api.post("/jobs", json=CARTPOLE_JOB, headers=headers)  # its key was not used up
    assert later.status_code == 202
    assert "idempotent-replayed" not in later.headers


def test_estimates_follow_the_speed_of_jobs_on_the_same_environment(
    api: httpx.Client, records: Database
) -> None:
    body = HOSPITAL_JOB | {"environment": {"kind": "hospital", "scenario": "urban_hospital"}}
    before = api.post("/jobs?dry_run=true", json=body).json()
    assert "reference" in before["basis"]
    for speed in (1_000.0, 3_000.0, 2_000.0):
        job_id = api.post("/jobs", json=body).json()["id"]
        held = claim(records, job_id, "w", 30.0)
        assert held is not None
        metric = Metric(1, 65_536, 65_536 / speed, {})
        record_metrics(records, job_id, 1, [metric], Progress("training", 65_536, 65_536))
        succeed(records, job_id, 1, model=b"m", sha256="0" * 64, manifest={}, report=None)
    after = api.post("/jobs?dry_run=true", json=body).json()
    assert after["steps_per_second"] == 2_000.0  # the median
    assert after["basis"] == "median of 3 recent jobs on urban_hospital"
    assert after["training_seconds"] == pytest.approx(65_536 / 2_000, abs=0.06)
    limited = body | {"budget": {"total_timesteps": 40_000, "max_seconds": 1.5}}
    assert api.post("/jobs?dry_run=true", json=limited).json()["training_seconds"] == 1.5


def test_a_model_is_downloaded_whole_and_named_by_its_digest(
    api: httpx.Client, hospital: Stored
) -> None:
    response = api.get(f"/policy/{hospital.job_id}/model")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    digest = sha256(response.content).hexdigest()
    assert response.headers["etag"] == f'"{digest}"'
    assert digest == api.get(f"/policy/{hospital.policy_id}").json()["digest"]
    assert response.content == dump_policy(hospital.policy)
    loaded = load_policy(response.content, digest)
    assert loaded.manifest == hospital.policy.manifest


def test_a_model_that_the_client_has_is_not_sent_again(api: httpx.Client, hospital: Stored) -> None:
    path = f"/policy/{hospital.policy_id}/model"
    etag = api.get(path).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = api.get(path, headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_altered_model_is_not_given_out(api: httpx.Client, records: Database) -> None:
    stored = store_policy(records, CARTPOLE_JOB, seed=77)
    altered = bytearray(dump_policy(stored.policy))
    altered[-1] ^= 1
    assert digest_bytes(bytes(altered)) != digest_bytes(dump_policy(stored.policy))
    with records.writing() as session:
        row = update(PolicyRow).where(PolicyRow.id == stored.policy_id)
        session.execute(row.values(model=bytes(altered)))
    response = api.get(f"/policy/{stored.policy_id}/model")
    assert (response.status_code, response.json()["code"]) == (500, "model_rejected")
