"""Events, their stream, and logs of a job, over a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx
import pytest
from fastapi import routing

from service.database import Database
from service.jobs.leases import claim, release
from service.jobs.logs import KEPT_ATTEMPTS, list_logs, record_log
from service.jobs.records import Claim
from service.jobs.repository import request_cancel
from service.jobs.states import EndReason
from tests.backends import Backend
from tests.service import job_records
from tests.service.support import CARTPOLE_JOB, Stored, running_api


@dataclass
class Sent:
    """One server-sent event as it came over the wire, comments included."""

    event: str | None = None
    id: str | None = None
    data: Any = None
    comment: str | None = None
    retry: str | None = None


def read_stream(response: httpx.Response) -> Iterator[Sent]:
    """Parse the stream: fields by line, an empty line ends an event (HTML standard, 9.2)."""
    current = Sent()
    for line in response.iter_lines():
        if not line:
            yield current
            current = Sent()
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        setattr(current, name or "comment", json.loads(value) if name == "data" else value)


def follow(api: httpx.Client, job_id: str, last: int | None = None) -> list[Sent]:
    """Read a stream to its end, without what carries no event."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with api.stream("GET", f"/jobs/{job_id}/stream", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [sent for sent in read_stream(response) if sent.event]


def submit(api: httpx.Client) -> str:
    return str(api.post("/jobs", json=CARTPOLE_JOB).json()["id"])


def hold(records: Database, job_id: str) -> Claim:
    held = claim(records, job_id, "w", 30.0)
    assert held is not None
    return held


def test_events_come_in_order_and_in_pages(api: httpx.Client, cartpole: Stored) -> None:
    path = f"/jobs/{cartpole.job_id}/events"
    everything = api.get(path).json()
    assert [event["sequence"] for event in everything["data"]] == [1, 2, 3]
    assert [event["kind"] for event in everything["data"]] == ["submitted", "started", "succeeded"]
    assert (everything["status"], everything["next_after"]) == ("succeeded", 3)
    page = api.get(path, params={"after": 1, "limit": 1}).json()
    assert [event["sequence"] for event in page["data"]] == [2]
    assert (page["next_after"], page["has_more"]) == (2, True)
    assert api.get(path, params={"after": 3}).json()["data"] == []


def test_a_stream_of_a_job_that_is_over_tells_all_and_ends(
    api: httpx.Client, cartpole: Stored
) -> None:
    sent = follow(api, cartpole.job_id)
    assert [(one.event, one.id) for one in sent] == [
        ("submitted", "1"),
        ("started", "2"),
        ("succeeded", "3"),
        ("end", None),
    ]
    listed = api.get(f"/jobs/{cartpole.job_id}/events").json()["data"]
    assert [one.data for one in sent[:-1]] == listed
    assert sent[-1].data == {"job_id": cartpole.job_id, "status": "succeeded"}


@pytest.mark.parametrize("last", [0, 1, 2, 3, 99])
def test_who_comes_back_misses_nothing_and_sees_nothing_twice(
    api: httpx.Client, cartpole: Stored, last: int
) -> None:
    ids = [one.id for one in follow(api, cartpole.job_id, last)]
    assert ids == [str(n) for n in range(last + 1, 4)] + [None]


@pytest.mark.parametrize("last", ["-1", "one", "2147483648"])
def test_a_last_id_that_is_none_is_refused(api: httpx.Client, cartpole: Stored, last: str) -> None:
    response = api.get(f"/jobs/{cartpole.job_id}/stream", headers={"Last-Event-ID": last})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_a_stream_tells_what_happens_while_it_is_open(api: httpx.Client, records: Database) -> None:
    job_id = submit(api)
    seen: list[tuple[str, float]] = []
    with api.stream("GET", f"/jobs/{job_id}/stream") as response:
        for one in read_stream(response):
            if one.event is None:
                continue
            seen.append((one.event, time.monotonic()))
            if one.event == "submitted":
                hold(records, job_id)
            if one.event == "started":
                release(records, job_id, 1, EndReason.WORKER_STOPPED, max_attempts=3)
            if one.event == "requeued":
                request_cancel(records, job_id)
    assert [name for name, _ in seen] == ["submitted", "started", "requeued", "cancelled", "end"]
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(seen)]
    assert max(gaps) < 3.0


def test_a_silent_stream_carries_a_comment(
    api: httpx.Client, records: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert routing._PING_INTERVAL == 15.0  # type: ignore[attr-defined]
    monkeypatch.setattr(routing, "_PING_INTERVAL", 0.1)
    job_id = submit(api)
    with api.stream("GET", f"/jobs/{job_id}/stream") as response:
        for one in read_stream(response):
            if one.comment is not None:
                assert one.comment == "ping"
                break


def test_streams_are_bounded_do_not_block_and_end_with_the_service(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = backend.settings(tmp_path_factory.mktemp("streams"), port=0, max_streams=8)
    ended: list[list[Sent]] = []

    def read(url: str, path: str) -> None:
        with (
            httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client,
            client.stream("GET", path) as response,
        ):
            ended.append(list(read_stream(response)))

    with running_api(settings) as client:
        path = f"/jobs/{submit(client)}/stream"
        arguments = (str(client.base_url), path)
        threads = [threading.Thread(target=read, args=arguments) for _ in range(8)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while "grpo_streams_open 8.0" not in client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        response = client.get(path)
        assert response.status_code == 429
        assert response.json()["code"] == "too_many_streams"
        assert response.headers["retry-after"] == "5"
        started = time.monotonic()
        assert client.get("/healthz").status_code == 200
        assert time.monotonic() - started < 1.0
        started = time.monotonic()
    assert time.monotonic() - started < 4.0  # less than the grace that open requests are given
    for thread in threads:
        thread.join()
    assert [[one.event for one in seen if one.event] for seen in ended] == 8 * [["submitted"]]


def test_logs_are_served_by_attempt(api: httpx.Client, records: Database) -> None:
    job_id = submit(api)
    assert api.get(f"/jobs/{job_id}/logs").json()["data"] == []
    held = hold(records, job_id)
    assert record_log(records, job_id, held.fence, "one\n", 0)
    assert record_log(records, job_id, held.fence, "two\x00 \ud800\n", 70)
    found = api.get(f"/jobs/{job_id}/logs").json()
    (log,) = found["data"]
    assert (log["attempt"], log["text"], log["dropped_bytes"]) == (1, "two ?\n", 70)
    assert (found["job_id"], found["status"]) == (job_id, "running")


def test_the_logs_of_the_last_attempts_are_kept(database: Database) -> None:
    job_id = job_records.submit(database).id
    for n in range(1, KEPT_ATTEMPTS + 3):
        held = hold(database, job_id)
        assert held.fence == n
        assert record_log(database, job_id, n, f"attempt {n}", 0)
        release(database, job_id, n, EndReason.WORKER_STOPPED, max_attempts=3)
    assert [log.attempt for log in list_logs(database, job_id)] == list(range(3, 13))
    assert record_log(database, job_id, 12, "its end", 0)  # the last to hold it may still write
    hold(database, job_id)
    assert not record_log(database, job_id, 12, "too late", 0)
    assert not record_log(database, "unknown", 1, "nobody's", 0)
    assert list_logs(database, job_id)[-1].text == "its end"
