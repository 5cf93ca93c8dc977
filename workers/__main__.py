"""Run a worker process: ``python -m workers``. Settings come from ``GRPO_*`` variables."""

from __future__ import annotations

import argparse
import sys

from service.process import die_with_parent, importing


def main() -> int:
    """Take jobs until a signal says to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--parent", type=int, help="stop when this process, our parent, ends")
    arguments = parser.parse_args()
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    with importing():
        from workers.running import run_worker  # noqa: PLC0415 - after the parent-death signal

    return run_worker()


if __name__ == "__main__":
    sys.exit(main())
