"""Our trainer beside other libraries' PPO: same machine, same run, arms taking turns.

    pip install -e '.[bench]'
    python -m benchmarks.against_peers --rounds 5 --json peers.json

Every measurement is a process of its own. Ratios are of medians; the spread beside them is the
least and largest ratio within a round. Samples per second are environment steps over wall-clock
time, end to end (environment, inference, learning), after one iteration that warms up or compiles.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.peers.contest import (
    Arm,
    Measured,
    Ratio,
    collect,
    compare,
    missing_peers,
    run_rounds,
)
from benchmarks.peers.task import Task

PEERS = ("sb3", "skrl", "rejax", "pufferlib")
EQUAL = Task()
FAST = Task(num_envs=64, num_steps=32, minibatch_size=512, timesteps=400_000)
SB3_FAST = Task(minibatch_size=2048, update_epochs=4, timesteps=100_000)
RURAL = Task(
    environment="rural",
    num_envs=256,
    num_steps=128,
    minibatch_size=4096,
    timesteps=400_000,
    ent_coef=0.0,
)
SINGLE = replace(EQUAL, environment="rural", ent_coef=0.0, one_by_one=True)


@dataclass(frozen=True)
class Contest:
    """Arms that are compared, ours first, and the goals.

    Attributes:
        name: for ``--only``.
        title: heads the table.
        number: what is compared: steps_per_second or solved_after.
        arms: ours first.
        goals: by peer label, the ratio of ours to it that is aimed at.
        rounds: None takes the command's.
    """

    name: str
    title: str
    number: str
    arms: tuple[Arm, ...]
    goals: dict[str, float]
    rounds: int | None = None


def make_contests(timesteps: int | None, solve_rounds: int) -> list[Contest]:
    """Return the contests; ``timesteps`` cuts every budget, for a quick look."""

    def cut(task: Task) -> Task:
        return task if timesteps is None else replace(task, timesteps=timesteps)

    solve, slow = replace(FAST, solve=True, timesteps=500_000), replace(EQUAL, solve=True)
    robust = replace(RURAL, group_robustness_weight=0.5, num_groups=3)
    contests = [
        Contest(
            "equal",
            "CartPole, equal work per sample: 16 environments x 128, minibatch 256, 4 epochs",
            "steps_per_second",
            tuple(Arm(peer, peer, EQUAL) for peer in ("grpo", "sb3", "skrl", "rejax")),
            {"sb3": 2.5},
        ),
        Contest(
            "default",
            "CartPole, our defaults; peers at the setting that is fast for them",
            "steps_per_second",
            (
                Arm("grpo", "grpo", replace(FAST, threads=2)),
                Arm("sb3", "sb3", SB3_FAST),
                Arm("skrl", "skrl", replace(FAST, timesteps=200_000)),
                Arm("rejax", "rejax", FAST),
                Arm("rejax, 2 threads", "rejax", replace(FAST, threads=2)),
            ),
            {"sb3": 10.0, "skrl": 5.0, "rejax": 0.6, "rejax, 2 threads": 0.6},
        ),
        Contest(
            "solve",
            "CartPole, seconds to a mean greedy return of 475 (evaluation not counted)",
            "solved_after",
            (
                Arm("grpo", "grpo", solve),
                Arm("sb3", "sb3", replace(slow, timesteps=500_000)),
                Arm("skrl", "skrl", solve),
                Arm("rejax", "rejax", solve),
            ),
            {"sb3": 0.5},
            solve_rounds,
        ),
        Contest(
            "rural",
            "Rural hospital, 4 epochs: 256 x 128, minibatch 4,096; one by one 16 x 128, 256",
            "steps_per_second",
            (
                Arm("grpo", "grpo", replace(RURAL, threads=2)),
                Arm("sb3, our batch", "sb3", replace(RURAL, timesteps=100_000)),
                Arm("sb3, one by one", "sb3", replace(SINGLE, timesteps=40_000)),
            ),
            {"sb3, our batch": 20.0, "sb3, one by one": 20.0},
        ),
        Contest(
            "robust",
            "Rural hospital: what the groups cost",
            "steps_per_second",
            (
                Arm("w = 0.5, 3 groups", "grpo", robust),
                Arm("w = 0", "grpo", RURAL),
            ),
            {"w = 0": 0.85},
        ),
        Contest(
            "groups",
            "Rural hospital: what many groups cost",
            "steps_per_second",
            (
                Arm("w = 0.5, 12 groups", "grpo", replace(robust, num_groups=12)),
                Arm("w = 0", "grpo", RURAL),
            ),
            {"w = 0": 0.6},
        ),
    ]
    return [
        replace(c, arms=tuple(replace(arm, task=cut(arm.task)) for arm in c.arms)) for c in contests
    ]


def run_contest(contest: Contest, rounds: int, console: Console) -> list[Measured]:
    """Run a contest's rounds under a progress bar."""
    rounds = contest.rounds or rounds
    runs = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(contest.name, total=rounds * len(contest.arms))
        for run in run_rounds(contest.arms, rounds):
            runs.append(run)
            progress.advance(bar)
    return collect(contest.arms, runs)


def make_table(contest: Contest, measured: Sequence[Measured]) -> Table:
    """Return the contest as a table, one line per arm."""
    table = Table(title=contest.title, title_justify="left")
    table.add_column("library")
    numbers = ("samples/s", "updates/sample", "threads", "s to 475", "ours/it", "spread", "goal")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    ours, *_ = measured
    for one in measured:
        ratio = None if one is ours else compare(ours, one, contest.number)
        goal = contest.goals.get(one.arm.label)
        table.add_row(
            one.arm.label,
            _show(one.median("steps_per_second"), "{:,.0f}"),
            f"{one.arm.task.updates_per_sample:.4f}",
            str(one.arm.task.threads),
            _show_solved(one) if contest.number == "solved_after" else "",
            "" if one is ours else _show(None if ratio is None else ratio.value, "{:.2f}"),
            "" if ratio is None else f"{ratio.low:.2f}-{ratio.high:.2f}",
            "" if goal is None else _show_goal(goal, contest.number, ratio),
        )
    return table


def _show(value: float | None, form: str) -> str:
    return "none" if value is None else form.format(value)


def _show_solved(measured: Measured) -> str:
    """Show the median time and of how many seeds: an unsolved one is never dropped."""
    solved = [run["solved_after"] for run in measured.runs if run["solved_after"] is not None]
    median = measured.median("solved_after")
    return f"{_show(median, '{:.2f}')} ({len(solved)} of {len(measured.runs)} seeds)"


def _show_goal(goal: float, number: str, ratio: Ratio | None) -> str:
    at_most: Callable[[float], bool] = lambda value: value <= goal  # noqa: E731
    at_least: Callable[[float], bool] = lambda value: value >= goal  # noqa: E731
    met = at_most if number == "solved_after" else at_least
    sign = "<=" if number == "solved_after" else ">="
    verdict = "not measured" if ratio is None else "met" if met(ratio.value) else "missed"
    return f"{sign} {goal:g} {verdict}"


def describe(contest: Contest, measured: Sequence[Measured]) -> dict[str, Any]:
    """Return the contest as JSON: every run, and nothing rounded."""
    runs = [{"label": one.arm.label, "runs": list(one.runs)} for one in measured]
    return {"contest": contest.name, "number": contest.number, "arms": runs}


def main() -> None:
    """Print a table per contest, and JSON where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--solve-rounds", type=int, default=10, help="seeds of the time to 475")
    parser.add_argument("--timesteps", type=int, help="cut every budget, for a quick look")
    parser.add_argument("--only", nargs="+", help="names of contests")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    console = Console(width=max(Console().width, 110))
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    missing = missing_peers(PEERS)
    if missing:
        console.print(f"Not installed, so not measured: {', '.join(missing)} (extra \\[bench])")
    results = []
    for contest in make_contests(arguments.timesteps, arguments.solve_rounds):
        if arguments.only and contest.name not in arguments.only:
            continue
        arms = tuple(arm for arm in contest.arms if arm.peer not in missing)
        present = replace(contest, arms=arms)
        measured = run_contest(present, arguments.rounds, console)
        console.print(make_table(present, measured))
        results.append(describe(present, measured))
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
