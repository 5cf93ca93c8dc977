"""Run a command that cannot outlive who started it: ``python -m tests.leash SIGNAL FOLDER -- ...``.

Standard input is the leash. When its other end closes, however the process there ended, the
command's group gets SIGNAL, seconds later SIGKILL, and FOLDER is removed. One byte before the
end says to keep the folder, since the server in it will be started again.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 5.0


def main() -> int:
    """Start, wait for the end of the command or of the leash, stop, tidy up."""
    separator = sys.argv.index("--")
    name, folder = sys.argv[1:separator]
    command = sys.argv[separator + 1 :]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ignore)  # the other end gets them too, and lets go
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    end = os.pidfd_open(child.pid)
    select.select([sys.stdin.buffer, end], [], [])
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.Signals[name])
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    code = child.wait()
    if not os.read(0, 1):
        shutil.rmtree(Path(folder), ignore_errors=True)
    return code if code >= 0 else 128 - code


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing; a handler, unlike SIG_IGN, is not inherited by the command."""


if __name__ == "__main__":
    sys.exit(main())
