"""A full disk: the job says so, decisions go on, and all is well once there is space."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import Settings
from service.storage import RESERVE_BYTES, StorageReserve

UNSHARE = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]


def test_a_full_disk_fails_the_job_truly_and_stops_no_decision(tmp_path: Path) -> None:
    program = [*UNSHARE, sys.executable, "-m", "tests.workers.disk_full", str(tmp_path)]
    done = subprocess.run(
        program, capture_output=True, text=True, check=False, timeout=240, errors="replace"
    )
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]


def test_the_reserve_is_taken_once_there_is_space_and_given_up_once_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = StorageReserve(Settings(home=tmp_path))
    assert reserve.path is not None
    free = 3 * RESERVE_BYTES - 1
    monkeypatch.setattr(reserve, "_free", lambda: free)
    reserve.take()
    assert not reserve.path.exists()
    assert reserve.check() == f"the disk of the records is full: {free} bytes left"
    free += 1
    assert reserve.check() == "ok"
    reserve.take()
    assert reserve.path.stat().st_size == RESERVE_BYTES
    free = 2**18
    assert reserve.check() == "ok"
    free -= 1
    assert reserve.check() != "ok"
    reserve.release()
    reserve.release()
    assert not reserve.path.exists()


def test_postgres_needs_no_reserve(tmp_path: Path) -> None:
    reserve = StorageReserve(Settings(home=tmp_path, database_url="postgresql://somewhere/grpo"))
    reserve.take()
    reserve.release()
    assert reserve.check() == "ok"
    assert list(tmp_path.iterdir()) == []
