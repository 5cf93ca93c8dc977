"""Ringing and hearing many bells, also in processes of their own.

A process that is spawned imports the module of its function: this one is quick to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue as ProcessQueue
from multiprocessing.synchronize import Event
from queue import Empty

from service.broker import QUEUE_NAME, TASK_NAME, CeleryJobQueue, create_broker_app
from service.settings import Settings


def ring_many(settings: Settings, first: int, count: int) -> None:
    """Announce the jobs with the numbers from ``first``."""
    queue = CeleryJobQueue(settings)
    for i in range(first, first + count):
        queue.ring(f"job-{i}")
    queue.close()


def hear_bells(settings: Settings, is_over: Callable[[], bool]) -> Iterator[str]:
    """Yield the job ids of the broker's bells; ends when ``is_over`` and none is waiting."""
    app = create_broker_app(settings, publishing=False)
    with app.connection_for_read() as connection, connection.SimpleQueue(QUEUE_NAME) as queue:
        while True:
            try:
                message = queue.get(block=True, timeout=0.3)
            except Empty:
                if is_over():
                    return
                continue
            message.ack()
            assert message.headers["task"] == TASK_NAME
            assert message.content_type == "application/json"
            yield message.payload[0][0]


def hear_many(settings: Settings, heard: ProcessQueue[str], over: Event) -> None:
    """Pass the job ids of the broker's bells on until ``over`` is set and none is waiting."""
    for job_id in hear_bells(settings, over.is_set):
        heard.put(job_id)
