"""Jobs as values: what the repository returns, free of sessions and of SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from service.jobs.states import EndReason, EventKind, JobState, StatusReason


@dataclass(frozen=True)
class Progress:
    """How far an attempt has come.

    Attributes:
        phase: what it is doing, one of ``Phase``; None before the first attempt.
        timesteps: environment decisions made in this attempt.
        total_timesteps: decisions that the budget allows.
        steps_per_second: recent speed, None while unknown.
        seconds_left: estimate until training (not evaluation) ends, None while unknown.
    """

    phase: str | None = None
    timesteps: int = 0
    total_timesteps: int = 0
    steps_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Attempt:
    """One run of a job by one worker.

    Attributes:
        n: 1 for the first.
        worker: name of the worker process.
        started: when it was claimed, UTC.
        ended: when it ended, None while it runs.
        end_reason: how it ended, None while it runs.
        detail: in words, possibly empty: a signal, an exit code, the last lines of output.
    """

    n: int
    worker: str
    started: datetime
    ended: datetime | None = None
    end_reason: EndReason | None = None
    detail: str = ""


@dataclass(frozen=True)
class Job:
    """One training job.

    Attributes:
        id: a UUID of version 7, ordered by time.
        state: where it stands.
        status_reason: why, where there is more to say than the state does.
        detail: the reason in words, possibly empty; for a failure, the error.
        config: the whole ``TrainConfig`` as plain data.
        created, started, finished: UTC; ``started`` is the first attempt's start.
        progress: of the latest attempt.
        attempts: all of them, oldest first.
        policy_id: the trained policy, exactly where the state is succeeded.
        fence: number of the latest claim; writes under an older one are refused.
    """

    id: str
    state: JobState
    status_reason: StatusReason | None
    detail: str
    config: dict[str, Any]
    created: datetime
    started: datetime | None
    finished: datetime | None
    progress: Progress
    attempts: tuple[Attempt, ...]
    policy_id: str | None
    fence: int


class Cursor(NamedTuple):
    """Where a list goes on: the position of the last job that was given."""

    created: datetime
    id: str


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first, and where the next page starts (None at the end)."""

    jobs: tuple[Job, ...]
    next: Cursor | None


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job; ``sequence`` counts from 1 without gaps."""

    sequence: int
    at: datetime
    kind: EventKind
    state: JobState
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """The metrics of one iteration; ``values`` is JSON without NaN or infinity.

    Attributes:
        iteration: strictly increasing within a job, without gaps.
        timesteps: environment decisions so far.
        seconds: since the training began.
        values: everything measured, by name.
    """

    iteration: int
    timesteps: int
    seconds: float
    values: dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """The right to run a job, as long as nobody else claims it.

    Attributes:
        job_id: the job.
        fence: goes with every write.
        attempt: number of this attempt, 1 for the first.
        config: what to train.
    """

    job_id: str
    fence: int
    attempt: int
    config: dict[str, Any]
