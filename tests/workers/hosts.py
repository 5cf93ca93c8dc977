"""Hosts for workers: network namespaces joined by a bridge, or, where those are refused, processes.

A namespace has an interface, an address and a name of its own; its cable can be pulled. All of it
ends with the processes in it, so nothing is left to clean up. ``inside`` says how to run a program
that makes such hosts; ``refusal`` says why there can be none here.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Self

from service.settings import Settings
from tests.servers import MissingServerError, find_program
from tests.workers.processes import WorkerProcess, wait_until

BRIDGE = "hosts0"
SERVERS = "10.77.0.1"
PLACES = ("usr/sbin/", "sbin/")
LAB = ["unshare", "--net", "--uts"]
OF_A_USER = ["--user", "--map-current-user", "--keep-caps"]
"""What makes a namespace where we are not root: one in which we may do as root does."""


def ip(*arguments: str) -> None:
    """Run iproute2's ``ip``."""
    subprocess.run([find_program("ip", *PLACES), *arguments], check=True)


def inside(command: list[str]) -> list[str]:
    """Return the command as it runs in a fresh network namespace in which hosts can be made."""
    return [*LAB, *([] if os.getuid() == 0 else OF_A_USER), *command]


@cache
def refusal() -> str | None:
    """Return why worker hosts cannot be network namespaces here, None where they can.

    Raises:
        MissingServerError: iproute2 is not installed.
    """
    program = find_program("ip", *PLACES)
    attempt = f"{program} link add name {BRIDGE} type bridge; {' '.join(LAB)} true"
    command = inside(["sh", "-ec", attempt])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    return None if done.returncode == 0 else lines[-1]


def describe() -> str:
    """Say in a line what worker hosts are in these tests, and why."""
    try:
        reason = refusal()
    except MissingServerError as error:
        return f"worker hosts: none ({error})"
    if reason is None:
        return "worker hosts: separate network namespaces, cut off by taking their link down"
    return f"worker hosts: separate processes, cut off by SIGSTOP (no namespaces: {reason})"


def make_bridge() -> None:
    """Make the bridge, on which the servers listen, in the namespace of this process."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "name", BRIDGE, "type", "bridge")
    ip("address", "add", f"{SERVERS}/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


class Host(WorkerProcess):
    """A worker on a host of its own that can be cut off and connected again.

    Args:
        number: from 1; its address is 10.77.0.(10 + number).
        settings: of the worker.
        separate: whether it is a network namespace.
    """

    def __init__(self, number: int, settings: Settings, *, separate: bool) -> None:
        self.name = f"host-{number}" if separate else socket.gethostname()
        self._cable = f"cable{number}"
        self._separate = separate
        self._stopped: list[int] = []
        begin = [sys.executable, "-m", "tests.workers.hosts", self.name, f"10.77.0.{10 + number}"]
        super().__init__(settings, [*LAB, *begin] if separate else [])

    def __enter__(self) -> Self:
        if self._separate:
            own, theirs = (Path(f"/proc/{pid}/ns/net") for pid in ("self", self.process.pid))
            wait_until(lambda: theirs.readlink() != own.readlink())
            peer = ["peer", "name", "eth0", "netns", str(self.process.pid)]
            ip("link", "add", "name", self._cable, "type", "veth", *peer)
            ip("link", "set", self._cable, "master", BRIDGE, "up")
            assert self.process.stdin is not None
            self.process.stdin.close()
        return super().__enter__()

    @property
    def worker(self) -> str:
        """The name under which it claims jobs."""
        return f"{self.name}:{self.process.pid}"

    def cut_off(self) -> None:
        """Let it run, but reach nobody; as a mere process it stands still instead."""
        if self._separate:
            ip("link", "set", self._cable, "down")
            return
        self._stopped = [self.process.pid, *self.trainings()]
        for pid in self._stopped:
            os.kill(pid, signal.SIGSTOP)

    def connect(self) -> None:
        """Let it reach the others again."""
        if self._separate:
            ip("link", "set", self._cable, "up")
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped = []


def become_host() -> None:
    """Wait for the cable (standard input ends), take name and address, become the command."""
    name, address, *command = sys.argv[1:]
    sys.stdin.read()
    socket.sethostname(name)
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{address}/24", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    os.execv(command[0], command)  # noqa: S606 - the command is given as words


if __name__ == "__main__":
    become_host()
