"""Arms measured in turn, A B C A B C, each run in a fresh process, and their ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.peers.task import Task
from grpo.kernel_cache import kernel_cache_folder

PACKAGES = {
    "grpo": "grpo",
    "sb3": "stable_baselines3",
    "skrl": "skrl",
    "rejax": "rejax",
    "pufferlib": "pufferlib",
}
RUN_LIMIT_SECONDS = 900
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Arm:
    """One library at one setting.

    Attributes:
        label: what the table calls it.
        peer: see ``PACKAGES``.
        task: what it does.
    """

    label: str
    peer: str
    task: Task


@dataclass(frozen=True)
class Measured:
    """An arm and what its runs gave, one entry per round."""

    arm: Arm
    runs: tuple[dict[str, Any], ...]

    def median(self, name: str) -> float | None:
        """Return the median of a number over the rounds; None if any run lacks it."""
        values = [run[name] for run in self.runs]
        return None if any(value is None for value in values) else statistics.median(values)


@dataclass(frozen=True)
class Ratio:
    """Median over median, and the least and largest ratio within a round."""

    value: float
    low: float
    high: float


def missing_peers(peers: Sequence[str]) -> list[str]:
    """Return those that are not installed here, in the order given."""
    return [peer for peer in peers if find_spec(PACKAGES[peer]) is None]


def run_rounds(arms: Sequence[Arm], rounds: int) -> Iterator[tuple[Arm, dict[str, Any]]]:
    """Run all arms in turn, ``rounds`` times; round r has seed r + 1."""
    for number in range(rounds):
        for arm in arms:
            yield arm, run_arm(replace(arm, task=replace(arm.task, seed=number + 1)))


def run_arm(arm: Arm) -> dict[str, Any]:
    """Measure one arm in a process of its own.

    Raises:
        RuntimeError: the process failed; shows what it wrote last.
    """
    command = [sys.executable, "-m", "benchmarks.peers", arm.peer, json.dumps(asdict(arm.task))]
    finished = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_SECONDS,
        check=False,
        env=os.environ | make_environment(arm),
    )
    if finished.returncode != 0:
        tail = "\n".join(finished.stderr.splitlines()[-5:])
        raise RuntimeError(f"{arm.label} ended with {finished.returncode}:\n{tail}")
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def make_environment(arm: Arm) -> dict[str, str]:
    """Return the variables that set an arm's threads, and where kernels are cached.

    Ours keeps numpy's products on one thread and has threads of its own.
    """
    threads = str(1 if arm.peer == "grpo" else arm.task.threads)
    variables = dict.fromkeys(THREAD_VARIABLES, threads)
    variables["NUMBA_CACHE_DIR"] = os.environ.get(
        "NUMBA_CACHE_DIR", str(kernel_cache_folder(ROOT / ".grpo"))
    )
    if arm.peer == "rejax" and threads == "1":
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        variables["XLA_FLAGS"] = flags
    return variables


def collect(arms: Sequence[Arm], measured: Sequence[tuple[Arm, dict[str, Any]]]) -> list[Measured]:
    """Gather the runs of each arm, in the order of the arms."""
    return [Measured(arm, tuple(run for a, run in measured if a is arm)) for arm in arms]


def compare(ours: Measured, theirs: Measured, name: str) -> Ratio | None:
    """Return ours over theirs; None where a run lacks the number."""
    top, bottom = ours.median(name), theirs.median(name)
    if top is None or bottom is None:
        return None
    pairs = [a[name] / b[name] for a, b in zip(ours.runs, theirs.runs, strict=True)]
    return Ratio(top / bottom, min(pairs), max(pairs))
