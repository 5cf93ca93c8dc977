"""One measurement of one library: ``python -m benchmarks.peers NAME '{"environment": ...}'``.

Prints one line of JSON. Threads are set before any library is imported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from benchmarks.peers.task import Stopwatch, Task
from grpo.environments.hospital.physics.kernel_cache import kernel_cache_folder

MODULES = {"grpo": "ours", "sb3": "sb3", "skrl": "skrl_ppo", "rejax": "rejax_ppo"}


def main() -> None:
    """Measure the library that the first argument names on the task in the second."""
    name, text = sys.argv[1], sys.argv[2]
    fields = json.loads(text)
    threads = str(fields.get("threads", 1))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads if name != "grpo" else "1"
    root = Path(__file__).resolve().parent.parent.parent / ".grpo"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(kernel_cache_folder(root)))
    if name == "rejax" and threads == "1":
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    task = Task(**fields)
    stopwatch = Stopwatch(task)
    module = importlib.import_module(f"benchmarks.peers.{MODULES[name]}")
    library_version = module.train(task, stopwatch.start, stopwatch.after_iteration)
    print(json.dumps(stopwatch.report(name, library_version)))


if __name__ == "__main__":
    main()
