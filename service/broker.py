"""The broker between service and workers: Celery's configuration, and a broker made of files.

A message is only a bell: it names a job whose row says everything. So messages are acknowledged
when they are received, no result is kept, and only JSON is accepted.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import ChannelError, KombuError
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

from service.jobs.queue import QueueUnavailableError
from service.settings import Settings

TASK_NAME = "grpo.train"
QUEUE_NAME = "grpo"
POLLING_SECONDS = 0.1
PUBLISH_TIMEOUT_S = 2.0


class FileChannel(filesystem.Channel):
    """A channel over a folder in which a message appears whole or not at all.

    A message is written aside, forced to disk and renamed into the folder; a reader takes it by
    renaming it away, which only one of many can do. Names begin with the time, so the oldest
    message comes first, after a reboot too.
    """

    def _put(  # type: ignore[override]  # the stubs of kombu contradict each other
        self, queue: str, payload: Any, **kwargs: Any
    ) -> None:
        del kwargs  # what else a broker might want to know
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        aside = self._folder("aside") / name
        try:
            with aside.open("wb") as file:
                file.write(dumps(payload).encode())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._folder("messages") / name)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise ChannelError(f"cannot write the message {name}: {error}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        del timeout  # reading a folder does not wait
        folder, taken = self._folder("messages"), self._folder("taken")
        for name in sorted(path.name for path in folder.iterdir()):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            try:
                (folder / name).rename(taken / name)
            except FileNotFoundError:
                continue  # another reader took it
            payload = (taken / name).read_bytes()
            (taken / name).unlink()
            return loads(payload)
        raise Empty

    def _folder(self, name: str) -> Path:
        folder = Path(self.transport_options["folder"]) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def data_folder_in(self) -> str:
        """The folder that counting and purging look into."""
        return str(self._folder("messages"))

    @property
    def control_folder(self) -> Path:
        """The folder of exchange tables; the default exchange, which we use, needs none."""
        return self._folder("control")


class FileTransport(filesystem.Transport):
    """Kombu's transport over files, with the channel above."""

    Channel = FileChannel


def create_broker_app(settings: Settings, *, publishing: bool) -> Celery:
    """Configure Celery for bells that start trainings of minutes to hours; nothing connects yet.

    Args:
        settings: name the broker.
        publishing: True for a process that rings: it gives up after seconds, for the row is safe
            and the workers' sweep rings again. False for one that listens: it waits for ever.
    """
    app = Celery("grpo", set_as_current=False)
    app.conf.update(
        broker_url=settings.celery_url,
        broker_transport_options=_transport_options(settings, publishing=publishing),
        broker_connection_timeout=PUBLISH_TIMEOUT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=30,
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_publish_retry=False,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(QUEUE_NAME, Exchange(""), routing_key=QUEUE_NAME, durable=True)],
        task_default_queue=QUEUE_NAME,
        task_default_exchange="",
        task_default_routing_key=QUEUE_NAME,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
    )
    if settings.celery_url.startswith("filesystem:"):
        app.conf.broker_transport = "service.broker:FileTransport"
    return app


def _transport_options(settings: Settings, *, publishing: bool) -> dict[str, Any]:
    if settings.celery_url.startswith("filesystem:"):
        folder = settings.home.absolute() / "broker"
        return {"folder": str(folder), "polling_interval": POLLING_SECONDS}
    if publishing:
        options: dict[str, Any] = {"max_retries": 0}
    else:
        options = {"visibility_timeout": 3600}
    if settings.celery_url.startswith("redis"):
        options |= {
            "socket_timeout": PUBLISH_TIMEOUT_S if publishing else 15,
            "socket_connect_timeout": PUBLISH_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 10,
        }
    return options


class CeleryJobQueue:
    """Rings by sending a Celery message that carries the job's id.

    Args:
        settings: name the broker. Nothing connects before the first bell.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = create_broker_app(settings, publishing=True)

    def ring(self, job_id: str) -> None:
        """Announce a queued job.

        Raises:
            QueueUnavailableError: the broker did not take the message within some seconds.
        """
        try:
            self._app.send_task(TASK_NAME, [job_id], queue=QUEUE_NAME, retry=False)
        except (KombuError, OSError) as error:
            raise QueueUnavailableError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()
