"""The training process: ``python -m workers.run --job ID --fence N --parent PID``.

The first lines tie it to its supervisor; everything heavy is imported after them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

from service.process import die_with_parent, importing

NICENESS = 5  # answers to clients come before training, where both share the cores


def main() -> int:
    """Run the claimed job to its end; return the exit code, a member of ``Outcome``."""
    parser = argparse.ArgumentParser(prog="python -m workers.run", description=__doc__)
    parser.add_argument("--job", required=True, help="id of the claimed job")
    parser.add_argument("--fence", required=True, type=int, help="fence number of the claim")
    parser.add_argument("--parent", required=True, type=int, help="process id of the supervisor")
    arguments = parser.parse_args()
    die_with_parent(arguments.parent, signal.SIGKILL)
    os.nice(NICENESS)
    with importing():
        from workers.execution import execute  # noqa: PLC0415 - after the parent-death signal is set

    return int(execute(arguments.job, arguments.fence))


if __name__ == "__main__":
    sys.exit(main())
