"""How long a job would take, from the speed of recent jobs or from one stated measurement."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from grpo.config import TrainConfig
from service.database import Database
from service.jobs.models import AttemptRow, JobRow, MetricRow
from service.jobs.states import EndReason, JobState

LOOKED_AT = 50
ENOUGH = 5
# Measured once, in seconds of one processor core, for a service that has trained nothing yet:
# rural_hospital, CartPole-v1 (whose copies are stepped together) and, between Acrobot-v1 and
# MountainCar-v0, what is stepped one by one, with the defaults (docs/performance.md). The rest is
# starting, validating and judging.
REFERENCE_SPEED = {"hospital": 97_000.0, "CartPole-v1": 175_000.0, "gymnasium": 30_000.0}
REFERENCE_REST_SECONDS = {"hospital": 11.0, "gymnasium": 4.0}


@dataclass(frozen=True)
class Speed:
    """How fast jobs of one environment have been.

    Attributes:
        steps_per_second: of the training itself.
        rest_seconds: what starting, validating and judging took besides.
        basis: where this was measured, in words.
    """

    steps_per_second: float
    rest_seconds: float
    basis: str


@dataclass(frozen=True)
class Cost:
    """What a job would take: whole iterations, their timesteps, seconds in all and training."""

    iterations: int
    timesteps: int
    seconds: float
    training_seconds: float
    speed: Speed


def estimate_cost(database: Database, config: TrainConfig) -> Cost:
    """Estimate a job; only the environment is compared with earlier jobs, not the networks."""
    algorithm, budget = config.algorithm, config.budget
    per_iteration = algorithm.num_envs * algorithm.num_steps
    iterations = math.ceil(budget.total_timesteps / per_iteration)
    speed = measure_speed(database, config)
    training = iterations * per_iteration / speed.steps_per_second
    if budget.max_seconds is not None:
        training = min(training, budget.max_seconds)
    return Cost(
        iterations, iterations * per_iteration, training + speed.rest_seconds, training, speed
    )


def measure_speed(database: Database, config: TrainConfig) -> Speed:
    """Return the median speed of the last jobs on the same environment, or the reference.

    A scenario of a client's own is compared whole: its name may be another's for another hospital.
    """
    environment = config.environment.model_dump(mode="json")
    name = name_environment(environment)
    recent = (
        select(JobRow.id, JobRow.attempt, JobRow.config)
        .where(JobRow.state == JobState.SUCCEEDED)
        .order_by(JobRow.created_at.desc(), JobRow.id.desc())
        .limit(LOOKED_AT)
    )
    found: list[tuple[float, float]] = []
    with database.reading() as session:
        for job_id, attempt, asked in session.execute(recent):
            if identify(asked["environment"]) != identify(environment):
                continue
            last = session.execute(
                select(MetricRow.timesteps, MetricRow.seconds)
                .where(MetricRow.job_id == job_id)
                .order_by(MetricRow.iteration.desc())
                .limit(1)
            ).one_or_none()
            run = session.execute(
                select(AttemptRow.started_at, AttemptRow.ended_at).where(
                    AttemptRow.job_id == job_id,
                    AttemptRow.n == attempt,
                    AttemptRow.end_reason == EndReason.SUCCEEDED,
                )
            ).one_or_none()
            if last is None or run is None or last.seconds <= 0:
                continue
            whole = (run.ended_at - run.started_at).total_seconds()
            found.append((last.timesteps / last.seconds, max(0.0, whole - last.seconds)))
            if len(found) == ENOUGH:
                break
    return _summarise(found, name, config.environment.kind)


def identify(environment: dict[str, Any]) -> Any:
    """Return what tells environments apart, from plain data: a whole scenario, a name or an id."""
    return environment.get("scenario") or environment["id"]


def name_environment(environment: dict[str, Any]) -> str:
    """Return the name by which people know an environment, from plain data."""
    scenario = environment.get("scenario")
    named = scenario["name"] if isinstance(scenario, dict) else scenario
    return str(named or environment["id"])


def _summarise(found: list[tuple[float, float]], name: str, kind: str) -> Speed:
    if not found:
        basis = f"no job on {name} yet: reference of {kind} environments on one core"
        key = name if kind == "gymnasium" else kind
        speed = REFERENCE_SPEED.get(key, REFERENCE_SPEED[kind])
        return Speed(speed, REFERENCE_REST_SECONDS[kind], basis)
    speed, rest = (statistics.median(column) for column in zip(*found, strict=True))
    return Speed(speed, rest, f"median of {len(found)} recent jobs on {name}")
