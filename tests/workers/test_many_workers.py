"""Several worker hosts before one Postgres and one Redis, one of them cut off for a while."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.workers.hosts import describe, inside, refusal


def test_forty_jobs_on_three_hosts_of_which_one_is_cut_off_end_once_each(tmp_path: Path) -> None:
    reason = refusal()
    how = "namespaces" if reason is None else "processes"
    program = [sys.executable, "-m", "tests.workers.many_hosts", str(tmp_path), how]
    sys.stdout.write(describe() + "\n")
    done = subprocess.run(
        program if reason else inside(program),
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        errors="replace",
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    assert f"worker hosts as {how}" in done.stdout
