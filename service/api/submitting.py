"""Answering ``POST /jobs``: for the first time, again under the same key, or as a rehearsal."""

from __future__ import annotations

from fastapi import Response

from grpo.config import TrainConfig
from service.api import views
from service.api.dependencies import Parts
from service.jobs import records
from service.jobs.estimates import estimate_cost
from service.jobs.idempotency import Key
from service.jobs.submission import submit_training_job, submit_training_job_once
from service.keys.quota import Account
from service.observability import bind_context, get_logger

MEDIA_TYPE = "application/json"
log = get_logger()


def make_key(text: str | None, account: Account, asked: TrainConfig) -> Key | None:
    """Return the key of a submission, None where the client gave none.

    A repetition is compared with the job as it was asked for: a job that names a stored scenario
    stays the same when that scenario gets a new version.
    """
    return None if text is None else Key.of(account.owner or "", text, asked)


def answer_submission(
    parts: Parts, config: TrainConfig, account: Account, key: Key | None
) -> Response:
    """Record a checked job and answer 202; with a key seen before, repeat the first answer.

    Args:
        parts: of the running service.
        config: what to train.
        account: whose job it is; their Idempotency-Keys are apart from others'.
        key: of the submission, None where the client gave no Idempotency-Key.
    """
    if key is None:
        job = submit_training_job(parts.database, parts.queue, config, account)
        job_id, answer, replayed = job.id, render(job), False
    else:
        submitted = submit_training_job_once(
            parts.database, parts.queue, config, key, render, account
        )
        job_id, answer, replayed = submitted.job_id, submitted.answer, submitted.replayed
    with bind_context(job_id=job_id):
        log.info("job_repeated" if replayed else "job_submitted")
    headers = {"Location": f"/jobs/{job_id}"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(answer, status_code=202, headers=headers, media_type=MEDIA_TYPE)


def answer_rehearsal(parts: Parts, config: TrainConfig) -> Response:
    """Answer 200 with what a checked job would take; nothing is stored."""
    estimate = views.view_cost(estimate_cost(parts.database, config), config)
    return Response(estimate.model_dump_json(), media_type=MEDIA_TYPE)


def render(job: records.Job) -> str:
    """Return the body that a submission is answered with."""
    return views.view_job(job).model_dump_json()
