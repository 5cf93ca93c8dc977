"""What the service tells operators: Prometheus' numbers and one job's log events."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.observability import configure_logging
from service.settings import Settings
from tests.service.support import CARTPOLE_JOB, Stored, make_waiting_room, running_api


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[httpx.Client]:
    """A service of its own, whose counters begin at zero."""
    with running_api(Settings(home=tmp_path, port=0)) as client:
        yield client


def scrape(client: httpx.Client) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name, by the values of their labels in order of the labels' names."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_requests_are_counted_by_route_template_and_status(fresh: httpx.Client) -> None:
    ids = [fresh.post("/jobs", json=CARTPOLE_JOB).json()["id"] for _ in range(3)]
    for job_id in [*ids, "unknown"]:
        fresh.get(f"/jobs/{job_id}")
    fresh.post("/jobs", json={})
    fresh.request("PROPFIND", "/nowhere")
    found = scrape(fresh)
    counts = found["grpo_http_requests_total"]
    assert counts["POST", "/jobs", "202"] == 3
    assert counts["POST", "/jobs", "422"] == 1
    assert counts["GET", "/jobs/{id}", "200"] == 3
    assert counts["GET", "/jobs/{id}", "404"] == 1
    assert counts["other", "unmatched", "404"] == 1
    seconds = found["grpo_http_request_seconds_count"]
    assert seconds["GET", "/jobs/{id}"] == 4
    assert 0 < found["grpo_http_request_seconds_sum"]["GET", "/jobs/{id}"] < 10


def test_no_client_can_make_the_series_grow(fresh: httpx.Client) -> None:
    def size() -> int:
        return sum(map(len, scrape(fresh).values()))

    fresh.get("/a"), fresh.get("/jobs/a"), fresh.request("PROPFIND", "/"), fresh.get("/metrics")
    before = size()
    for n in range(50):
        fresh.get(f"/nothing-{n}")
        fresh.get(f"/jobs/{n}")
        fresh.get("/jobs/a", params={"colour": n})
        fresh.request(
            ("PROPFIND", "REPORT", "MKCOL")[n % 3], f"/{n}", headers={"X-Request-Id": f"r{n}"}
        )
    assert size() == before


def test_jobs_are_counted_by_state(fresh: httpx.Client) -> None:
    ids = [fresh.post("/jobs", json=CARTPOLE_JOB).json()["id"] for _ in range(3)]
    fresh.post(f"/jobs/{ids[0]}/cancel")
    jobs = scrape(fresh)["grpo_jobs"]
    assert jobs["queued",] == 2
    assert jobs["cancelled",] == 1
    assert {state for (state,) in jobs} == {
        "queued",
        "running",
        "cancelling",
        "cancelled",
        "succeeded",
        "failed",
    }


def test_decisions_are_timed(api: httpx.Client, hospital: Stored) -> None:
    before = scrape(api)["grpo_act_seconds_count"][()]
    for n in range(5):
        body = make_waiting_room(20, seed=n)
        assert api.post(f"/policy/{hospital.policy_id}/act", json=body).status_code == 200
    after = scrape(api)
    assert after["grpo_act_seconds_count"][()] == before + 5
    assert math.isfinite(after["grpo_act_seconds_sum"][()])


def test_the_log_holds_one_jobs_events_by_its_id_and_by_the_requests(tmp_path: Path) -> None:
    stream = io.StringIO()
    with running_api(Settings(home=tmp_path, port=0)) as client:
        configure_logging("info", stream)
        try:
            headers = {"X-Request-Id": "r-submit", "Idempotency-Key": "k"}
            job_id = client.post("/jobs", json=CARTPOLE_JOB, headers=headers).json()["id"]
            headers["X-Request-Id"] = "r-again"
            client.post("/jobs", json=CARTPOLE_JOB, headers=headers)
            client.post(f"/jobs/{job_id}/cancel", headers={"X-Request-Id": "r-cancel"})
            client.post("/jobs", json=CARTPOLE_JOB, headers={"X-Request-Id": "r-other"})
        finally:
            configure_logging("error")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    of_job = [(e["event"], e["request_id"]) for e in events if e.get("job_id") == job_id]
    assert of_job == [
        ("job_submitted", "r-submit"),
        ("job_repeated", "r-again"),
        ("request", "r-cancel"),
    ]
    requests = [e["request_id"] for e in events if e["event"] == "request"]
    assert requests == ["r-submit", "r-again", "r-cancel", "r-other"]
