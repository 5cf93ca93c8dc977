"""Checkpoints in the records: who may write them, and jobs that go on from them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from service.client import GRPOClient, GRPOClientError
from service.database import Database
from service.errors import FencedError, JobNotFoundError, JobNotResumableError
from service.jobs.checkpoints import StoredCheckpoint, load_stored
from service.jobs.leases import claim, recover_expired, release
from service.jobs.models import CheckpointRow
from service.jobs.outcomes import fail, finish_cancelled, record_metrics, succeed
from service.jobs.repository import get_job, list_events, list_metrics, request_cancel
from service.jobs.resumption import resume_job
from service.jobs.states import EndReason, EventKind, JobState, StatusReason
from service.policies.repository import get_policy
from service.settings import Settings
from tests.service.job_records import (
    HALFWAY,
    RecordingQueue,
    make_settings,
    metric,
    open_database,
    submit,
)
from tests.service.support import running_api
from tests.workers.chaos import Chaos, make_job, train_here
from tests.workers.invariants import check_over, check_sound
from tests.workers.processes import wait_until

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(
        tmp_path, port=0, heartbeat_seconds=0.2, lease_seconds=3.0, sweep_seconds=0.2,
        checkpoint_seconds=0.0,
    )  # fmt: skip


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with open_database(settings) as database:
        yield database


def start(database: Database, job_id: str) -> int:
    held = claim(database, job_id, "w", 30.0)
    assert held is not None
    return held.fence


def run_to(database: Database, job_id: str, iteration: int, checkpoint: int) -> int:
    """Claim a job and write metrics up to an iteration, and a checkpoint at another."""
    fence = start(database, job_id)
    first = len(list_metrics(database, job_id)) + 1
    stored = StoredCheckpoint(checkpoint, b"state after %d" % checkpoint)
    upto = [metric(i, fence) for i in range(first, checkpoint + 1)]
    record_metrics(database, job_id, fence, upto, HALFWAY, stored)
    after = [metric(i, fence) for i in range(checkpoint + 1, iteration + 1)]
    record_metrics(database, job_id, fence, after, HALFWAY)
    return fence


def test_an_attempt_goes_on_from_the_checkpoint_and_later_metrics_are_gone_once_it_starts(
    database: Database,
) -> None:
    job = submit(database)
    fence = run_to(database, job.id, iteration=7, checkpoint=5)
    release(database, job.id, fence, EndReason.PROCESS_DIED, max_attempts=3)
    assert len(list_metrics(database, job.id)) == 7
    fence = start(database, job.id)
    assert [m.iteration for m in list_metrics(database, job.id)] == [1, 2, 3, 4, 5]
    assert load_stored(database, job.id) == StoredCheckpoint(5, b"state after 5")
    record_metrics(database, job.id, fence, [metric(6, fence)], HALFWAY)
    check_sound(database, job.id)


def test_a_fenced_writer_changes_no_checkpoint_and_success_drops_it(database: Database) -> None:
    job = submit(database)
    old = run_to(database, job.id, iteration=2, checkpoint=2)
    release(database, job.id, old, EndReason.WORKER_LOST, max_attempts=3)
    new = run_to(database, job.id, iteration=4, checkpoint=4)
    with pytest.raises(FencedError):
        record_metrics(
            database, job.id, old, [metric(3)], HALFWAY, StoredCheckpoint(3, b"of the dead")
        )
    assert load_stored(database, job.id) == StoredCheckpoint(4, b"state after 4")
    succeed(database, job.id, new, model=b"", sha256="", manifest={}, report=None)
    assert load_stored(database, job.id) is None


def test_a_checkpoint_that_is_not_as_it_was_written_is_not_used(database: Database) -> None:
    job = submit(database)
    run_to(database, job.id, iteration=2, checkpoint=2)
    with database.writing() as session:
        session.execute(update(CheckpointRow).values(state=b"state after 3"))
    assert load_stored(database, job.id) is None


def test_resuming_queues_and_rings_a_failed_job_and_forgives_its_attempts(
    database: Database,
) -> None:
    job, queue = submit(database), RecordingQueue()
    for _ in range(2):
        claim(database, job.id, "dead", -1.0)
        recover_expired(database, max_attempts=2)
    failed = get_job(database, job.id)
    assert (failed.state, failed.status_reason) == (JobState.FAILED, StatusReason.WORKER_LOST)
    resumed = resume_job(database, queue, job.id)
    assert (resumed.state, resumed.status_reason) == (JobState.QUEUED, None)
    assert (resumed.detail, resumed.finished) == ("", None)
    assert queue.rung == [job.id]
    event = list_events(database, job.id)[-1]
    assert (event.kind, event.data) == (EventKind.RESUMED, {"after_attempt": 2})
    claim(database, job.id, "dead", -1.0)
    assert recover_expired(database, max_attempts=2) == {job.id: JobState.QUEUED}
    claim(database, job.id, "dead", -1.0)
    assert recover_expired(database, max_attempts=2) == {job.id: JobState.FAILED}
    check_over(database, job.id)


def test_a_cancelled_job_resumes_and_a_job_under_way_or_done_does_not(database: Database) -> None:
    job, queue = submit(database), RecordingQueue()
    with pytest.raises(JobNotResumableError, match="is queued"):
        resume_job(database, queue, job.id)
    fence = start(database, job.id)
    with pytest.raises(JobNotResumableError, match="is running"):
        resume_job(database, queue, job.id)
    request_cancel(database, job.id)
    with pytest.raises(JobNotResumableError, match="is cancelling"):
        resume_job(database, queue, job.id)
    finish_cancelled(database, job.id, fence)
    assert resume_job(database, queue, job.id).state is JobState.QUEUED
    fence = start(database, job.id)
    succeed(database, job.id, fence, model=b"", sha256="", manifest={}, report=None)
    with pytest.raises(JobNotResumableError, match="is succeeded"):
        resume_job(database, queue, job.id)
    with pytest.raises(JobNotFoundError):
        resume_job(database, queue, "no such job")
    assert queue.rung == [job.id]


def test_resuming_over_http_answers_202_and_refuses_with_409(
    settings: Settings, database: Database
) -> None:
    job = submit(database)
    with running_api(settings) as api, GRPOClient(str(api.base_url)) as client:
        with pytest.raises(GRPOClientError) as refused:
            client.resume(job.id)
        assert (refused.value.status, refused.value.code) == (409, "job_not_resumable")
        fence = start(database, job.id)
        fail(database, job.id, fence, StatusReason.TRAINING_ERROR, "no such thing")
        answer: httpx.Response = api.post(f"/jobs/{job.id}/resume")
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        with pytest.raises(GRPOClientError) as unknown:
            client.resume("no such job")
        assert unknown.value.status == 404


def test_a_training_cancelled_and_stopped_in_order_goes_on_where_it_stood_to_the_same_policy(
    settings: Settings, database: Database
) -> None:
    config = make_job(segments=60)
    with Chaos(settings, database, workers=1, seed=1) as service:
        job_id = service.submit(config)
        wait_checkpoint(database, job_id, above=0)
        request_cancel(database, job_id)
        service.wait_all()
        check_over(database, job_id)
        first = wait_checkpoint(database, job_id, above=0)
        assert len(list_metrics(database, job_id)) >= first

        resume_job(database, service.queue, job_id)
        wait_checkpoint(database, job_id, above=first)
        assert service.workers[0].stop(signal.SIGTERM) == 0
        check_sound(database, job_id)
        assert (
            len(list_metrics(database, job_id)) >= (get_checkpoint(database, job_id) or 0) > first
        )

        service.workers.append(service.replace_worker())
        service.wait_all()
        job = check_over(database, job_id)
    ends = [EndReason.CANCELLED, EndReason.WORKER_STOPPED, EndReason.SUCCEEDED]
    assert [attempt.end_reason for attempt in job.attempts] == ends
    assert get_policy(database, job_id).sha256 == train_here(config)


def wait_checkpoint(database: Database, job_id: str, above: int) -> int:
    """Wait for a checkpoint of a later iteration, and return that."""
    wait_until(lambda: (get_checkpoint(database, job_id) or 0) > above)
    return get_checkpoint(database, job_id) or 0


def get_checkpoint(database: Database, job_id: str) -> int | None:
    with database.reading() as session:
        query = select(CheckpointRow.iteration).where(CheckpointRow.job_id == job_id)
        found: int | None = session.scalar(query)
        return found
