"""The API application: ``create_app(settings)`` builds it, its lifespan connects the parts.

Nothing connects and nothing is read from the environment at import.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service.api import catalogue, documentation, following, health, jobs, policies, scenarios
from service.api.auth import require_declared_access
from service.api.dependencies import Parts
from service.api.kernels import KernelWarmup
from service.api.middleware import RequestMiddleware
from service.api.openapi import describe
from service.api.problems import install_handlers
from service.api.streaming import Streams
from service.api.telemetry import Telemetry
from service.broker import CeleryJobQueue
from service.database import Database
from service.jobs.queue import JobQueue
from service.keys.ring import KeyRing
from service.policies.cache import PolicyCache
from service.settings import Settings

DESCRIPTION = """\
Train group-robust decision policies, compare how groups fare, and ask the policies for decisions.

Submit a job, follow it, then `POST /policy/{id}/act`. Errors are `application/problem+json` with a
stable `code`. A research and planning tool, not a medical device.
"""


def create_app(settings: Settings, *, queue: JobQueue | None = None) -> FastAPI:
    """Build the application; it connects when it starts.

    Args:
        settings: all of them.
        queue: the bell of jobs; Celery's by default.
    """
    telemetry = Telemetry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings)
        kernels = KernelWarmup(settings)
        app.state.parts = Parts(
            settings=settings,
            database=database,
            queue=queue or CeleryJobQueue(settings),
            policies=PolicyCache(database, settings.policy_cache_size),
            kernels=kernels,
            keys=KeyRing(settings, database),
            streams=Streams(settings.max_streams),
            telemetry=telemetry,
        )
        kernels.start()
        yield
        database.close()

    app = FastAPI(
        title="GRPO",
        summary="Group Robust Policy Optimization as a service",
        description=DESCRIPTION,
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,  # ours needs nothing from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        openapi_tags=[
            {"name": "jobs", "description": "Training jobs."},
            {"name": "policies", "description": "Trained policies and their decisions."},
            {"name": "scenarios", "description": "Hospitals that a job may name."},
            {"name": "catalogue", "description": "Environments that a job may name."},
            {"name": "health", "description": "For load balancers; open without a key."},
        ],
    )
    for part in (jobs, following, policies, scenarios, catalogue, health, documentation):
        app.include_router(part.router)
    require_declared_access(app)
    install_handlers(app)
    app.add_middleware(RequestMiddleware, settings=settings, telemetry=telemetry)
    describe(app, asks_for_keys=settings.asks_for_keys)
    return app
