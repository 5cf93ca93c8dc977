"""One training process as its supervisor sees it: started, listened to, stopped, killed."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from grpo.kernel_cache import kernel_cache_folder
from service.settings import Settings

TAIL_BYTES = 65_536
CHUNK_BYTES = 65_536
EXIT_STOPPED = 12
EXIT_FENCED = 13
FATAL = "Fatal Python error:"
"""How the interpreter begins its last words when a signal ends it; the stacks follow."""

OF_THE_API = ("GRPO_API_KEY", "GRPO_HOST", "GRPO_PORT")


def training_command(job_id: str, fence: int) -> list[str]:
    """Return the command line of the training process for one claim."""
    claim = ["--job", job_id, "--fence", str(fence), "--parent", str(os.getpid())]
    return [sys.executable, "-m", "workers.run", *claim]


def training_environment(settings: Settings) -> dict[str, str]:
    """Return the variables of a training process: one thread per library, nothing of the API's."""
    inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith("GRPO_")}
    own = settings.to_environment()
    for name in OF_THE_API:
        own.pop(name, None)
    cache = kernel_cache_folder(settings.home.absolute())
    return {
        "NUMBA_CACHE_DIR": str(cache),
        **inherited,
        **own,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",
    }


class TrainingProcess:
    """A child process in its own process group; the thread that starts it must outlive it.

    The kernel kills the child when that thread ends, because the child asks for it. What it
    prints is passed on to standard error, and the last 64 KiB are kept.

    Attributes:
        printed_bytes: how much it has printed so far.

    Args:
        command: program and arguments.
        environment: all of its variables.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._child = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        if self._child.stdout is None:
            raise RuntimeError("the child has no output pipe")
        self._output = self._child.stdout
        os.set_blocking(self._output.fileno(), False)
        self._exit = os.pidfd_open(self._child.pid)
        self._tail = b""
        self.printed_bytes = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._selector.register(self._exit, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        self._child.wait()
        self._selector.close()
        self._output.close()
        os.close(self._exit)

    @property
    def pid(self) -> int:
        """Process id, also the id of its group."""
        return self._child.pid

    @property
    def tail(self) -> str:
        """The last output, up to 64 KiB, without the space around it."""
        return self.output.strip()

    @property
    def output(self) -> str:
        """The last output, up to 64 KiB."""
        return self._tail.decode("utf-8", "replace")

    @property
    def dropped_bytes(self) -> int:
        """How much was printed before the last output."""
        return self.printed_bytes - len(self._tail)

    def wait(self, timeout_seconds: float) -> int | None:
        """Wait for output or the end; return the exit code (minus the signal), None if it runs."""
        for key, _ in self._selector.select(timeout_seconds):
            if key.fileobj is self._output and not self._read():
                self._selector.unregister(self._output)
        code = self._child.poll()
        if code is not None:
            self.kill()  # grandchildren would hold the pipe open
            while self._read():
                pass
        return code

    def terminate(self) -> None:
        """Ask the process to stop."""
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def _read(self) -> bool:
        """Take what is in the pipe; return False when there is nothing now or will be no more."""
        try:
            chunk = os.read(self._output.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return self._child.returncode is None
        if chunk:
            self._tail = (self._tail + chunk)[-TAIL_BYTES:]
            self.printed_bytes += len(chunk)
            sys.stderr.write(chunk.decode("utf-8", "replace"))
            sys.stderr.flush()
        return bool(chunk)


def describe_exit(code: int, tail: str) -> str:
    """Say in words how a process ended, with the error that it printed last; not what it logged."""
    lines = [line.strip() for line in tail.splitlines()]
    if code < 0:
        known = -code in set(signal.Signals)
        how = f"was killed by {signal.Signals(-code).name if known else f'signal {-code}'}"
        errors = [line for line in lines if line.startswith(FATAL)]
    else:
        how = f"ended with exit code {code}"
        errors = [line for line in lines[-1:] if not line.startswith("{")]
    return ": ".join([f"the training process {how}", *errors[-1:]])
