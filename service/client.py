"""A typed client of the service, over httpx.

Example:
    with GRPOClient("http://127.0.0.1:8000") as client:
        job = client.wait(client.submit(config).id, on_progress=lambda job: print(job.progress))
        decision = client.act(job.policy_id, snapshot)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from grpo.config import TrainConfig
from grpo.environments.hospital.model.scenario_model import Scenario
from service.api.following_schemas import (
    AttemptLog,
    Estimate,
    JobEvent,
    JobEvents,
    JobLogs,
)
from service.api.scenario_schemas import ScenarioDetail, ScenarioList, ScenarioView
from service.api.schemas import (
    Fairness,
    Iteration,
    Job,
    JobList,
    JobStatus,
    Metrics,
    PolicyDetail,
    PolicyList,
    PolicySummary,
    Readiness,
)
from service.client_errors import ClientIssue, GRPOClientError

__all__ = ["ClientIssue", "GRPOClient", "GRPOClientError", "plain"]

Model = TypeVar("Model", bound=BaseModel)


def plain(config: TrainConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Return a job as plain data, as it is sent."""
    return config.model_dump(mode="json") if isinstance(config, TrainConfig) else dict(config)


class GRPOClient:
    """Talk to one service. Use as a context manager, or call ``close``."""

    def __init__(
        self, base_url: str, api_key: str | None = None, *, timeout_seconds: float = 30.0
    ) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self.base_url = base_url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.base_url, headers=headers, timeout=timeout_seconds, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GRPOClient({self.base_url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send one request; raise GRPOClientError unless the answer is a success."""
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise GRPOClientError(
                "unreachable", f"no answer from {self.base_url}: {error or type(error).__name__}"
            ) from error
        if response.is_error:
            raise GRPOClientError.from_response(response)
        return response

    def _read(self, kind: type[Model], method: str, path: str, **arguments: Any) -> Model:
        return kind.model_validate_json(self.request(method, path, **arguments).content)

    def submit(
        self, config: TrainConfig | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Job:
        """Submit a training job; it is queued and durable when this returns.

        Args:
            config: the job.
            idempotency_key: repeating with the same key submits only once, within 24 hours.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._read(Job, "POST", "/jobs", json=plain(config), headers=headers)

    def estimate(self, config: TrainConfig | Mapping[str, Any]) -> Estimate:
        """Check a job and estimate what it would take; nothing is stored."""
        return self._read(Estimate, "POST", "/jobs?dry_run=true", json=plain(config))

    def job(self, job_id: str) -> Job:
        """Fetch one job."""
        return self._read(Job, "GET", f"/jobs/{job_id}")

    def jobs(
        self, *, limit: int = 50, after: str | None = None, status: JobStatus | None = None
    ) -> JobList:
        """Fetch a page of jobs, newest first; only those of one status, if given."""
        asked = {"limit": limit, "after": after, "status": status}
        params = {name: value for name, value in asked.items() if value is not None}
        return self._read(JobList, "GET", "/jobs", params=params)

    def each_job(self, *, page_size: int = 1000) -> Iterator[Job]:
        """Yield every job, newest first, fetching pages as they are needed."""
        after = None
        while True:
            page = self.jobs(limit=page_size, after=after)
            yield from page.data
            after = page.next
            if after is None:
                return

    def cancel(self, job_id: str) -> Job:
        """Ask for a job to be cancelled; what is over stays as it is."""
        return self._read(Job, "POST", f"/jobs/{job_id}/cancel")

    def resume(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again; it goes on from its latest checkpoint."""
        return self._read(Job, "POST", f"/jobs/{job_id}/resume")

    def metrics(self, job_id: str, *, after: int = 0) -> list[Iteration]:
        """Fetch the iterations later than ``after``, all pages of them."""
        found: list[Iteration] = []
        while True:
            page = self._read(Metrics, "GET", f"/jobs/{job_id}/metrics", params={"after": after})
            found += page.data
            after = page.next_after
            if not page.has_more:
                return found

    def events(self, job_id: str, *, after: int = 0) -> list[JobEvent]:
        """Fetch what happened to a job after an event, all pages of it."""
        found: list[JobEvent] = []
        while True:
            page = self._read(JobEvents, "GET", f"/jobs/{job_id}/events", params={"after": after})
            found += page.data
            after = page.next_after
            if not page.has_more:
                return found

    def logs(self, job_id: str) -> list[AttemptLog]:
        """Fetch what a job's last attempts printed."""
        return self._read(JobLogs, "GET", f"/jobs/{job_id}/logs").data

    def fairness(self, job_id: str) -> Fairness:
        """Fetch how groups fare: the judged report once the job has succeeded."""
        return self._read(Fairness, "GET", f"/jobs/{job_id}/fairness")

    def policies(self, *, page_size: int = 1000) -> list[PolicySummary]:
        """List the policies, newest first, all pages of them."""
        found: list[PolicySummary] = []
        params: dict[str, Any] = {"limit": page_size}
        while True:
            page = self._read(PolicyList, "GET", "/policy", params=params)
            found += page.data
            if page.next is None:
                return found
            params["after"] = page.next

    def policy(self, policy_id: str) -> PolicyDetail:
        """Fetch one policy by its id or by its job's id."""
        return self._read(PolicyDetail, "GET", f"/policy/{policy_id}")

    def model(self, policy_id: str) -> bytes:
        """Download a policy's model, in safetensors format."""
        return self.request("GET", f"/policy/{policy_id}/model").content

    def act(self, policy_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a policy for a decision on a hospital snapshot or an observation."""
        answer: dict[str, Any] = self.request("POST", f"/policy/{policy_id}/act", json=body).json()
        return answer

    def environments(self) -> list[dict[str, Any]]:
        """List the environments that a job may name."""
        found: list[dict[str, Any]] = self.request("GET", "/environments").json()["data"]
        return found

    def scenarios(self, *, page_size: int = 1000) -> list[ScenarioView]:
        """List the built-in scenarios and all versions of one's own, all pages of them."""
        found: list[ScenarioView] = []
        params: dict[str, Any] = {"limit": page_size}
        while True:
            page = self._read(ScenarioList, "GET", "/scenarios", params=params)
            found += page.data
            if page.next is None:
                return found
            params["after"] = page.next

    def scenario(self, name: str, *, version: int | None = None) -> ScenarioDetail:
        """Fetch a scenario whole; of a stored one the newest version, unless one is named."""
        params = {} if version is None else {"version": version}
        return self._read(ScenarioDetail, "GET", f"/scenarios/{name}", params=params)

    def store_scenario(self, scenario: Scenario | Mapping[str, Any]) -> ScenarioDetail:
        """Store the next version of a scenario; repeating the newest one stores nothing."""
        whole = scenario.model_dump(mode="json") if isinstance(scenario, Scenario) else scenario
        return self._read(ScenarioDetail, "POST", "/scenarios", json=dict(whole))

    def readiness(self) -> Readiness:
        """Ask whether the service is ready, without raising if it is not."""
        try:
            response = self._http.get("/readyz")
        except httpx.HTTPError as error:
            raise GRPOClientError("unreachable", f"no answer from {self.base_url}") from error
        return Readiness.model_validate_json(response.content)

    def wait(
        self,
        job_id: str,
        *,
        on_progress: Callable[[Job], None] | None = None,
        interval_seconds: float = 0.5,
        timeout_seconds: float | None = None,
    ) -> Job:
        """Poll a job until it is over and return it in its terminal state.

        Args:
            job_id: which job.
            on_progress: called with the job after every poll, the last included.
            interval_seconds: pause between polls.
            timeout_seconds: give up after this long; never, if not given.

        Raises:
            GRPOClientError: code ``timeout`` if it took longer than allowed; others as usual.
        """
        started = time.monotonic()
        while True:
            job = self.job(job_id)
            if on_progress is not None:
                on_progress(job)
            if job.is_over:
                return job
            if timeout_seconds is not None and time.monotonic() - started > timeout_seconds:
                raise GRPOClientError(
                    "timeout", f"job {job_id} is still {job.status} after {timeout_seconds} s"
                )
            time.sleep(interval_seconds)
