"""One measurement of one library: ``python -m benchmarks.peers NAME '{"environment": ...}'``.

Prints one line of JSON. ``contest.run_arm`` starts it with threads set in the environment, where
numpy and torch look when they are loaded.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from benchmarks.peers.task import Stopwatch, Task

MODULES = {"grpo": "ours", "sb3": "sb3", "skrl": "skrl_ppo", "rejax": "rejax_ppo"}


def main() -> None:
    """Measure the library that the first argument names on the task in the second."""
    name, text = sys.argv[1], sys.argv[2]
    task = Task(**json.loads(text))
    if name == "rejax" and task.threads == 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    stopwatch = Stopwatch(task)
    module = importlib.import_module(f"benchmarks.peers.{MODULES[name]}")
    library_version = module.train(task, stopwatch.start, stopwatch.after_iteration)
    print(json.dumps(stopwatch.report(name, library_version)))


if __name__ == "__main__":
    main()
