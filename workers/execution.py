"""What a training process does: train under the claim, store the policy, write the true end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from enum import IntEnum

from sqlalchemy.exc import OperationalError

from grpo.config import TrainConfig
from grpo.errors import CheckpointError, InputError, ModelError
from grpo.models.serialization import digest_bytes, dump_policy, load_policy
from grpo.training.job import TrainingResult, train_policy
from grpo.training.observer import TrainingStopped
from service.database import Database, is_storage_full
from service.errors import FencedError
from service.jobs.checkpoints import load_stored
from service.jobs.leases import get_claimed
from service.jobs.outcomes import fail, finish_cancelled, succeed
from service.jobs.records import Claim
from service.jobs.states import StatusReason
from service.observability import bind_context, configure_logging, get_logger
from service.settings import Settings
from service.storage import StorageReserve
from workers.observer import RecordingObserver
from workers.process import EXIT_FENCED, EXIT_STOPPED

PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.5


class Outcome(IntEnum):
    """How the process ended, as its exit code; all but the last two are written in the row."""

    SUCCEEDED = 0
    FAILED = 10
    CANCELLED = 11
    STOPPED = EXIT_STOPPED
    FENCED = EXIT_FENCED


def execute(job_id: str, fence: int) -> Outcome:
    """Run one claimed job to its end in this process, with settings from the environment."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings()
    configure_logging(settings.log_level)
    database = Database(settings)
    try:
        with bind_context(job_id=job_id, fence=fence):
            return _execute(settings, database, job_id, fence, stop)
    except FencedError as error:
        get_logger().warning("training_fenced", job_id=job_id, error=str(error))
        return Outcome.FENCED
    finally:
        database.close()


def _execute(
    settings: Settings, database: Database, job_id: str, fence: int, stop: threading.Event
) -> Outcome:
    held = get_claimed(database, job_id, fence)
    cores = len(os.sched_getaffinity(0))
    threads = max(1, cores // settings.worker_concurrency)
    try:
        config = TrainConfig.parse(held.config)
        observer = RecordingObserver(
            database,
            held,
            config.budget.total_timesteps,
            stop,
            checkpoint_seconds=settings.checkpoint_seconds,
            max_seconds=config.budget.max_seconds,
        )
        try:
            result = _train(database, held, config, observer, threads)
            _persist(observer.write)
        except TrainingStopped:
            if not observer.cancelled:
                return Outcome.STOPPED
            _persist(lambda: finish_cancelled(database, job_id, fence))
            return Outcome.CANCELLED
        _store(database, held, result)
    except FencedError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever training raises is how the job ended
        get_logger().warning("training_failed", exc_info=error)
        reason, detail = explain(error)
        if reason is StatusReason.STORAGE_FULL:
            StorageReserve(settings).release()
        _persist(lambda: fail(database, job_id, fence, reason, detail))
        return Outcome.FAILED
    return Outcome.SUCCEEDED


def _train(
    database: Database,
    held: Claim,
    config: TrainConfig,
    observer: RecordingObserver,
    num_threads: int,
) -> TrainingResult:
    """Train on from the job's checkpoint; from the beginning where it has none that can be used."""
    stored = load_stored(database, held.job_id)
    if stored is not None:
        try:
            return train_policy(
                config,
                observer,
                num_threads=num_threads,
                checkpoints=observer,
                resume_from=stored.data,
            )
        except CheckpointError as error:
            get_logger().warning("checkpoint_refused", error=str(error))
    return train_policy(config, observer, num_threads=num_threads, checkpoints=observer)


def explain(error: Exception) -> tuple[StatusReason, str]:
    """Return why a training failed, as a reason and in words."""
    if isinstance(error, InputError):
        return StatusReason.INVALID_INPUT, str(error)
    if isinstance(error, ModelError):
        return StatusReason.MODEL_REJECTED, str(error)
    if is_storage_full(error):
        return StatusReason.STORAGE_FULL, "the database has no space left"
    return StatusReason.TRAINING_ERROR, f"{type(error).__name__}: {error}"


def _store(database: Database, held: Claim, result: TrainingResult) -> None:
    """Write the policy and the success in one transaction, after reading the bytes back."""
    model = dump_policy(result.policy)
    digest = digest_bytes(model)
    manifest = load_policy(model, digest).manifest.model_dump(mode="json")
    report = None if result.report is None else result.report.model_dump(mode="json")
    _persist(
        lambda: succeed(
            database,
            held.job_id,
            held.fence,
            model=model,
            sha256=digest,
            manifest=manifest,
            report=report,
        )
    )


def _persist(write: Callable[[], object]) -> None:
    """Write an end, trying again for a minute where the database is away.

    Raises:
        OperationalError: it stayed away, or its disk is full.
        FencedError: the claim no longer holds (or an earlier try went through after all).
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            write()
        except OperationalError as error:
            if is_storage_full(error) or time.monotonic() > deadline:
                raise
            get_logger().warning("end_not_written", error=str(error))
            time.sleep(RETRY_SECONDS)
        else:
            return
