"""How fast training is, beside other libraries' PPO: same machine, same run, arms taking turns.

    pip install -e '.[bench]'
    python -m benchmarks.training --rounds 5

CartPole-v1 and the rural hospital. Every measurement is a process of its own, and the arms of a
contest take turns, A B C A B C. All learn by separate 64-64 tanh networks with Adam; the work per
sample stands beside each. Samples per second are environment steps over wall-clock time, end to
end (environment, inference, learning), after one iteration that warms up or compiles; per processor
second they hardly depend on what else runs. Ratios are of medians; the spread beside them is the
least and largest ratio within a round. A peer that is not installed is named. A last table says
of each goal what is required and measured, and whether it is met. About 15 minutes on idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.peers.contest import (
    Measured,
    Ratio,
    collect,
    compare,
    missing_peers,
    run_rounds,
)
from benchmarks.peers.contests import PEERS, Contest, Goal, make_contests

HEADINGS = (
    "samples/s",
    "per CPU s",
    "envs x steps, minibatch, epochs",
    "updates/sample",
    "threads",
    "s to 475",
    "ours/it",
    "spread",
    "goal",
)
TINY_TIMESTEPS = 4096


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
    table.add_column("library", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    ours, *_ = measured
    for one in measured:
        task = one.arm.task
        ratio = None if one is ours else compare(ours, one, contest.number)
        goal = contest.goals.get(one.arm.label)
        table.add_row(
            one.arm.label,
            _show(one.median("steps_per_second"), "{:,.0f}"),
            _show(one.median("steps_per_processor_second"), "{:,.0f}"),
            f"{task.num_envs} x {task.num_steps}, {task.minibatch_size:,}, {task.update_epochs}",
            f"{task.updates_per_sample:.4f}",
            str(task.threads),
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


def judge(goal: Goal, number: str, ratio: Ratio | None) -> str:
    """Return met, missed or not measured. Times are to be at most the goal, speeds at least."""
    if ratio is None:
        return "not measured"
    times = number == "solved_after"
    return (
        "met" if (ratio.value <= goal.ratio if times else ratio.value >= goal.ratio) else "missed"
    )


def _show_goal(goal: Goal, number: str, ratio: Ratio | None) -> str:
    sign = "<=" if number == "solved_after" else ">="
    return f"({goal.letter}) {sign} {goal.ratio:g} {judge(goal, number, ratio)}"


def judge_goals(contest: Contest, measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return the contest's goals: what is required, what was measured, and whether it is met."""
    ours, *_ = measured
    sign = "<=" if contest.number == "solved_after" else ">="
    present = {one.arm.label: one for one in measured}
    goals = []
    for label, goal in contest.goals.items():
        other = present.get(label)
        ratio = None if other is None else compare(ours, other, contest.number)
        goals.append(
            {
                "goal": goal.letter,
                "contest": contest.name,
                "ours": ours.arm.label,
                "against": label,
                "required": f"{sign} {goal.ratio:g}",
                "measured": None if ratio is None else ratio.value,
                "spread": None if ratio is None else [ratio.low, ratio.high],
                "verdict": judge(goal, contest.number, ratio),
            }
        )
    return goals


def make_goal_table(results: Sequence[dict[str, Any]]) -> Table:
    """Return all goals of all contests as one table, in the order of their letters."""
    table = Table(title="Goals, as ratios of ours to another within this run", title_justify="left")
    for heading in ("goal", "contest", "ours", "against", "required", "measured", "spread", ""):
        table.add_column(heading, no_wrap=True)
    goals = [goal for result in results for goal in result["goals"]]
    for goal in sorted(goals, key=lambda goal: str(goal["goal"])):
        spread = goal["spread"]
        table.add_row(
            *(goal[name] for name in ("goal", "contest", "ours", "against", "required")),
            _show(goal["measured"], "{:.2f}"),
            "" if spread is None else f"{spread[0]:.2f}-{spread[1]:.2f}",
            goal["verdict"],
        )
    return table


def describe(contest: Contest, measured: Sequence[Measured]) -> dict[str, Any]:
    """Return the contest as JSON: every run, and nothing rounded."""
    runs = [{"label": one.arm.label, "runs": list(one.runs)} for one in measured]
    goals = judge_goals(contest, measured)
    return {"contest": contest.name, "number": contest.number, "arms": runs, "goals": goals}


def main(given: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Print a table per contest, write JSON beside it, and return what stands there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--solve-rounds", type=int, default=10, help="seeds of the time to 475")
    parser.add_argument("--timesteps", type=int, help="cut every budget, for a quick look")
    parser.add_argument("--only", nargs="+", help="names of contests")
    parser.add_argument("--tiny", action="store_true", help="one short round of the first contest")
    parser.add_argument("--json", type=Path, default=Path("training.json"))
    arguments = parser.parse_args(given)
    if arguments.tiny:
        arguments.rounds, arguments.only = 1, ["equal"]
        arguments.timesteps = TINY_TIMESTEPS
    console = Console(width=max(Console().width, 170))
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    missing = missing_peers(PEERS)
    if missing:
        console.print(f"Not installed, so not measured: {', '.join(missing)} (extra \\[bench])")
    results: list[dict[str, Any]] = []
    for contest in make_contests(arguments.timesteps, arguments.solve_rounds):
        if arguments.only and contest.name not in arguments.only:
            continue
        arms = tuple(arm for arm in contest.arms if arm.peer not in missing)
        present = replace(contest, arms=arms)
        measured = run_contest(present, arguments.rounds, console)
        console.print(make_table(present, measured))
        results.append({**describe(present, measured), "missing": missing})
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")
    console.print(make_goal_table(results))
    return results


if __name__ == "__main__":
    main()
