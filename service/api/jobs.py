"""Jobs over HTTP: submit, list, look, cancel, follow."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response

from grpo.config import TrainConfig
from grpo.environments.registry import check_config
from grpo.errors import InputError
from service.api import examples, views
from service.api.dependencies import PartsDep, RequireJson
from service.api.problems import BODY_ERRORS, document
from service.api.schemas import Fairness, Job, JobList, Metrics
from service.errors import InvalidRequestError, JobNotFoundError
from service.jobs import repository
from service.jobs.submission import submit_training_job
from service.policies.repository import get_policy

router = APIRouter(tags=["jobs"])
LOCATION = {"Location": {"description": "Path of the job.", "schema": {"type": "string"}}}
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
    dependencies=[RequireJson],
    responses=document(*BODY_ERRORS, success={202: {"headers": LOCATION}}),
)
def submit(
    config: Annotated[TrainConfig, Body(openapi_examples=examples.SUBMISSIONS)],
    parts: PartsDep,
    response: Response,
) -> Job:
    """Record a training job; it is durable and queued when this answers."""
    check_config(config)
    check_budget(config, parts.settings.max_timesteps)
    job = views.view_job(submit_training_job(parts.database, parts.queue, config))
    response.headers["Location"] = job.urls.self
    return job


@router.get("/jobs", summary="List jobs", responses=document(InvalidRequestError))
def list_jobs(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=256, description="From ``next``.")] = None,
) -> JobList:
    """Return jobs, newest first."""
    page = repository.list_jobs(parts.database, limit, views.read_cursor(after))
    return JobList(
        data=[views.view_job(job) for job in page.jobs],
        has_more=page.next is not None,
        next=views.write_cursor(page.next),
    )


@router.get("/jobs/{id}", summary="Look at a job", responses=document(JobNotFoundError))
def get_job(id: str, parts: PartsDep) -> Job:  # noqa: A002 - the path says id
    """Return one job: status, progress, speed, time left, attempts, reason."""
    return views.view_job(repository.get_job(parts.database, id))


@router.post("/jobs/{id}/cancel", summary="Cancel a job", responses=document(JobNotFoundError))
def cancel(id: str, parts: PartsDep) -> Job:  # noqa: A002 - the path says id
    """Ask for a job's end; one that is over stays as it is. Repeating it is harmless."""
    return views.view_job(repository.request_cancel(parts.database, id))


@router.get(
    "/jobs/{id}/metrics",
    summary="Follow the training",
    responses=document(JobNotFoundError, InvalidRequestError),
)
def get_metrics(
    id: str,  # noqa: A002 - the path says id
    parts: PartsDep,
    after: Annotated[int, Query(ge=0, lt=2**31, description="Only later iterations.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_METRICS)] = MAX_METRICS,
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


@router.get("/jobs/{id}/fairness", summary="Compare groups", responses=document(JobNotFoundError))
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
