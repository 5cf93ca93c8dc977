"""Numbers for Prometheus: requests, latencies, decisions, jobs by state.

Every label takes its values from a fixed set (route templates, known methods, states), so that no
client can make the series grow. One registry per application, none global.
"""

from __future__ import annotations

import threading
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from service.database import Database
from service.jobs.repository import count_jobs
from service.observability import get_logger

COUNT_SECONDS = 10.0
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ACT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
log = get_logger()


class Telemetry:
    """What one API process counts and measures since its start."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter(
            "grpo_http_requests",
            "Requests answered, by route template and status.",
            (*labels, "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "grpo_http_request_seconds",
            "Time from a request's head to the end of its answer; streams count in full.",
            labels,
            buckets=REQUEST_BUCKETS,
            registry=self._registry,
        )
        self.act = Histogram(
            "grpo_act_seconds",
            "Time that a policy takes to decide, decoding and encoding included.",
            buckets=ACT_BUCKETS,
            registry=self._registry,
        )
        self._streams = Gauge(
            "grpo_streams_open", "Event streams that are open.", registry=self._registry
        )
        self._jobs = Gauge(
            "grpo_jobs", "Jobs in the records, by state.", ("state",), registry=self._registry
        )
        self._lock = threading.Lock()
        self._counted_at = -COUNT_SECONDS

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answered request."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self, database: Database, open_streams: int) -> bytes:
        """Return everything in Prometheus' text format; jobs are counted every 10 seconds.

        A database that does not answer leaves out the jobs, nothing else.
        """
        self._streams.set(open_streams)
        with self._lock:
            if time.monotonic() - self._counted_at >= COUNT_SECONDS:
                self._count(database)
        return generate_latest(self._registry)

    def _count(self, database: Database) -> None:
        try:
            counts = count_jobs(database)
        except SQLAlchemyError as error:
            self._jobs.clear()
            log.warning("jobs_not_counted", error=str(error))
            return
        for state, number in counts.items():
            self._jobs.labels(state.value).set(number)
        self._counted_at = time.monotonic()
