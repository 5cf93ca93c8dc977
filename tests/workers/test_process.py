"""A training process: its output, its end, its group, and its death with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.settings import Settings
from tests.workers.processes import is_alive, wait_dead
from workers.process import TAIL_BYTES, TrainingProcess, describe_exit, training_environment

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def start(code: str) -> TrainingProcess:
    return TrainingProcess([sys.executable, "-c", code], ENVIRONMENT)


def wait(process: TrainingProcess, timeout_seconds: float = 10.0) -> int:
    deadline = time.monotonic() + timeout_seconds
    while (code := process.wait(0.1)) is None:
        assert time.monotonic() < deadline, "the process did not end"
    return code


def test_a_process_that_prints_much_keeps_running_and_its_last_lines_stay() -> None:
    code = "for i in range(20000): print('line', i)\nprint('the end')"
    with start(code) as process:
        assert wait(process) == 0
        assert process.tail.endswith("line 19999\nthe end")
        assert len(process.output) == TAIL_BYTES
        printed = sum(len(f"line {i}\n") for i in range(20_000)) + len("the end\n")
        assert (process.printed_bytes, process.dropped_bytes) == (printed, printed - TAIL_BYTES)


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        ("", 0, "the training process ended with exit code 0"),
        ("import sys; sys.exit(7)", 7, "the training process ended with exit code 7"),
        (
            "raise ValueError('no beds')",
            1,
            "the training process ended with exit code 1: ValueError: no beds",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            -9,
            "the training process was killed by SIGKILL",
        ),
        (
            'print(\'{"event": "training_phase"}\', flush=True)\n'
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            -9,
            "the training process was killed by SIGKILL",
        ),
        (
            'print(\'{"event": "training_phase"}\', flush=True); import sys; sys.exit(7)',
            7,
            "the training process ended with exit code 7",
        ),
        (
            "import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)",
            -11,
            "the training process was killed by SIGSEGV: Fatal Python error: Segmentation fault",
        ),
    ],
)
def test_the_end_of_a_process_is_told_in_words(code: str, expected: int, words: str) -> None:
    with start(code) as process:
        ended = wait(process)
        assert ended == expected
        assert describe_exit(ended, process.tail) == words


def test_killing_reaches_what_the_process_started() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    with start(code) as process:
        while not process.tail:
            process.wait(0.1)
        grandchild = int(process.tail)
        assert is_alive(grandchild)
        process.kill()
        assert wait(process) == -signal.SIGKILL
    wait_dead(grandchild)


def test_leaving_the_block_leaves_no_process() -> None:
    with start("import time; time.sleep(60)") as process:
        pid = process.pid
    assert not is_alive(pid)


def test_the_process_is_in_a_group_of_its_own() -> None:
    with start("import time; time.sleep(60)") as process:
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)


def test_a_process_dies_with_its_parent() -> None:
    """The parent starts a process as the supervisor does, and is killed."""
    child = (
        "import signal, sys, time\nfrom service.process import die_with_parent\n"
        "die_with_parent(int(sys.argv[1]), signal.SIGKILL)\nprint('tied', flush=True)\n"
        "time.sleep(60)"
    )
    parent = (
        "import os, sys\nfrom workers.process import TrainingProcess\n"
        f"command = [sys.executable, '-c', {child!r}, str(os.getpid())]\n"
        "with TrainingProcess(command, dict(os.environ)) as process:\n"
        "    while 'tied' not in process.tail: process.wait(0.1)\n"
        "    print(process.pid, flush=True)\n"
        "    while process.wait(60) is None: pass"  # it returns at any output, a late newline too
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert is_alive(pid)
        supervisor.kill()
    wait_dead(pid)


def test_a_process_whose_parent_is_gone_already_does_not_begin() -> None:
    command = [sys.executable, "-m", "workers.run", "--job", "x", "--fence", "1", "--parent", "1"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == b""


def test_a_training_gets_one_thread_per_library_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPO_LOG_LEVEL", "debug")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    given = {"home": tmp_path, "host": "0.0.0.0", "api_key": "k" * 16}  # noqa: S104 - only read
    settings = Settings.model_validate(given)
    environment = training_environment(settings)
    threads = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"}
    assert {environment[name] for name in threads} == {"1"}
    assert "GRPO_API_KEY" not in environment
    assert environment["GRPO_HOME"] == str(tmp_path)
    assert environment["GRPO_LOG_LEVEL"] == settings.log_level
    code = "from service.settings import Settings; print(Settings().home)"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(tmp_path)
    assert Path(environment["NUMBA_CACHE_DIR"]).parent == tmp_path
