"""The training process: each end of a training becomes the job's true end and an exit code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import OperationalError

from grpo.config import TrainConfig
from grpo.errors import InputError, ModelError
from grpo.training.observer import IterationMetrics, Observer, TrainingStopped
from service.database import Database
from service.errors import FencedError
from service.jobs import outcomes
from service.jobs.leases import claim, recover_expired
from service.jobs.records import Claim
from service.jobs.repository import get_job, list_metrics, request_cancel
from service.jobs.states import JobState, StatusReason
from tests.service.job_records import CONFIG, make_settings, open_database, submit
from workers import execution, observer
from workers.execution import Outcome, execute
from workers.observer import RecordingObserver

pytestmark = pytest.mark.usefixtures("backend")

METRICS = IterationMetrics(
    iteration=1,
    timesteps=128,
    seconds=0.5,
    steps_per_second=256.0,
    mean_return=20.0,
    group_returns={"left": 18.0, "right": 22.0},
    group_weights={"left": 0.75, "right": 0.25},
    worst_group_return=18.0,
    return_gap=4.0,
    objective=19.0,
    policy_loss=0.01,
    value_loss=0.5,
    entropy=0.69,
    approx_kl=0.002,
    clip_fraction=0.1,
    explained_variance=0.2,
    episodes=3,
)
Train = Callable[[Observer], object]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    settings = make_settings(tmp_path)
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with open_database(settings) as database:
        yield database
    signal.signal(signal.SIGTERM, handlers[0])
    signal.signal(signal.SIGINT, handlers[1])
    structlog.reset_defaults()


@pytest.fixture
def held(database: Database) -> Claim:
    claimed = claim(database, submit(database).id, "w", 30.0)
    assert claimed is not None
    return claimed


@pytest.fixture
def run(held: Claim, monkeypatch: pytest.MonkeyPatch) -> Callable[[Train], Outcome]:
    """Run the training process in this one, with another training inside."""

    def run_with(train: Train) -> Outcome:
        def stand_in(
            config: TrainConfig, observer: Observer, *, num_threads: int, checkpoints: object
        ) -> Any:
            assert config == CONFIG
            assert checkpoints is observer
            assert num_threads >= 1
            return train(observer)

        monkeypatch.setattr(execution, "train_policy", stand_in)
        return execute(held.job_id, held.fence)

    return run_with


Run = Callable[[Train], Outcome]


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (ValueError("reward is NaN"), StatusReason.TRAINING_ERROR, "ValueError: reward is NaN"),
        (MemoryError(), StatusReason.TRAINING_ERROR, "MemoryError: "),
        (
            InputError.single("/grouping/feature", "out of range", given=9),
            StatusReason.INVALID_INPUT,
            "/grouping/feature: out of range; given 9",
        ),
        (ModelError("cannot be stored"), StatusReason.MODEL_REJECTED, "cannot be stored"),
    ],
)
def test_an_error_in_training_fails_the_job_at_once(
    database: Database,
    held: Claim,
    run: Run,
    *,
    error: Exception,
    reason: StatusReason,
    words: str,
) -> None:
    def train(observer: Observer) -> object:
        raise error

    assert run(train) is Outcome.FAILED
    over = get_job(database, held.job_id)
    assert (over.state, over.status_reason, over.detail) == (JobState.FAILED, reason, words)


def test_a_cancelled_training_ends_cancelled(database: Database, held: Claim, run: Run) -> None:
    def train(observer: Observer) -> object:
        assert not observer.should_stop()
        request_cancel(database, held.job_id)
        observer.on_phase("evaluating")  # writes, and so hears of it
        assert observer.should_stop()
        raise TrainingStopped

    assert run(train) is Outcome.CANCELLED
    assert get_job(database, held.job_id).state is JobState.CANCELLED


def test_a_signal_stops_the_training_and_leaves_the_row_to_the_supervisor(
    database: Database, held: Claim, run: Run
) -> None:
    def train(observer: Observer) -> object:
        signal.raise_signal(signal.SIGTERM)
        assert observer.should_stop()
        raise TrainingStopped

    assert run(train) is Outcome.STOPPED
    assert get_job(database, held.job_id).state is JobState.RUNNING


def test_a_fenced_training_stops_at_its_next_write(
    database: Database, held: Claim, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "WRITE_SECONDS", 0.0)

    def train(observer: Observer) -> object:
        with database.writing() as session:
            session.connection().exec_driver_sql("UPDATE jobs SET lease_until = '2000-01-01'")
        recover_expired(database, 3)
        while True:
            observer.on_iteration(METRICS)

    assert run(train) is Outcome.FENCED
    assert get_job(database, held.job_id).state is JobState.QUEUED
    assert list_metrics(database, held.job_id) == ()


def test_a_process_whose_claim_is_over_does_not_begin(database: Database, held: Claim) -> None:
    assert execute(held.job_id, held.fence + 1) is Outcome.FENCED
    assert execute("nowhere", 1) is Outcome.FENCED


def test_an_end_waits_for_a_database_that_is_away(
    database: Database, held: Claim, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    write = outcomes.fail

    def fail_at_first(*arguments: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("UPDATE", {}, Exception("server closed the connection"))
        write(*arguments)

    monkeypatch.setattr(execution, "fail", fail_at_first)
    monkeypatch.setattr(execution, "RETRY_SECONDS", 0.01)

    def train(observer: Observer) -> object:
        raise ValueError("boom")

    assert run(train) is Outcome.FAILED
    assert len(tries) == 3


# The observer


def make_observer(database: Database, held: Claim) -> RecordingObserver:
    return RecordingObserver(database, held, 1024, threading.Event())


def test_the_first_iteration_is_written_at_once(database: Database, held: Claim) -> None:
    make_observer(database, held).on_iteration(METRICS)
    (written,) = list_metrics(database, held.job_id)
    assert (written.iteration, written.timesteps, written.seconds) == (1, 128, 0.5)
    assert written.values["group_returns"] == {"left": 18.0, "right": 22.0}
    assert not {"iteration", "timesteps", "seconds"} & set(written.values)
    progress = get_job(database, held.job_id).progress
    # 1024 - 128 = 896 steps at 256 a second take 3.5 s
    assert (progress.phase, progress.timesteps, progress.seconds_left) == ("training", 128, 3.5)


def test_quick_iterations_are_written_together_and_none_is_missing(
    database: Database, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "WRITE_SECONDS", 3600.0)
    following = make_observer(database, held)
    for i in range(1, 6):
        following.on_iteration(replace(METRICS, iteration=i))
    following.write()
    assert [m.iteration for m in list_metrics(database, held.job_id)] == [1, 2, 3, 4, 5]


def test_metrics_that_could_not_be_written_are_written_with_the_next(
    database: Database, held: Claim, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(observer, "WRITE_SECONDS", 0.0)
    following = make_observer(database, held)

    def refuse(*arguments: Any) -> bool:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    with monkeypatch.context() as patched:
        patched.setattr(observer, "record_metrics", refuse)
        following.on_iteration(METRICS)
        following.on_iteration(replace(METRICS, iteration=2))
    assert list_metrics(database, held.job_id) == ()
    following.on_iteration(replace(METRICS, iteration=3))
    assert [m.iteration for m in list_metrics(database, held.job_id)] == [1, 2, 3]


def test_the_phase_is_written_when_it_begins(database: Database, held: Claim) -> None:
    following = make_observer(database, held)
    for phase in ("compiling", "training", "validating", "evaluating"):
        following.on_phase(phase)
        assert get_job(database, held.job_id).progress.phase == phase


def test_a_fenced_observer_raises(database: Database, held: Claim) -> None:
    old = replace(held, fence=held.fence - 1)
    with pytest.raises(FencedError):
        make_observer(database, old).on_phase("training")
