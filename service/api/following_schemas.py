"""What the service answers about a job's course: its events, its output, its estimated cost.

Only pydantic here, so that the client shares the very same models.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from grpo.config import TrainConfig
from service.api import examples
from service.api.schemas import Answer, JobStatus

EVENT: dict[str, Any] = {
    "sequence": 2,
    "at": "2026-11-22T14:05:00.480Z",
    "kind": "started",
    "status": "running",
    "data": {"attempt": 1, "worker": "host-1:4711"},
}
LOG: dict[str, Any] = {
    "attempt": 1,
    "text": '{"phase": "training", "job_id": "0199a1c2-...", "event": "training_phase"}\n',
    "dropped_bytes": 0,
    "updated_at": "2026-11-22T14:05:03.910Z",
}
OF_JOB = {"job_id": examples.JOB_ID, "status": "running"}


class JobEvent(Answer):
    """One thing that happened to a job."""

    model_config = ConfigDict(json_schema_extra={"example": EVENT})

    sequence: int = Field(description="From 1, without gaps; the id of the event in the stream.")
    at: datetime
    kind: str = Field(description="submitted, started, requeued, cancel_requested, succeeded, ...")
    status: JobStatus = Field(description="Where the job stood after it.")
    data: dict[str, Any] = Field(description="More about it; what, depends on the kind.")


class JobEvents(Answer):
    """What happened to a job, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {**OF_JOB, "data": [EVENT], "next_after": 2, "has_more": False}
        }
    )

    job_id: str
    status: JobStatus
    data: list[JobEvent]
    next_after: int = Field(description="Give it as ?after= to get only what is new.")
    has_more: bool


class AttemptLog(Answer):
    """The last output of one attempt."""

    attempt: int
    text: str = Field(description="As printed; mostly one JSON object per line.")
    dropped_bytes: int = Field(description="How much was printed before it and is not kept.")
    updated_at: datetime


class JobLogs(Answer):
    """What a job's last ten attempts printed, oldest first."""

    model_config = ConfigDict(json_schema_extra={"example": {**OF_JOB, "data": [LOG]}})

    job_id: str
    status: JobStatus
    data: list[AttemptLog]


class Estimate(Answer):
    """What a job would take; nothing was stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "iterations": 62,
                "timesteps": 2_031_616,
                "seconds": 71.0,
                "training_seconds": 48.4,
                "steps_per_second": 42_000.0,
                "basis": "median of 3 recent jobs on rural_hospital",
                "config": examples.HOSPITAL_JOB,
            }
        }
    )

    iterations: int = Field(description="At most; a budget in seconds may end it earlier.")
    timesteps: int = Field(description="The budget rounded up to whole iterations.")
    seconds: float = Field(description="From start to result, time in the queue not included.")
    training_seconds: float = Field(description="Of which training.")
    steps_per_second: float = Field(description="The speed that is assumed.")
    basis: str = Field(description="Where that speed was measured.")
    config: TrainConfig = Field(description="What was asked, every default filled in.")
