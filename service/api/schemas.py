"""What the service answers with: jobs, metrics, fairness, policies, the catalogue, health.

Only pydantic here, so that the client shares the very same models. Answers may grow new fields;
a client must ignore those that it does not know.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from grpo.config import TrainConfig
from service.api import examples

JobStatus = Literal["queued", "running", "cancelling", "cancelled", "succeeded", "failed"]
TERMINAL: frozenset[JobStatus] = frozenset({"cancelled", "succeeded", "failed"})


class Answer(BaseModel):
    """A value that the service answers with."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class JobUrls(Answer):
    """Where everything about a job is found, relative to the service."""

    self: str
    cancel: str
    events: str
    stream: str
    logs: str
    metrics: str
    fairness: str
    policy: str
    act: str


class Attempt(Answer):
    """One run of a job by one worker."""

    n: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    detail: str


class Progress(Answer):
    """How far a job is, as its worker last told."""

    phase: str | None = Field(
        description="starting, compiling, training, validating, evaluating or finished."
    )
    timesteps: int
    total_timesteps: int
    fraction: float = Field(description="Share of the training budget used, 0 to 1.")
    steps_per_second: float | None
    seconds_left: float | None = Field(description="Estimated time left of the training phase.")


class Job(Answer):
    """One training job."""

    model_config = ConfigDict(json_schema_extra={"example": examples.JOB})

    id: str
    status: JobStatus
    reason: str | None = Field(description="Why it failed or was cancelled: a stable word.")
    detail: str = Field(description="The same in words; empty where there is nothing to say.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: list[Attempt] = Field(description="Runs of the job, oldest first.")
    progress: Progress
    policy_id: str | None = Field(description="Set once the job has succeeded.")
    reproducible: bool = Field(
        description="Whether the same job gives the same digest; not with a budget in seconds."
    )
    config: TrainConfig = Field(description="What was asked, every default filled in.")
    urls: JobUrls

    @property
    def is_over(self) -> bool:
        """Whether the state is terminal and will never change again."""
        return self.status in TERMINAL


class JobList(Answer):
    """A page of jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": examples.JOB_LIST})

    data: list[Job]
    has_more: bool
    next: str | None = Field(description="Give it as ?after= to get the next page.")


class Iteration(Answer):
    """What one iteration of training measured. Null where nothing was seen yet."""

    model_config = ConfigDict(extra="allow")

    iteration: int
    timesteps: int
    seconds: float
    steps_per_second: float
    mean_return: float | None = Field(description="Minus the cost per patient, or per episode.")
    group_returns: dict[str, float | None] = Field(description="The same by group.")
    group_weights: dict[str, float] = Field(description="Weights of the worst-group objective.")
    worst_group_return: float | None
    return_gap: float | None = Field(description="Largest minus smallest group return.")
    objective: float | None
    policy_loss: float | None
    value_loss: float | None
    entropy: float | None
    approx_kl: float | None
    clip_fraction: float | None
    explained_variance: float | None
    episodes: int


class Metrics(Answer):
    """The series of a job, by iteration and group."""

    model_config = ConfigDict(json_schema_extra={"example": examples.METRICS})

    job_id: str
    status: JobStatus
    data: list[Iteration]
    next_after: int = Field(description="Give it as ?after= to get only what is new.")
    has_more: bool


class Fairness(Answer):
    """How groups fare: while training the last iteration, in the end the judged report."""

    model_config = ConfigDict(json_schema_extra={"example": examples.FAIRNESS})

    job_id: str
    status: JobStatus
    final: bool = Field(description="Whether the report is there.")
    latest: Iteration | None = Field(description="Training-time view; estimates, not judgements.")
    report: dict[str, Any] | None = Field(description="Costs, waits and gaps with intervals.")


class PolicyUrls(Answer):
    """Where a policy and its job are found."""

    self: str
    act: str
    model: str
    job: str


class PolicySummary(Answer):
    """One trained policy."""

    model_config = ConfigDict(json_schema_extra={"example": examples.POLICY_SUMMARY})

    id: str
    job_id: str
    digest: str = Field(description="SHA-256 of the stored model.")
    num_bytes: int = Field(description="Size of the stored model.")
    kind: str = Field(description="hospital or gymnasium: what body act takes.")
    environment: str = Field(description="Name of the scenario, or id of the environment.")
    created_at: datetime
    urls: PolicyUrls


class PolicyList(Answer):
    """Policies, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": examples.POLICY_LIST})

    data: list[PolicySummary]
    has_more: bool
    next: str | None = Field(description="Give it as ?after= to get the next page.")


class PolicyDetail(PolicySummary):
    """A policy with its manifest and the report it was judged by."""

    model_config = ConfigDict(json_schema_extra={"example": examples.POLICY_DETAIL})

    manifest: dict[str, Any]
    report: dict[str, Any] | None


class OptionView(Answer):
    """A named argument that variants of an environment may change."""

    name: str
    low: float = Field(description="Least value.")
    high: float = Field(description="Largest value.")
    default: float


class EnvironmentView(Answer):
    """An environment that a job may name."""

    id: str
    kind: str = Field(description="What ``environment.kind`` of a job must be.")
    title: str
    observation_size: int
    num_actions: int
    grouping: str = Field(description="The usual ``grouping.kind`` of a job.")
    groupings: list[str] = Field(description="Every ``grouping.kind`` that fits.")
    scenario: str | None = Field(description="For hospitals, the scenario to name.")
    options: list[OptionView] = Field(description="What variants of it may change.")


class EnvironmentList(Answer):
    """All environments that a job may name."""

    model_config = ConfigDict(json_schema_extra={"example": examples.ENVIRONMENTS})

    data: list[EnvironmentView]


class Health(Answer):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok"}})

    status: Literal["ok"] = "ok"


class Readiness(Answer):
    """Whether the service can do its work, and what is missing."""

    model_config = ConfigDict(json_schema_extra={"example": examples.READINESS})

    ready: bool
    checks: dict[str, str] = Field(description="ok, or what is wrong, by part.")
