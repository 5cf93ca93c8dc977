"""Real processes under test: workers, and whether what they started lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import httpx

from service.embedded import bind
from service.settings import Settings

PATIENCE_SECONDS = 60.0


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def wait_until(
    is_reached: Callable[[], object],
    seconds: float = PATIENCE_SECONDS,
    what: str = "",
    every: float = 0.05,
) -> None:
    deadline = time.monotonic() + seconds
    while not is_reached():
        assert time.monotonic() < deadline, what
        time.sleep(every)


def wait_dead(pid: int, timeout_seconds: float = 5.0) -> None:
    wait_until(lambda: not is_alive(pid), timeout_seconds, f"process {pid} lives on")


def children_of(pid: int) -> list[int]:
    """Process ids of the children of all threads of a process."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        lists = [(task / "children").read_text(encoding="ascii") for task in tasks]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for children in lists for child in children.split()]


class WorkerProcess:
    """``python -m workers`` on some settings; nothing of it survives the block.

    Args:
        settings: of the worker.
        prefix: what runs the command; it gets a pipe as standard input.
        errors: where its standard error goes; it shares ours if not given.
    """

    def __init__(
        self, settings: Settings, prefix: Sequence[str] = (), errors: Path | None = None
    ) -> None:
        command = [*prefix, sys.executable, "-m", "workers", "--parent", str(os.getpid())]
        log = None if errors is None else errors.open("ab")
        self.process = subprocess.Popen(
            command,
            env=os.environ | settings.to_environment(),
            stdin=subprocess.PIPE if prefix else None,
            stderr=log,
        )
        if log is not None:
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        trainings = self.trainings()
        self.process.kill()
        self.process.wait()
        for pid in trainings:
            wait_dead(pid)

    def trainings(self) -> list[int]:
        """Process ids of its trainings."""
        return children_of(self.process.pid)

    def stop(self, number: signal.Signals, times: int = 1) -> int:
        for _ in range(times):
            self.process.send_signal(number)
            time.sleep(0.2)
        return self.process.wait(timeout=PATIENCE_SECONDS)


class ApiProcess:
    """``python -m service.server`` on a socket that stays open while it is killed and restarted.

    Args:
        settings: of the API; any port.
    """

    def __init__(self, settings: Settings) -> None:
        self._environment = os.environ | settings.to_environment()
        self._listener = bind(settings.host, 0)
        self.url = f"http://{settings.host}:{self._listener.getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS, trust_env=False)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()
        self.kill()
        self._listener.close()

    def start(self) -> None:
        """Start it; requests wait until it takes them."""
        fd = self._listener.fileno()
        command = [sys.executable, "-m", "service.server", "--parent", str(os.getpid())]
        self.process = subprocess.Popen(
            [*command, "--fd", str(fd)], env=self._environment, pass_fds=[fd]
        )

    def kill(self) -> None:
        """Kill it as ``kill -9`` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
