"""Embedded mode: the API and one worker process, started, watched and stopped together.

with EmbeddedService(settings) as service:
    GRPOClient(service.url).submit(config)
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

import httpx

from service.client import GRPOClient, GRPOClientError
from service.database import migrate
from service.observability import get_logger
from service.process import use_kernel_cache
from service.settings import Settings

STOP_GRACE_SECONDS = 20.0
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
MAX_FAILED_STARTS = 3
log = get_logger()


class EmbeddedError(Exception):
    """The embedded service cannot start; the message is one line that says what to do."""


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: list[str]
    output: IO[bytes] | None
    keep_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float = 0.0

    def start(self, environment: dict[str, str]) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches only the supervisor."""
        self.process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
            self.command,
            env=environment,
            stdout=self.output,
            stderr=self.output,
            pass_fds=self.keep_fds,
            start_new_session=True,
        )
        self.started = time.monotonic()

    def look_after(self, environment: dict[str, str]) -> None:
        """Restart it if it died, after a pause that grows with every failure in a row."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.restart_at:
                self.start(environment)
            return
        code = self.process.poll()
        if code is None:
            return
        self.failures = 0 if now - self.started > STEADY_SECONDS else self.failures + 1
        pause = BACKOFF_SECONDS[min(self.failures, len(BACKOFF_SECONDS)) - 1]
        log.warning("process_died", process=self.name, exit_code=code, restart_in_seconds=pause)
        self.process, self.restart_at = None, now + pause

    def signal(self, number: signal.Signals) -> None:
        """Signal the process if it lives."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill what is left of it and of its session's process group."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def bind(host: str, port: int) -> socket.socket:
    """Bind and listen; the error for a port in use is one clear line."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    try:
        return socket.create_server((str(address[0]), port), family=family, backlog=512)
    except OSError as error:
        raise EmbeddedError(
            f"cannot listen on {host}:{port} ({error.strerror}): "
            "choose another port with --port or GRPO_PORT, 0 takes any free one"
        ) from error


def lock_home(home: Path) -> IO[str]:
    """Take the lock of a home folder; the kernel frees it when this process ends, however."""
    home.mkdir(parents=True, exist_ok=True)
    file = (home / "serve.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise EmbeddedError(
            f"another grpo serve (process {owner}) uses {home.absolute()}: "
            "stop it, or choose another folder with --home or GRPO_HOME"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


@dataclass
class EmbeddedService:
    """The whole service out of one folder, as a context manager.

    Attributes:
        settings: ``port`` 0 takes any free port.
        with_worker: whether to start a worker process besides the API.
        logs: folder for the processes' output; they share this process's output if not given.
    """

    settings: Settings
    with_worker: bool = True
    logs: Path | None = None
    url: str = field(default="", init=False)
    children: dict[str, Child] = field(default_factory=dict, init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Lock, bind, migrate and start; return as soon as the processes are on their way.

        Raises:
            EmbeddedError: the folder or the port is taken.
        """
        with ExitStack() as stack:
            stack.enter_context(lock_home(self.settings.home))
            listener = stack.enter_context(bind(self.settings.host, self.settings.port))
            migrate(self.settings)
            port = listener.getsockname()[1]
            host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
            self.url = f"http://{host}:{port}"
            self._add("api", "service.server", stack, listener.fileno())
            if self.with_worker:
                self._add("worker", "workers", stack)
            self._stack = stack.pop_all()
        # Children get a signal when the *thread* that started them ends: it must live as long.
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _add(self, name: str, module: str, stack: ExitStack, fd: int | None = None) -> None:
        output = None
        if self.logs is not None:
            self.logs.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context((self.logs / f"{name}.log").open("ab"))
        command = [sys.executable, "-m", module, "--parent", str(os.getpid())]
        if fd is not None:
            command += ["--fd", str(fd)]
        self.children[name] = Child(name, command, output, () if fd is None else (fd,))

    def _supervise(self) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith("GRPO_")}
        environment = inherited | self.settings.to_environment()
        environment["NUMBA_CACHE_DIR"] = use_kernel_cache(self.settings)
        while not self._stopping.is_set():
            for child in self.children.values():
                child.look_after(environment)
            self._stopping.wait(0.1)
        for child in self.children.values():
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        while time.monotonic() < deadline and any(
            child.process is not None and child.process.poll() is None
            for child in self.children.values()
        ):
            time.sleep(0.02)
        for child in self.children.values():
            child.kill()

    def client(self, *, timeout_seconds: float = 30.0) -> GRPOClient:
        """Make a client of this service, with its API key."""
        key = self.settings.api_key
        secret = None if key is None else key.get_secret_value()
        return GRPOClient(self.url, secret, timeout_seconds=timeout_seconds)

    def wait_ready(self, timeout_seconds: float = 120.0) -> None:
        """Wait until the service is ready.

        Raises:
            EmbeddedError: it is not after the timeout, or a process keeps dying; the message says
                what is missing.
        """
        deadline = time.monotonic() + timeout_seconds
        missing = "no answer"
        with self.client(timeout_seconds=2.0) as client:
            while time.monotonic() < deadline:
                try:
                    readiness = client.readiness()
                except (GRPOClientError, httpx.HTTPError) as error:
                    missing = str(error)
                else:
                    if readiness.ready:
                        return
                    missing = str(readiness.checks)
                for child in self.children.values():
                    if child.failures >= MAX_FAILED_STARTS:
                        place = "its output" if self.logs is None else str(self.logs)
                        raise EmbeddedError(f"the {child.name} process keeps dying: see {place}")
                if self._stopping.wait(0.05):
                    break
        raise EmbeddedError(f"the service is not ready after {timeout_seconds:g} s: {missing}")

    def stop(self) -> None:
        """Stop both processes: politely first, after a grace period by force. May be repeated."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._stack.close()

    def kill(self) -> None:
        """Kill both processes at once, without grace."""
        for child in self.children.values():
            child.signal(signal.SIGKILL)
