"""The bell: one contract for every queue, and brokers that lose nothing."""

from __future__ import annotations

import multiprocessing
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.queues import Queue as ProcessQueue
from pathlib import Path
from typing import Any

import pytest

from service.broker import CeleryJobQueue, create_broker_app
from service.jobs.queue import JobQueue, QueueUnavailableError
from service.settings import Settings
from tests.servers import RabbitMQ, Redis
from tests.service.bells import hear_bells, hear_many, ring_many
from tests.service.job_records import RecordingQueue, make_settings

NUMBERS = count(1)
Listener = tuple[JobQueue, Callable[[], list[str]]]


def take_all(settings: Settings) -> list[str]:
    return list(hear_bells(settings, lambda: True))


@pytest.fixture(params=["files", "redis", "rabbitmq", "test double"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    if request.param == "test double":
        double = RecordingQueue()
        yield double, lambda: double.rung
        return
    settings = make_settings(tmp_path, broker_url=broker_url(request, request.param))
    queue = CeleryJobQueue(settings)
    yield queue, lambda: take_all(settings)
    queue.close()


def broker_url(request: pytest.FixtureRequest, kind: str) -> str:
    """Address of a broker that nobody has used yet."""
    if kind == "files":
        return ""
    if kind == "rabbitmq":
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        return rabbitmq.url_of(f"bells-{uuid.uuid4().hex}")
    redis_server: Redis = request.getfixturevalue("redis_server")
    return redis_server.url_of(Redis.DATABASES - next(NUMBERS))


@pytest.fixture(
    params=[
        "refusing redis",
        "silent redis",
        "refusing amqp",
        "silent amqp",
        "unwritable folder",
        "test double",
    ]
)
def broken_queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobQueue]:
    if request.param == "test double":
        yield RecordingQueue(broken=True)
        return
    if request.param == "unwritable folder":
        (tmp_path / "broker").write_text("a file where the folder should be")
        yield CeleryJobQueue(make_settings(tmp_path))
        return
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if request.param.startswith("silent"):
            silent.listen(1)  # accepts the connection and never answers
        scheme = "redis" if request.param.endswith("redis") else "amqp"
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/0"
        queue = CeleryJobQueue(make_settings(tmp_path, broker_url=url))
        yield queue
        queue.close()


def test_bells_arrive_in_the_order_in_which_they_rang(listener: Listener) -> None:
    queue, hear = listener
    for job_id in ("a", "b", "a"):
        queue.ring(job_id)
    assert hear() == ["a", "b", "a"]


def test_a_broker_that_is_down_is_reported_within_seconds(broken_queue: JobQueue) -> None:
    started = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        broken_queue.ring("a")
    assert time.monotonic() - started < 6.0


@pytest.mark.parametrize("kind", ["files", "redis", "rabbitmq"])
def test_ringing_is_quick(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    queue = CeleryJobQueue(make_settings(tmp_path, broker_url=broker_url(request, kind)))
    queue.ring("the first one connects")
    spent = []
    for _ in range(20):
        started = time.perf_counter()
        queue.ring("a")
        spent.append(time.perf_counter() - started)
    queue.close()
    assert sorted(spent)[10] < 0.025  # half of what a whole POST may take


@pytest.mark.parametrize("kind", ["files", "redis", "rabbitmq"])
def test_a_burst_from_several_processes_reaches_its_readers_whole_and_once(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    settings = make_settings(tmp_path, broker_url=broker_url(request, kind))
    context = multiprocessing.get_context("spawn")
    theirs: ProcessQueue[str] = context.Queue()
    over = context.Event()
    reader = context.Process(target=hear_many, args=(settings, theirs, over))
    writers = [context.Process(target=ring_many, args=(settings, 75 * i, 75)) for i in (0, 1)]
    for process in (reader, *writers):
        process.start()
    ring_many(settings, 150, 50)
    ours: list[str] = []
    for job_id in hear_bells(settings, lambda: len(ours) + theirs.qsize() >= 200):
        ours.append(job_id)
        time.sleep(0.005)  # leave some to the other reader
    over.set()
    taken = ours + [theirs.get(timeout=10) for _ in range(theirs.qsize())]
    for process in (reader, *writers):
        process.join()
    assert sorted(taken) == sorted(f"job-{i}" for i in range(200))
    assert theirs.empty()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_messages_stay_in_the_home_folder_and_leave_nothing_behind(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    queue = CeleryJobQueue(settings)
    queue.ring("a")
    queue.close()
    (message,) = files_below(tmp_path)
    assert message.parent == tmp_path / "broker" / "messages"
    assert take_all(settings) == ["a"]
    assert files_below(tmp_path) == []


def test_a_message_is_never_seen_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment of the rename the message is whole and nothing is in the watched folder."""
    settings = make_settings(tmp_path)
    seen: list[tuple[bool, list[Path]]] = []
    replace = Path.replace

    def look(self: Path, target: Path) -> Path:
        seen.append((b'"task": "grpo.train"' in self.read_bytes(), files_below(target.parent)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    queue = CeleryJobQueue(settings)
    queue.ring("a")
    queue.close()
    assert seen == [(True, [])]


def test_a_message_that_cannot_be_renamed_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    queue = CeleryJobQueue(make_settings(tmp_path))
    with pytest.raises(QueueUnavailableError, match="no space left"):
        queue.ring("a")
    queue.close()
    assert files_below(tmp_path) == []


def test_bells_are_acknowledged_early_and_only_json_is_read(tmp_path: Path) -> None:
    """The lease in the database owns recovery: a broker that redelivers would start a job twice."""
    conf: Any = create_broker_app(make_settings(tmp_path), publishing=False).conf
    assert conf.task_acks_late is False
    assert conf.accept_content == ["json"]
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_enable_remote_control is False
    assert conf.result_backend is None
