"""Small programs that stand for a training: they behave as real ones may, without training.

The command line of each takes the job's id and the fence, as the real one does.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable

Command = Callable[[str, int], list[str]]


def program(code: str) -> Command:
    """A Python program that finds ``job_id`` and ``fence`` in its namespace."""
    head = "import sys\njob_id, fence = sys.argv[1], int(sys.argv[2])\n"
    source = head + textwrap.dedent(code)
    return lambda job_id, fence: [sys.executable, "-c", source, job_id, str(fence)]


SUCCEED = """
    from service.database import Database
    from service.jobs.outcomes import succeed
    from service.settings import Settings
    succeed(Database(Settings()), job_id, fence,
            model=b"weights", sha256="0" * 64, manifest={}, report=None)
"""
ENDLESS = "import time\nwhile True: time.sleep(60)"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\nwhile True: time.sleep(60)"
)
KILLED = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
BROKEN = "raise RuntimeError('no such thing')"
SILENT = "pass"
# Dies by a signal in the first attempt, succeeds in the second (whose fence is 2).
KILLED_ONCE = "if fence == 1:\n    import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
# As long as a short training, in the records, without its arithmetic.
STEADY_ITERATIONS = 8
STEADY = f"""
    import os, signal, time
    from service.process import die_with_parent
    die_with_parent(os.getppid(), signal.SIGKILL)
    from service.database import Database
    from service.jobs.outcomes import record_metrics, succeed
    from service.jobs.records import Metric, Progress
    from service.settings import Settings
    database = Database(Settings())
    for i in range(1, {STEADY_ITERATIONS} + 1):
        progress = Progress("training", i, {STEADY_ITERATIONS}, 10.0, 0.1)
        record_metrics(database, job_id, fence, [Metric(i, i, 0.1 * i, {{}})], progress)
        time.sleep(0.1)
    succeed(database, job_id, fence,
            model=b"weights", sha256="0" * 64, manifest={{}}, report=None)
"""
