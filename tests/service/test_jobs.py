"""A job's life in the records: submitting, claiming, fencing, ending, and nothing else."""

from __future__ import annotations

import multiprocessing
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing.queues import Queue as ProcessQueue
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select, text

from service.database import Database
from service.errors import (
    FencedError,
    JobNotFoundError,
    JobNotResumableError,
    PolicyNotFoundError,
)
from service.jobs.leases import (
    claim,
    get_claimed,
    recover_expired,
    release,
    renew_lease,
    take_unrung,
)
from service.jobs.outcomes import fail, finish_cancelled, record_metrics, succeed
from service.jobs.queue import JobQueue
from service.jobs.records import Claim, Cursor, Job
from service.jobs.repository import (
    count_jobs,
    get_job,
    list_events,
    list_jobs,
    list_metrics,
    new_id,
    request_cancel,
)
from service.jobs.resumption import resume_job
from service.jobs.states import TRANSITIONS, EndReason, EventKind, JobState, StatusReason
from service.jobs.submission import submit_training_job
from service.keys.records import OPERATOR, Caller
from service.policies.models import PolicyRow
from service.policies.repository import get_policy, get_policy_bytes, list_policies
from service.settings import Settings
from tests.service.job_records import (
    CONFIG,
    HALFWAY,
    RecordingQueue,
    make_settings,
    metric,
    open_database,
    submit,
)

pytestmark = pytest.mark.usefixtures("backend")

SHA = "ab" * 32
EXPIRED = -1.0
UNFINISHED = ("queued", "active", "unfinished")  # indexes without finished jobs


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(make_settings(tmp_path)) as database:
        yield database


def hold(database: Database, job: Job, worker: str = "w", lease: float = 30.0) -> Claim:
    held = claim(database, job.id, worker, lease)
    assert held is not None
    return held


def store(database: Database, held: Claim) -> str:
    model, manifest = b"weights", {"kind": "policy"}
    return succeed(
        database,
        held.job_id,
        held.fence,
        model=model,
        sha256=SHA,
        manifest=manifest,
        report={"groups": []},
    )


# Submitting


def test_a_submitted_job_is_queued_with_its_whole_configuration(database: Database) -> None:
    job = submit(database)
    assert job.state is JobState.QUEUED
    assert job.config == CONFIG.model_dump(mode="json")
    assert job.progress.total_timesteps == 1024
    assert (job.started, job.finished, job.policy_id, job.attempts) == (None, None, None, ())
    assert [event.kind for event in list_events(database, job.id)] == [EventKind.SUBMITTED]


def test_the_row_is_visible_to_another_connection_when_the_bell_rings(
    database: Database, tmp_path: Path
) -> None:
    seen: list[JobState] = []

    class LookingQueue:
        def ring(self, job_id: str) -> None:
            with open_database(make_settings(tmp_path)) as other:
                seen.append(get_job(other, job_id).state)

    submit_training_job(database, LookingQueue(), CONFIG)
    assert seen == [JobState.QUEUED]


def test_a_broker_outage_still_leaves_a_queued_job(database: Database) -> None:
    queue: JobQueue = RecordingQueue(broken=True)
    job = submit_training_job(database, queue, CONFIG)
    assert get_job(database, job.id).state is JobState.QUEUED


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    ids = [new_id() for _ in range(200)]
    assert all(uuid.UUID(i).version == 7 for i in ids)
    assert all(uuid.UUID(i).variant == uuid.RFC_4122 for i in ids)
    # 12 bits of a millisecond's fraction: ids made in one process 0.25 us apart keep their order
    assert [i[:18] for i in ids] == sorted(i[:18] for i in ids)
    assert len(set(ids)) == 200


# Claiming


def test_of_many_threads_that_claim_one_job_exactly_one_gets_it(database: Database) -> None:
    jobs = [submit(database) for _ in range(5)]
    won: list[Claim] = []
    barrier = threading.Barrier(8)

    def compete(worker: str) -> None:
        barrier.wait()
        for job in jobs:
            held = claim(database, job.id, worker, 30.0)
            if held is not None:
                won.append(held)

    threads = [threading.Thread(target=compete, args=(f"w{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held.job_id for held in won) == sorted(job.id for job in jobs)
    assert all(len(get_job(database, job.id).attempts) == 1 for job in jobs)


def _compete(settings: Settings, ids: list[str], won: ProcessQueue[list[str]]) -> None:
    database = Database(settings)
    won.put([i for i in ids if claim(database, i, "process", 30.0) is not None])
    database.close()


def test_of_many_processes_that_claim_one_job_exactly_one_gets_it(
    database: Database, tmp_path: Path
) -> None:
    ids = [submit(database).id for _ in range(30)]
    context = multiprocessing.get_context("spawn")
    won: ProcessQueue[list[str]] = context.Queue()
    arguments = (make_settings(tmp_path), ids, won)
    processes = [context.Process(target=_compete, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    taken = [job_id for _ in processes for job_id in won.get(timeout=60)]
    for process in processes:
        process.join()
    assert sorted(taken) == sorted(ids)


def test_only_a_waiting_job_can_be_claimed(database: Database) -> None:
    assert claim(database, new_id(), "w", 30.0) is None
    job = submit(database)
    held = hold(database, job)
    assert claim(database, job.id, "w2", 30.0) is None
    store(database, held)
    assert claim(database, job.id, "w2", 30.0) is None


def test_a_claim_says_who_runs_the_job_and_since_when(database: Database) -> None:
    job = submit(database)
    held = hold(database, job, "host:1")
    assert held == Claim(job.id, 1, 1, job.config)
    running = get_job(database, job.id)
    assert running.state is JobState.RUNNING
    assert running.started is not None
    assert running.started >= running.created
    assert [(a.n, a.worker, a.ended, a.end_reason) for a in running.attempts] == [
        (1, "host:1", None, None)
    ]


def test_a_new_attempt_starts_its_metrics_from_the_beginning(database: Database) -> None:
    job = submit(database)
    first = hold(database, job, lease=EXPIRED)
    record_metrics(database, job.id, first.fence, [metric(i) for i in (1, 2, 3)], HALFWAY)
    recover_expired(database, 3)
    second = hold(database, job)
    assert list_metrics(database, job.id) == ()
    record_metrics(database, job.id, second.fence, [metric(1, attempt=2)], HALFWAY)
    assert list_metrics(database, job.id) == (metric(1, attempt=2),)


# Fencing


def writes(database: Database, held: Claim) -> dict[str, Callable[[], object]]:
    key = (database, held.job_id, held.fence)
    died = EndReason.PROCESS_DIED
    return {
        "get_claimed": lambda: get_claimed(*key),
        "renew_lease": lambda: renew_lease(*key, 30.0),
        "progress alone": lambda: record_metrics(*key, (), HALFWAY),
        "record_metrics": lambda: record_metrics(*key, [metric(9)], HALFWAY),
        "succeed": lambda: store(database, held),
        "fail": lambda: fail(*key, StatusReason.TRAINING_ERROR, "boom"),
        "finish_cancelled": lambda: finish_cancelled(*key),
        "release": lambda: release(*key, died, max_attempts=3),
    }


WRITES = (
    "get_claimed",
    "renew_lease",
    "progress alone",
    "record_metrics",
    "succeed",
    "fail",
    "finish_cancelled",
    "release",
)


@pytest.mark.parametrize("name", WRITES)
def test_a_worker_that_lost_its_job_can_write_nothing(database: Database, name: str) -> None:
    job = submit(database)
    old = hold(database, job, "old", lease=EXPIRED)
    recover_expired(database, 3)
    requeued = get_job(database, job.id)
    with pytest.raises(FencedError):
        writes(database, old)[name]()
    assert get_job(database, job.id) == requeued
    new = hold(database, job, "new")
    record_metrics(database, job.id, new.fence, [metric(1, attempt=2)], HALFWAY)
    before = get_job(database, job.id), list_metrics(database, job.id)
    with pytest.raises(FencedError):
        writes(database, old)[name]()
    assert (get_job(database, job.id), list_metrics(database, job.id)) == before
    assert list_policies(database).policies == ()


@pytest.mark.parametrize("name", WRITES)
def test_a_job_that_is_over_never_changes(database: Database, name: str) -> None:
    job = submit(database)
    held = hold(database, job)
    store(database, held)
    before = get_job(database, job.id), list_events(database, job.id)
    with pytest.raises(FencedError):
        writes(database, held)[name]()
    assert request_cancel(database, job.id) == before[0]
    assert (get_job(database, job.id), list_events(database, job.id)) == before


def test_renewing_moves_the_lease_so_that_nobody_takes_the_job(database: Database) -> None:
    job = submit(database)
    held = hold(database, job, lease=EXPIRED)
    assert renew_lease(database, job.id, held.fence, 30.0) is False
    assert recover_expired(database, 3) == {}


# Ends


def test_success_stores_policy_and_end_together(database: Database) -> None:
    job = submit(database)
    held = hold(database, job)
    record_metrics(database, job.id, held.fence, (), HALFWAY)
    policy_id = store(database, held)
    over = get_job(database, job.id)
    assert (over.state, over.policy_id) == (JobState.SUCCEEDED, policy_id)
    assert over.progress.phase == "finished"
    assert over.finished is not None
    assert over.attempts[0].end_reason is EndReason.SUCCEEDED
    policy = get_policy(database, policy_id)
    assert (policy.job_id, policy.sha256, policy.num_bytes) == (job.id, SHA, 7)
    assert (policy.manifest, policy.report) == ({"kind": "policy"}, {"groups": []})
    assert get_policy(database, job.id) == policy
    assert get_policy_bytes(database, policy_id) == (b"weights", SHA)


def test_bytes_and_digest_are_kept_apart_so_that_alteration_shows(database: Database) -> None:
    held = hold(database, submit(database))
    policy_id = store(database, held)
    with database.writing() as session:
        session.execute(text("UPDATE policies SET model = :m"), {"m": b"weight"})
    assert get_policy_bytes(database, policy_id) == (b"weight", SHA)


def test_a_failure_keeps_its_reason_and_words(database: Database) -> None:
    job = submit(database)
    held = hold(database, job)
    fail(database, job.id, held.fence, StatusReason.TRAINING_ERROR, "ValueError: \x00 \ud800 no")
    over = get_job(database, job.id)
    assert (over.state, over.status_reason) == (JobState.FAILED, StatusReason.TRAINING_ERROR)
    assert over.detail == "ValueError:  ? no"
    assert over.attempts[0].end_reason is EndReason.FAILED
    assert over.policy_id is None


def test_cancelling_a_queued_job_ends_it_at_once(database: Database) -> None:
    job = submit(database)
    over = request_cancel(database, job.id)
    assert (over.state, over.status_reason) == (
        JobState.CANCELLED,
        StatusReason.CANCELLED_BY_CLIENT,
    )
    assert over.finished is not None
    assert claim(database, job.id, "w", 30.0) is None
    assert request_cancel(database, job.id) == over


def test_cancelling_a_running_job_reaches_its_worker_with_the_next_write(
    database: Database,
) -> None:
    job = submit(database)
    held = hold(database, job)
    assert record_metrics(database, job.id, held.fence, (), HALFWAY) is False
    assert request_cancel(database, job.id).state is JobState.CANCELLING
    assert renew_lease(database, job.id, held.fence, 30.0) is True
    assert record_metrics(database, job.id, held.fence, (), HALFWAY) is True
    finish_cancelled(database, job.id, held.fence)
    over = get_job(database, job.id)
    assert over.state is JobState.CANCELLED
    assert over.attempts[0].end_reason is EndReason.CANCELLED
    kinds = [event.kind for event in list_events(database, job.id)]
    assert kinds == ["submitted", "started", "cancel_requested", "cancelled"]


def test_a_cancelling_job_may_still_truthfully_succeed(database: Database) -> None:
    job = submit(database)
    held = hold(database, job)
    request_cancel(database, job.id)
    store(database, held)
    over = get_job(database, job.id)
    assert (over.state, over.status_reason) == (JobState.SUCCEEDED, None)


def test_nobody_cancels_a_job_that_no_client_asked_to_cancel(database: Database) -> None:
    job = submit(database)
    held = hold(database, job)
    with pytest.raises(FencedError):
        finish_cancelled(database, job.id, held.fence)
    assert get_job(database, job.id).state is JobState.RUNNING


# Recovery


def test_a_job_whose_worker_died_is_tried_a_bounded_number_of_times(database: Database) -> None:
    job = submit(database)
    for attempt in (1, 2, 3):
        assert hold(database, job, f"w{attempt}", lease=EXPIRED).attempt == attempt
        expected = JobState.FAILED if attempt == 3 else JobState.QUEUED
        assert recover_expired(database, max_attempts=3) == {job.id: expected}
    over = get_job(database, job.id)
    assert (over.state, over.status_reason) == (JobState.FAILED, StatusReason.WORKER_LOST)
    assert [a.end_reason for a in over.attempts] == [EndReason.WORKER_LOST] * 3
    assert over.detail == "worker w3 did not renew its lease"


def test_a_cancelling_job_whose_worker_died_is_cancelled(database: Database) -> None:
    job = submit(database)
    hold(database, job, lease=EXPIRED)
    request_cancel(database, job.id)
    assert recover_expired(database, 3) == {job.id: JobState.CANCELLED}


def test_a_worker_that_stops_in_order_uses_up_no_attempt(database: Database) -> None:
    job = submit(database)
    for _ in range(5):
        held = hold(database, job)
        state = release(
            database, job.id, held.fence, EndReason.WORKER_STOPPED, "bye", max_attempts=1
        )
        assert state is JobState.QUEUED
    waiting = get_job(database, job.id)
    assert waiting.status_reason is StatusReason.WORKER_STOPPED
    assert [a.n for a in waiting.attempts] == [1, 2, 3, 4, 5]


def test_a_process_that_dies_uses_up_an_attempt(database: Database) -> None:
    job = submit(database)
    died = EndReason.PROCESS_DIED
    held = hold(database, job)
    first = release(database, job.id, held.fence, died, "SIGKILL", max_attempts=2)
    held = hold(database, job)
    second = release(database, job.id, held.fence, died, "SIGKILL", max_attempts=2)
    assert (first, second) == (JobState.QUEUED, JobState.FAILED)
    assert get_job(database, job.id).status_reason is StatusReason.PROCESS_DIED


def test_two_sweepers_recover_an_expired_job_once(database: Database) -> None:
    jobs = [submit(database) for _ in range(10)]
    for job in jobs:
        hold(database, job, lease=EXPIRED)
    recovered: list[str] = []
    threads = [
        threading.Thread(target=lambda: recovered.extend(recover_expired(database, 3)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(recovered) == sorted(job.id for job in jobs)


def test_a_bell_is_due_only_when_it_is_old_and_then_once(database: Database) -> None:
    jobs = [submit(database) for _ in range(3)]
    assert take_unrung(database, 60.0, 10) == []
    assert take_unrung(database, EXPIRED, 2) == [jobs[0].id, jobs[1].id]
    assert take_unrung(database, EXPIRED, 1) == [jobs[2].id]
    assert take_unrung(database, 60.0, 10) == []


def test_a_running_job_is_never_rung_again(database: Database) -> None:
    job = submit(database)
    hold(database, job)
    assert take_unrung(database, EXPIRED, 10) == []


def plans_of(database: Database, act: Callable[[], object], condition: str) -> list[str]:
    """How the database would run each search among the jobs that ``act`` makes."""
    asked: list[tuple[str, Any]] = []

    def remember(*arguments: Any) -> None:
        asked.append((arguments[2], arguments[3]))

    event.listen(database.engine, "before_cursor_execute", remember)
    act()
    event.remove(database.engine, "before_cursor_execute", remember)
    searches = [(s, p) for s, p in asked if s.startswith("SELECT jobs") and condition in s]
    plans = []
    with database.engine.connect() as connection:
        explain = "EXPLAIN QUERY PLAN"
        if database.engine.dialect.name == "postgresql":
            explain = "EXPLAIN"
            # It would read a table of two rows without any index.
            for habit in ("seqscan", "bitmapscan", "sort"):
                connection.exec_driver_sql(f"SET enable_{habit} = off")
        for statement, parameters in searches:
            plan = connection.exec_driver_sql(f"{explain} {statement}", parameters)
            plans.append("\n".join(str(row) for row in plan))
    return plans


def test_the_sweep_looks_neither_at_finished_jobs_nor_sorts_them(database: Database) -> None:
    hold(database, submit(database), lease=EXPIRED)
    submit(database)

    def sweep() -> None:
        take_unrung(database, EXPIRED, 1)
        recover_expired(database, 3)

    plans = plans_of(database, sweep, "WHERE jobs.state")
    assert len(plans) == 4
    for steps in plans:
        assert any(f"ix_jobs_{jobs}" in steps for jobs in UNFINISHED), steps


# Lists


def test_pages_hold_every_job_once_though_jobs_arrive_in_between(database: Database) -> None:
    old = [submit(database).id for _ in range(7)]
    page = list_jobs(database, limit=3)
    seen = [job.id for job in page.jobs]
    while page.next is not None:
        submit(database)
        page = list_jobs(database, 3, page.next)
        seen += [job.id for job in page.jobs]
    assert seen == old[::-1]


@pytest.mark.parametrize("caller", [OPERATOR, Caller("somebody", frozenset())])
@pytest.mark.parametrize("states", [None, [JobState.FAILED]])
@pytest.mark.parametrize("follows", [False, True])
def test_a_list_runs_along_an_index_and_sorts_nothing(
    database: Database, caller: Caller, states: list[JobState] | None, follows: bool
) -> None:
    last = submit(database)
    after = Cursor(last.created, last.id) if follows else None
    (steps,) = plans_of(
        database, lambda: list_jobs(database, 10, after, states, caller), "ORDER BY jobs.created_at"
    )
    words = ["owner"] * (not caller.is_admin) + ["state"] * (states is not None)
    assert f"ix_jobs_{'_'.join([*words, 'created_at_id'])}" in steps, steps
    assert not re.search(r"Sort|TEMP B-TREE|Seq Scan on jobs|SCAN jobs$", steps), steps


def test_a_list_can_be_narrowed_to_states(database: Database) -> None:
    first, second = submit(database), submit(database)
    request_cancel(database, first.id)
    listed = list_jobs(database, states=[JobState.QUEUED]).jobs
    assert [job.id for job in listed] == [second.id]
    assert count_jobs(database) == {
        JobState.QUEUED: 1,
        JobState.RUNNING: 0,
        JobState.CANCELLING: 0,
        JobState.CANCELLED: 1,
        JobState.SUCCEEDED: 0,
        JobState.FAILED: 0,
    }


def test_policies_are_listed_newest_first_in_pages(database: Database) -> None:
    made = [store(database, hold(database, submit(database))) for _ in range(3)]
    first = list_policies(database, limit=2)
    assert first.next is not None
    rest = list_policies(database, 2, first.next)
    assert rest.next is None
    assert [p.id for p in first.policies + rest.policies] == made[::-1]


def test_metrics_are_given_after_an_iteration(database: Database) -> None:
    job = submit(database)
    held = hold(database, job)
    series = [metric(i) for i in range(1, 6)]
    record_metrics(database, job.id, held.fence, series[:3], HALFWAY)
    record_metrics(database, job.id, held.fence, series[3:], HALFWAY)
    assert list_metrics(database, job.id) == tuple(series)
    assert list_metrics(database, job.id, after=3) == tuple(series[3:])
    assert list_metrics(database, job.id, after=0, limit=2) == tuple(series[:2])


def test_writing_metrics_again_after_an_unknown_outcome_repeats_nothing(
    database: Database,
) -> None:
    job = submit(database)
    held = hold(database, job)
    record_metrics(database, job.id, held.fence, [metric(1), metric(2)], HALFWAY)
    record_metrics(database, job.id, held.fence, [metric(2), metric(3)], HALFWAY)
    assert list_metrics(database, job.id) == (metric(1), metric(2), metric(3))


def test_unknown_ids_are_named(database: Database) -> None:
    for read in (get_job, list_events, list_metrics, request_cancel):
        with pytest.raises(JobNotFoundError, match="nowhere"):
            read(database, "nowhere")
    for look in (get_policy, get_policy_bytes):
        with pytest.raises(PolicyNotFoundError, match="nowhere"):
            look(database, "nowhere")


# Any order of calls

ACTIONS = (
    "claim", "cancel", "resume", "expire", "succeed", "fail", "cancelled", "died", "stopped",
    "write",
)  # fmt: skip


def act(database: Database, job: Job, action: str, held: list[Claim]) -> None:
    key = (database, job.id, held[-1].fence if held else 0)
    if action == "claim":
        taken = claim(database, job.id, "w", EXPIRED)
        held.extend([taken] if taken else [])
    elif action == "cancel":
        request_cancel(database, job.id)
    elif action == "resume":
        resume_job(database, RecordingQueue(), job.id)
    elif action == "expire":
        recover_expired(database, max_attempts=2)
    elif action == "succeed":
        store(database, Claim(job.id, key[2], 0, {}))
    elif action == "fail":
        fail(*key, StatusReason.TRAINING_ERROR, "boom")
    elif action == "cancelled":
        finish_cancelled(*key)
    elif action == "died":
        release(*key, EndReason.PROCESS_DIED, max_attempts=2)
    elif action == "stopped":
        release(*key, EndReason.WORKER_STOPPED, max_attempts=2)
    else:
        record_metrics(*key, [metric(1)], HALFWAY)


def test_whatever_is_called_in_whatever_order_only_legal_transitions_happen(
    database: Database,
) -> None:
    @settings(max_examples=30, deadline=None)
    @given(actions=st.lists(st.sampled_from(ACTIONS), max_size=10))
    def check(actions: list[str]) -> None:
        check_sequence(database, actions)

    check()


def check_sequence(database: Database, actions: list[str]) -> None:
    """Do all of it to a job of its own, and see what became of that."""
    job, held = submit(database), list[Claim]()
    for action in actions:
        before = get_job(database, job.id).state
        try:
            act(database, job, action, held)
        except (FencedError, JobNotResumableError):
            assert get_job(database, job.id).state is before
    events = list_events(database, job.id)
    over = get_job(database, job.id)
    states = [event.state for event in events]
    assert all(b in TRANSITIONS[a] for a, b in pairwise(states))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert states[-1] is over.state
    assert [a.n for a in over.attempts] == list(range(1, len(over.attempts) + 1))
    open_attempts = [a for a in over.attempts if a.ended is None]
    assert len(open_attempts) == (1 if over.state.is_active else 0)
    assert (over.finished is not None) == over.state.is_terminal
    with database.reading() as session:
        found = select(func.count()).where(PolicyRow.job_id == job.id)
        assert session.scalar(found) == (1 if over.state is JobState.SUCCEEDED else 0)
