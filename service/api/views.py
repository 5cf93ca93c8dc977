"""From records to answers."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from grpo.config import TrainConfig
from grpo.environments.registry import EnvironmentDescription
from grpo.errors import InputError
from service.api.following_schemas import AttemptLog, Estimate, JobEvent
from service.api.schemas import (
    Attempt,
    EnvironmentView,
    Iteration,
    Job,
    JobUrls,
    PolicyDetail,
    PolicySummary,
    PolicyUrls,
    Progress,
)
from service.jobs import records
from service.jobs.estimates import Cost
from service.jobs.logs import TrainingLog
from service.policies import repository


def view_job(job: records.Job) -> Job:
    """Show a job."""
    path, policy = f"/jobs/{job.id}", f"/policy/{job.id}"
    config = TrainConfig.parse(job.config)
    total = job.progress.total_timesteps
    fraction = min(job.progress.timesteps / total, 1.0) if total else 0.0
    return Job(
        id=job.id,
        status=job.state.value,
        reason=job.status_reason,
        detail=job.detail,
        created_at=job.created,
        started_at=job.started,
        finished_at=job.finished,
        attempts=[
            Attempt(
                n=attempt.n,
                worker=attempt.worker,
                started_at=attempt.started,
                ended_at=attempt.ended,
                end_reason=attempt.end_reason,
                detail=attempt.detail,
            )
            for attempt in job.attempts
        ],
        progress=Progress(
            phase=job.progress.phase,
            timesteps=job.progress.timesteps,
            total_timesteps=total,
            fraction=1.0 if job.state == "succeeded" else fraction,
            steps_per_second=job.progress.steps_per_second,
            seconds_left=job.progress.seconds_left,
        ),
        policy_id=job.policy_id,
        reproducible=config.budget.max_seconds is None,
        config=config,
        urls=JobUrls(
            self=path,
            cancel=f"{path}/cancel",
            events=f"{path}/events",
            stream=f"{path}/stream",
            logs=f"{path}/logs",
            metrics=f"{path}/metrics",
            fairness=f"{path}/fairness",
            policy=policy,
            act=f"{policy}/act",
        ),
    )


def view_metric(metric: records.Metric) -> Iteration:
    """Show the metrics of one iteration."""
    return Iteration.model_validate(
        metric.values
        | {
            "iteration": metric.iteration,
            "timesteps": metric.timesteps,
            "seconds": metric.seconds,
        }
    )


def view_event(event: records.Event) -> JobEvent:
    """Show one event of a job."""
    return JobEvent(
        sequence=event.sequence,
        at=event.at,
        kind=event.kind.value,
        status=event.state.value,
        data=event.data,
    )


def view_log(log: TrainingLog) -> AttemptLog:
    """Show what one attempt printed."""
    return AttemptLog(
        attempt=log.attempt,
        text=log.text,
        dropped_bytes=log.dropped_bytes,
        updated_at=log.updated,
    )


def view_cost(cost: Cost, config: TrainConfig) -> Estimate:
    """Show what a job would take."""
    return Estimate(
        iterations=cost.iterations,
        timesteps=cost.timesteps,
        seconds=round(cost.seconds, 1),
        training_seconds=round(cost.training_seconds, 1),
        steps_per_second=round(cost.speed.steps_per_second, 1),
        basis=cost.speed.basis,
        config=config,
    )


def view_policy(policy: repository.PolicySummary) -> PolicySummary:
    """Show a policy in a list."""
    environment = policy.manifest["config"]["environment"]
    scenario = environment.get("scenario")
    path = f"/policy/{policy.id}"
    return PolicySummary(
        id=policy.id,
        job_id=policy.job_id,
        digest=policy.sha256,
        num_bytes=policy.num_bytes,
        kind=environment["kind"],
        environment=(scenario["name"] if isinstance(scenario, dict) else scenario)
        or environment["id"],
        created_at=policy.created,
        urls=PolicyUrls(
            self=path, act=f"{path}/act", model=f"{path}/model", job=f"/jobs/{policy.job_id}"
        ),
    )


def view_policy_detail(policy: repository.PolicyRecord) -> PolicyDetail:
    """Show a policy with its manifest and its report."""
    summary = view_policy(policy)
    return PolicyDetail(**dict(summary), manifest=policy.manifest, report=policy.report)


def view_environment(environment: EnvironmentDescription) -> EnvironmentView:
    """Show an environment."""
    return EnvironmentView(**asdict(environment))


def write_cursor(cursor: records.Cursor | None) -> str | None:
    """Make a position opaque."""
    if cursor is None:
        return None
    text = f"{cursor.created.isoformat()}|{cursor.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str | None) -> records.Cursor | None:
    """Read a position that ``write_cursor`` made.

    Raises:
        InputError: at /after, where it is none.
    """
    if text is None:
        return None
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        created, _, job_id = plain.partition("|")
        moment = datetime.fromisoformat(created)
        last = str(UUID(job_id))
    except (binascii.Error, ValueError) as error:
        raise _no_cursor(text) from error
    if moment.tzinfo is None:
        raise _no_cursor(text)
    return records.Cursor(moment, last)


def _no_cursor(text: str) -> InputError:
    return InputError.single(
        "/after", "not a position in this list", given=text, allowed="the value of next"
    )
