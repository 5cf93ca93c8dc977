"""Jobs over HTTP: submit, list, look, cancel, follow."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Response

from grpo.config import TrainConfig
from grpo.environments.registry import check_config
from grpo.errors import InputError
from service.api import examples, submitting, views
from service.api.auth import (
    CHANGE_JOB,
    LIST_JOBS,
    READ_JOB,
    SUBMIT,
    AccountDep,
    CallerDep,
)
from service.api.dependencies import PartsDep, RequireJson, WholeNumber
from service.api.following_schemas import Estimate
from service.api.problems import BODY_ERRORS, Responses, document
from service.api.schemas import Fairness, Job, JobList, JobStatus, Metrics
from service.errors import (
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobNotFoundError,
    JobNotResumableError,
    TooManyJobsError,
)
from service.jobs import repository
from service.jobs.resumption import resume_job
from service.jobs.states import JobState
from service.policies.repository import get_policy
from service.scenarios.resolution import resolve_scenario

router = APIRouter(tags=["jobs"])
KEY_TEXT = "Repeat a submission safely: the same key gets the first one's answer for 24 hours."
SUBMITTED: Responses = {
    200: {"model": Estimate, "description": "What it would take (dry run)"},
    202: {
        "headers": {
            "Location": {"description": "Path of the job.", "schema": {"type": "string"}},
            "Idempotent-Replayed": {
                "description": "`true` where this repeats an earlier answer.",
                "schema": {"type": "string"},
            },
        }
    },
}
MAX_METRICS = 10_000


def check_budget(config: TrainConfig, max_timesteps: int) -> None:
    """Refuse a budget beyond what this service lets a client ask for."""
    if config.budget.total_timesteps > max_timesteps:
        raise InputError.single(
            "/budget/total_timesteps",
            "larger than this service allows",
            given=config.budget.total_timesteps,
            allowed=f"<= {max_timesteps} (GRPO_MAX_TIMESTEPS)",
        )


@router.post(
    "/jobs",
    status_code=202,
    summary="Submit a training job",
    dependencies=[SUBMIT, RequireJson],
    response_model=Job,
    responses=document(
        *BODY_ERRORS, IdempotencyKeyReusedError, TooManyJobsError, success=SUBMITTED
    ),
)
def submit(
    config: Annotated[TrainConfig, Body(openapi_examples=examples.SUBMISSIONS)],
    parts: PartsDep,
    caller: CallerDep,
    account: AccountDep,
    dry_run: Annotated[bool, Query(description="Check and estimate; store nothing.")] = False,
    idempotency_key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,255}$", description=KEY_TEXT),
    ] = None,
) -> Response:
    """Record a training job; it is durable and queued when this answers."""
    whole = resolve_scenario(parts.database, config, caller)
    check_config(whole)
    check_budget(whole, parts.settings.max_timesteps)
    if dry_run:
        return submitting.answer_rehearsal(parts, whole)
    key = submitting.make_key(idempotency_key, account, config)
    return submitting.answer_submission(parts, whole, account, key)


@router.get(
    "/jobs",
    summary="List jobs",
    dependencies=[LIST_JOBS],
    responses=document(InvalidRequestError),
)
def list_jobs(
    parts: PartsDep,
    caller: CallerDep,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=256, description="From ``next``.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs that stand here.")] = None,
) -> JobList:
    """Return jobs, newest first; jobs that come meanwhile do not shift the pages."""
    states = None if status is None else [JobState(status)]
    page = repository.list_jobs(parts.database, limit, views.read_cursor(after), states, caller)
    return JobList(
        data=[views.view_job(job) for job in page.jobs],
        has_more=page.next is not None,
        next=views.write_cursor(page.next),
    )


@router.get(
    "/jobs/{id}",
    summary="Look at a job",
    dependencies=[READ_JOB],
    responses=document(JobNotFoundError),
)
def get_job(id: str, parts: PartsDep) -> Job:  # noqa: A002 - the path says id
    """Return one job: status, progress, speed, time left, attempts, reason."""
    return views.view_job(repository.get_job(parts.database, id))


@router.post(
    "/jobs/{id}/cancel",
    summary="Cancel a job",
    dependencies=[CHANGE_JOB],
    responses=document(JobNotFoundError),
)
def cancel(id: str, parts: PartsDep) -> Job:  # noqa: A002 - the path says id
    """Ask for a job's end; one that is over stays as it is. Repeating it is harmless."""
    return views.view_job(repository.request_cancel(parts.database, id))


@router.post(
    "/jobs/{id}/resume",
    status_code=202,
    summary="Resume a job",
    dependencies=[CHANGE_JOB],
    responses=document(JobNotFoundError, JobNotResumableError, TooManyJobsError),
)
def resume(id: str, parts: PartsDep, account: AccountDep) -> Job:  # noqa: A002 - the path says id
    """Queue a failed or cancelled job again; it goes on from its latest checkpoint."""
    return views.view_job(resume_job(parts.database, parts.queue, id, account))


@router.get(
    "/jobs/{id}/metrics",
    summary="Follow the training",
    dependencies=[READ_JOB],
    responses=document(JobNotFoundError, InvalidRequestError),
)
def get_metrics(
    id: str,  # noqa: A002 - the path says id
    parts: PartsDep,
    after: Annotated[WholeNumber, Query(ge=0, lt=2**31, description="Only later iterations.")] = 0,
    limit: Annotated[WholeNumber, Query(ge=1, le=MAX_METRICS)] = MAX_METRICS,
) -> Metrics:
    """Return the series by iteration and group; poll with ``?after=next_after``."""
    job = repository.get_job(parts.database, id)
    found = repository.list_metrics(parts.database, id, after, limit + 1)
    data = [views.view_metric(metric) for metric in found[:limit]]
    return Metrics(
        job_id=id,
        status=job.state.value,
        data=data,
        next_after=data[-1].iteration if data else after,
        has_more=len(found) > limit,
    )


@router.get(
    "/jobs/{id}/fairness",
    summary="Compare groups",
    dependencies=[READ_JOB],
    responses=document(JobNotFoundError),
)
def get_fairness(id: str, parts: PartsDep) -> Fairness:  # noqa: A002 - the path says id
    """Return how groups fare: the last iteration's estimates, and the report once it is there."""
    job = repository.get_job(parts.database, id)
    latest = repository.latest_metric(parts.database, id)
    report = None if job.policy_id is None else get_policy(parts.database, job.policy_id).report
    return Fairness(
        job_id=id,
        status=job.state.value,
        final=report is not None,
        latest=None if latest is None else views.view_metric(latest),
        report=report,
    )
