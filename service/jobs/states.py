"""The words of a job's life, and which state may follow which."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands; the last three are terminal and change only where a client resumes."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the job is over."""
        return self in TERMINAL

    @property
    def is_active(self) -> bool:
        """Whether an attempt is running under a lease."""
        return self in ACTIVE


TERMINAL = frozenset({JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED})
ACTIVE = frozenset({JobState.RUNNING, JobState.CANCELLING})
RESUMABLE = frozenset({JobState.CANCELLED, JobState.FAILED})

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED}
    ),
    JobState.CANCELLING: TERMINAL,
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
}


class StatusReason(StrEnum):
    """Why a job stands where it stands."""

    CANCELLED_BY_CLIENT = "cancelled_by_client"
    INVALID_INPUT = "invalid_input"
    MODEL_REJECTED = "model_rejected"
    PROCESS_DIED = "process_died"
    STORAGE_FULL = "storage_full"
    TRAINING_ERROR = "training_error"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"


class EndReason(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PROCESS_DIED = "process_died"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"


class EventKind(StrEnum):
    """What happened to a job, in the order of its events."""

    SUBMITTED = "submitted"
    STARTED = "started"
    REQUEUED = "requeued"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RESUMED = "resumed"


class Phase(StrEnum):
    """What a running training is doing."""

    STARTING = "starting"
    COMPILING = "compiling"
    TRAINING = "training"
    VALIDATING = "validating"
    EVALUATING = "evaluating"
    FINISHED = "finished"
