"""Idempotency-Key on POST /jobs: done once, answered alike, kept for a day."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from grpo.config import TrainConfig
from service.database import Database, database_time
from service.jobs.idempotency import KEPT_SECONDS, Key
from service.jobs.models import JobRow
from service.jobs.records import Job
from service.jobs.repository import get_job
from service.jobs.side_models import IdempotencyKeyRow
from service.jobs.submission import submit_training_job_once
from tests.service.job_records import CONFIG, RecordingQueue
from tests.service.support import CARTPOLE_JOB, HOSPITAL_JOB

OTHER = TrainConfig.parse(CONFIG.model_dump() | {"seed": 2})


def count_all(database: Database) -> int:
    with database.reading() as session:
        return session.execute(select(func.count()).select_from(JobRow)).scalar_one()


def post(api: httpx.Client, body: object, key: str) -> httpx.Response:
    return api.post("/jobs", json=body, headers={"Idempotency-Key": key})


def test_the_same_body_gets_the_same_answer_to_the_byte(api: httpx.Client) -> None:
    key = uuid4().hex
    first, second = post(api, CARTPOLE_JOB, key), post(api, CARTPOLE_JOB, key)
    assert first.status_code == second.status_code == 202
    assert first.content == second.content
    assert first.headers["location"] == second.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    api.post(first.headers["location"] + "/cancel")
    assert post(api, CARTPOLE_JOB, key).content == first.content  # also after the job has moved on


def test_a_body_that_means_the_same_job_is_the_same_body(api: httpx.Client) -> None:
    key = uuid4().hex
    first = post(api, CARTPOLE_JOB, key).json()
    reordered = dict(reversed(list(CARTPOLE_JOB.items())))
    assert post(api, reordered, key).json() == first
    assert post(api, first["config"], key).json() == first  # defaults written out


def test_another_body_is_refused_and_leaves_nothing(api: httpx.Client, records: Database) -> None:
    key = uuid4().hex
    post(api, CARTPOLE_JOB, key)
    before = count_all(records)
    refused = post(api, HOSPITAL_JOB, key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert count_all(records) == before


def test_a_refused_body_does_not_use_up_its_key(api: httpx.Client) -> None:
    key = uuid4().hex
    assert post(api, CARTPOLE_JOB | {"seed": -1}, key).status_code == 422
    assert "idempotent-replayed" not in post(api, CARTPOLE_JOB, key).headers


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
def test_a_key_that_is_none_is_refused(api: httpx.Client, key: str) -> None:
    response = post(api, CARTPOLE_JOB, key)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_twenty_submissions_at_once_are_one_job(api: httpx.Client, records: Database) -> None:
    before, key = count_all(records), uuid4().hex
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post(api, CARTPOLE_JOB, key), range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert count_all(records) == before + 1


def render(job: Job) -> str:
    return json.dumps({"id": job.id})


def test_only_the_first_submission_rings(database: Database) -> None:
    queue, key = RecordingQueue(), Key.of("ann", "k", CONFIG)
    first = submit_training_job_once(database, queue, CONFIG, key, render)
    again = submit_training_job_once(database, queue, CONFIG, key, render)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.answer == again.answer == json.dumps({"id": first.job_id})
    assert queue.rung == [first.job_id]


def test_a_key_and_its_job_come_together_or_not_at_all(database: Database) -> None:
    def broken(job: Job) -> str:
        raise RuntimeError("no answer")

    key = Key.of("", "k", CONFIG)
    with pytest.raises(RuntimeError, match="no answer"):
        submit_training_job_once(database, RecordingQueue(), CONFIG, key, broken)
    assert count_all(database) == 0
    later = submit_training_job_once(database, RecordingQueue(), CONFIG, key, render)
    assert not later.replayed
    assert get_job(database, later.job_id).state == "queued"


def test_keys_of_two_owners_do_not_meet(database: Database) -> None:
    queue = RecordingQueue()
    for owner, config in (("ann", CONFIG), ("bob", OTHER)):
        key = Key.of(owner, "k", config)
        assert not submit_training_job_once(database, queue, config, key, render).replayed


def test_a_key_is_kept_for_a_day_and_then_free(database: Database) -> None:
    queue, key = RecordingQueue(), Key.of("", "k", CONFIG)
    first = submit_training_job_once(database, queue, CONFIG, key, render)
    for age, replayed in ((KEPT_SECONDS - 60, True), (KEPT_SECONDS + 60, False)):
        with database.writing() as session:
            session.execute(update(IdempotencyKeyRow).values(created_at=database_time(-age)))
        again = submit_training_job_once(database, queue, CONFIG, key, render)
        assert again.replayed == replayed == (again.job_id == first.job_id)
